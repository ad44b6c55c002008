"""What the cloud showed, with its marks, as it was read a moment ago: nothing is deleted by marks that are older."""

import threading
from datetime import timedelta
from typing import Final

from journal.events import ResourceKind
from journal.journal import Journal
from rollback.cloud import Cloud, Found
from rollback.observe import Observation

MARKS_HOLD_FOR: Final = timedelta(minutes=1)
"""How old the listing may be from which marks are believed."""


class Marked:
    """What the cloud showed last of servers: they are listed again, not asked for one by one, once that is old.

    Of what a server brings along it matters, too, what uses it, and that changes: it is asked for at once. Safe to use
    from many threads.
    """

    def __init__(self, journal: Journal, cloud: Cloud, observation: Observation) -> None:
        self._journal = journal
        self._cloud = cloud
        self.unseen = observation.unseen
        """The servers that something is in use by, as its service says, and that the cloud does not show."""
        self._servers = {found.id: found for found in observation.found.values() if found.kind is ResourceKind.SERVER}
        self._read_at = observation.event.began_at
        self._lock = threading.Lock()

    def read(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> Found | None:
        """Return a resource with its marks, or None if there is none with this id. Raises CloudError."""
        shown = self._server(id_) if kind is ResourceKind.SERVER else None
        return shown or self._cloud.get(id_, kind)

    def _server(self, id_: str) -> Found | None:
        with self._lock:
            now = self._journal.clock.now()
            if now - self._read_at >= MARKS_HOLD_FOR:
                self._servers = {found.id: found for found in self._cloud.list_journal(self._journal.id)}
                self._read_at = now
            return self._servers.get(id_)
