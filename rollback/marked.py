"""What the cloud showed, with its marks, as it was read a moment ago: nothing is deleted by marks that are older."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from journal.events import ResourceKind
from journal.journal import Journal
from rollback.cloud import Cloud, Found
from rollback.observe import Observation

MARKS_HOLD_FOR: Final = timedelta(minutes=1)
"""How old the listing may be from which marks are believed."""


class Marked:
    """What the cloud showed last of each kind. It is listed again, not asked one by one, once that is old."""

    def __init__(self, journal: Journal, cloud: Cloud, observation: Observation) -> None:
        self._journal = journal
        self._cloud = cloud
        self._found = dict(observation.found)
        self.unseen = observation.unseen
        """The servers that something is in use by, as its service says, and that the cloud does not show."""
        self._read_at: dict[ResourceKind, datetime] = dict.fromkeys(ResourceKind, observation.event.began_at)

    def read(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> Found | None:
        """Return a resource with its marks, or None if there is none with this id. Raises CloudError."""
        now = self._journal.clock.now()
        if now - self._read_at[kind] >= MARKS_HOLD_FOR:
            listed = {found.id: found for found in self._listed(kind)}
            self._found = {found.id: found for found in self._found.values() if found.kind is not kind} | listed
            self._read_at[kind] = now
        return self._found.get(id_) or self._cloud.get(id_, kind)

    def _listed(self, kind: ResourceKind) -> Sequence[Found]:
        return self._cloud.list_journal(self._journal.id) if kind is ResourceKind.SERVER else self._cloud.list_kind(kind)
