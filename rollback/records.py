"""The conductor's own record of a cluster: what its users see of it.

A conductor hands its records to the handler. Another process, such as `provjournal recover`, reaches them by an entry
point of the group `provjournal.records`, or by a command.
"""

import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Final, Protocol

import attrs

from journal.events import ClusterStatus
from rollback.errors import RecordError

GROUP: Final = "provjournal.records"
"""The entry points that name a function from a cluster's id to its record."""
GONE: Final = 3
"""The exit code with which a record's command says that there is no such cluster."""
COMMAND_SECONDS: Final = 60.0
"""How long a record's command may take."""


class ClusterRecord(Protocol):
    """The conductor's own record of a cluster. What its methods raise is logged, and they are asked again later."""

    def exists(self) -> bool:
        """Whether the record is still there; a user may have deleted it."""

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        """Show the user what became of the cluster. Called at least once for each end, perhaps again after a crash.

        `version`: the version of the cluster's stream that this rests on. Keep it, and refuse what rests on an older one: a
        conductor that stood still may be late to tell (https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
        """


Records = Callable[[str], ClusterRecord]
"""Gives the record of a cluster by its id."""


@attrs.frozen
class NoRecord:
    """The record of a conductor that keeps none."""

    cluster: str

    def exists(self) -> bool:
        """Say that nobody has deleted it."""
        return True

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        """There is nobody to tell."""


@attrs.frozen
class CommandRecord:
    """A record that a command knows.

    `COMMAND exists CLUSTER` ends with 0 if there is such a cluster, with 3 if there is none;
    `COMMAND set-status CLUSTER STATUS REASON VERSION` with 0. Anything else is an error, and decides nothing.
    """

    command: Sequence[str]
    cluster: str

    def exists(self) -> bool:
        """Ask the command."""
        return self._run("exists", self.cluster, expected=(0, GONE)) == 0

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        """Tell the command."""
        self._run("set-status", self.cluster, str(status), reason, str(version), expected=(0,))

    def _run(self, *arguments: str, expected: Sequence[int]) -> int:
        shown = " ".join((*self.command, arguments[0], self.cluster))
        try:
            done = subprocess.run(  # noqa: S603 (the command is the operator's own)
                (*self.command, *arguments), capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            msg = f"`{shown}` cannot be run: {error}"
            raise RecordError(msg) from error
        if done.returncode not in expected:
            said = f": {done.stderr.strip()}" if done.stderr.strip() else ""
            msg = f"`{shown}` ended with {done.returncode}, expected {' or '.join(map(str, expected))}{said}"
            raise RecordError(msg)
        return done.returncode


def load_records(name: str) -> Records:
    """Return the records that an installed package offers under a name. Raises RecordError if none does."""
    found = entry_points(group=GROUP)
    if name not in found.names:
        there = f"there are {', '.join(sorted(found.names))}" if found.names else "there is none"
        msg = f"No installed package offers records under the name {name!r}; {there}."
        raise RecordError(msg)
    records: Records = found[name].load()
    return records
