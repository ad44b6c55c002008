"""Reading the events of all streams as they come, each exactly once.

There is no order over all streams: it would cost every append a wait for all others. Versions within a stream have no
gaps, so whoever remembers how far each stream was read misses nothing and reads nothing twice, in whatever order
transactions commit. What is left is to learn which streams have moved. Guard rows say when they changed; one of a
transaction that took long to commit turns up late, so each look goes back a little, and now and then looks at all.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import attrs

from journal.errors import JournalRegressed, StreamArchived
from journal.events import Event
from journal.store import EventStore, Head
from journal.value import Value

OVERLAP: Final = timedelta(seconds=60)
"""How far a look goes back behind the one before."""
ALL_EVERY: Final = 100
"""Each so many-th look is at all streams."""


@attrs.frozen(eq=False, repr=False)
class Seen(Value):
    """How far a stream was read: the version and the hash of the last event."""

    version: int
    hash: str


class CatchUp:
    """Reads the events of all streams that are not archived, and remembers how far it has come."""

    def __init__(
        self,
        store: EventStore,
        position: Mapping[str, Seen] | None = None,
        *,
        wanted: Callable[[str], bool] = lambda _: True,
        overlap: timedelta = OVERLAP,
        all_every: int = ALL_EVERY,
    ) -> None:
        """Go on from a position, or from the beginning; `wanted`: of which streams."""
        self._store = store
        self._wanted = wanted
        self._overlap = overlap
        self._all_every = all_every
        self._looks = 0
        self._since: datetime | None = None
        self._position = dict(position or {})

    @property
    def position(self) -> dict[str, Seen]:
        """How far each stream was read: all that was yielded so far. Keep it to go on from here in another process."""
        return dict(self._position)

    def read(self) -> Iterator[Event]:
        """Yield what has come since, stream by stream, each in its order. It ends; call it again for what comes later.

        Raises JournalRegressed if a stream is not any more what was read of it: the database has lost history. Raises
        StreamArchived, once, if a stream was archived before all of it was read: the rest stands in that file, and the
        next call goes on with the others.
        """
        everything = self._looks % self._all_every == 0
        self._looks += 1
        looked_at = None
        for head in self._store.heads(changed_since=None if everything else self._since):
            looked_at = looked_at or head.read_at
            if self._wanted(head.stream):
                yield from self._news(head)
        if everything:
            self._look_for_archived()
        if looked_at is not None:
            self._since = looked_at - self._overlap

    def _look_for_archived(self) -> None:
        """Raise StreamArchived for a stream of which some was read, and the rest was archived."""
        for head in self._store.archived():
            seen = self._position.get(head.stream)
            if seen is not None and seen != Seen(head.version, head.hash):
                self._refuse_archived(head.stream)

    def _news(self, head: Head) -> Iterator[Event]:
        seen = self._position.get(head.stream)
        if seen == Seen(head.version, head.hash):
            return
        if seen is None:
            events = self._store.read(head.stream)
        else:
            # The last event read is read again: only its hash tells that the stream is still the same.
            events = self._store.read(head.stream, after=seen.version - 1)
            again = next(events, None)
            if again is None or again.hash != seen.hash:
                self._refuse_archived(head.stream)
                raise JournalRegressed(head.stream, seen.version, head.version)
        last = 0 if seen is None else seen.version
        for event in events:
            assert event.hash is not None, "stored events are chained"
            if event.version != last + 1:
                break  # those between are being removed
            self._position[event.stream] = Seen(event.version, event.hash)
            last = event.version
            yield event
        if last < head.version:
            self._refuse_archived(head.stream)
            raise JournalRegressed(head.stream, head.version, last)

    def _refuse_archived(self, stream: str) -> None:
        """Raise StreamArchived if the stream was archived before all of it was read; going on then goes on after it."""
        head = self._store.head(stream)
        if head is not None and head.archived_to is not None:
            self._position[stream] = Seen(head.version, head.hash)
            raise StreamArchived(stream, head.archived_to)
