"""The software that runs on the example's VMs: here it only notes, in each VM's metadata, what it does to it."""

from collections.abc import Sequence
from typing import Any


class Plugin:
    """Knows how to move data off VMs, and how to configure and start them; told so, it fails."""

    def __init__(self, connection: Any, fail_in: str | None = None) -> None:
        """`fail_in`: the action in which to fail, halfway."""
        self.compute = connection.compute
        self.fail_in = fail_in

    def decommission(self, server_ids: Sequence[str]) -> None:
        """Move the data off these VMs."""
        self._act("decommission", server_ids, "decommissioning", "decommissioned")

    def configure(self, server_ids: Sequence[str]) -> None:
        """Write the configuration of these VMs."""
        self._act("configure", server_ids, "configuring", "configured")

    def start(self, server_ids: Sequence[str]) -> None:
        """Start the processes on these VMs: from here on they hold data."""
        self._act("start", server_ids, "starting", "started")

    def _act(self, action: str, server_ids: Sequence[str], doing: str, done: str) -> None:
        self._note(server_ids, doing)
        if self.fail_in == action:
            msg = f"the plugin was told to fail in {action}"
            raise RuntimeError(msg)
        self._note(server_ids, done)

    def _note(self, server_ids: Sequence[str], state: str) -> None:
        for server_id in server_ids:
            self.compute.set_server_metadata(server_id, state=state)
