"""The servers with their marks, as they were read a moment ago: nothing is deleted by marks that are older."""

from datetime import timedelta
from typing import Final

from journal.journal import Journal
from rollback.cloud import Cloud, FoundServer
from rollback.observe import Observation

MARKS_HOLD_FOR: Final = timedelta(minutes=1)
"""How old the listing may be from which a server's marks are believed."""


class Marked:
    """What the cloud showed last of its servers. It is listed again, not asked server by server, once that is old."""

    def __init__(self, journal: Journal, cloud: Cloud, observation: Observation) -> None:
        self._journal = journal
        self._cloud = cloud
        self._found = dict(observation.found)
        self._read_at = observation.event.began_at

    def read(self, server_id: str) -> FoundServer | None:
        """Return a server with its marks, or None if there is none with this id. Raises CloudError."""
        now = self._journal.clock.now()
        if now - self._read_at >= MARKS_HOLD_FOR:
            self._found = {server.id: server for server in self._cloud.list_journal(self._journal.id)}
            self._read_at = now
        return self._found.get(server_id) or self._cloud.get(server_id)
