"""The reference store: the store's protocol in memory, as simply as it can be said.

It forgets everything when its process ends.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import attrs
import msgspec

from journal.codec import Document, encode_line, to_document
from journal.errors import DamagedStream, EventIdReused, Fenced, JournalRegressed, OwnerAlive, StreamArchived, VersionConflict
from journal.events import Completion, Event, Intent, OperationFinished, OperationStarted
from journal.snapshot import Snapshot
from journal.store import Claim, Head, UnfinishedStep, unfinished_step


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """Streams in memory. `now` is its clock, which a simulation drives."""

    def __init__(self, now: Callable[[], datetime] = _utc_now, journal_id: UUID | None = None) -> None:
        self._now = now
        self._journal_id = journal_id or uuid4()
        self._lock = threading.RLock()
        self._heads: dict[str, Head] = {}
        self._streams: dict[str, list[Event]] = {}
        self._by_id: dict[UUID, Event] = {}
        self._lines: dict[UUID, bytes] = {}
        """The events as they would be written, once somebody asked."""
        self._snapshots: dict[str, Snapshot] = {}
        self._unfinished: dict[UUID, UnfinishedStep] = {}

    @property
    def journal_id(self) -> UUID:
        """The id of this journal."""
        return self._journal_id

    def append(
        self, events: Sequence[Event], *, previous_hash: str, expected_epoch: int, claim: Claim | None = None
    ) -> tuple[Event, ...]:
        """Append chained events of one stream."""
        with self._lock:
            if self._is_recorded(events):
                return tuple(events)
            self._check(events[0], previous_hash, expected_epoch, claim)
            head = self._next_head(events, claim)
            self._heads[head.stream] = head
            self._streams.setdefault(head.stream, []).extend(events)
            for event in events:
                self._by_id[event.id] = event
                self._index(event)
            return tuple(events)

    def renew(self, stream: str, claim: Claim, *, epoch: int) -> None:
        """Extend the owner's lease."""
        with self._lock:
            head = self._heads[stream]
            if (head.owner, head.epoch) != (claim.owner, epoch):
                raise Fenced(stream, epoch, head.epoch, head.owner)
            expires = self._now() + timedelta(seconds=claim.seconds)
            self._heads[stream] = attrs.evolve(head, lease_expires_at=expires)

    def release(self, stream: str, owner: str, *, epoch: int) -> None:
        """Give the stream up."""
        with self._lock:
            head = self._heads.get(stream)
            if head is not None and (head.owner, head.epoch) == (owner, epoch):
                self._heads[stream] = attrs.evolve(head, owner=None, lease_expires_at=None)

    def settle(self, stream: str, version: int) -> None:
        """Note that nothing is left to do for a stream."""
        with self._lock:
            head = self._heads.get(stream)
            if head is not None:
                self._heads[stream] = attrs.evolve(head, settled_version=version if head.version == version else -1)

    def head(self, stream: str) -> Head | None:
        """Return the guard row of a stream."""
        with self._lock:
            head = self._heads.get(stream)
            return None if head is None else attrs.evolve(head, read_at=self._now())

    def heads(
        self,
        *,
        changed_since: datetime | None = None,
        unsettled: bool = False,
        damaged: list[DamagedStream] | None = None,  # noqa: ARG002 (the port's)
    ) -> Iterator[Head]:
        """Yield the guard rows of all streams that are not archived, or of those among them that are asked for."""
        there = [head for head in self._all_heads() if head.archived_to is None and not (unsettled and head.is_settled)]
        return (head for head in there if changed_since is None or head.changed_at >= changed_since)

    def headless(self) -> Sequence[str]:
        """Return nothing: nobody removes a guard row here."""
        return ()

    def archived(self, *, still_stored: bool = False) -> Iterator[Head]:
        """Yield the guard rows of the archived streams."""
        return iter([] if still_stored else [head for head in self._all_heads() if head.archived_to is not None])

    def archive(self, head: Head, to: str) -> None:
        """Remove the events of a finished stream."""
        with self._lock:
            now = self._heads[head.stream]
            if now.archived_to is not None and now.archived_to != to:
                raise StreamArchived(head.stream, now.archived_to)
            self._refuse_owner(self.head(head.stream))
            if now.version == head.version and now.hash != head.hash:
                raise JournalRegressed(head.stream, head.version, now.version)
            if (now.version, now.operation) != (head.version, None):
                raise VersionConflict(head.stream, head.version, now.version)
            self._heads[head.stream] = attrs.evolve(now, archived_to=to, owner=None, lease_expires_at=None)
            self._snapshots.pop(head.stream, None)
            for event in self._streams.pop(head.stream, []):
                del self._by_id[event.id]

    def remove_archived(self, stream: str, archive: str) -> None:
        """Nothing: here the events of an archived stream are removed at once."""

    def restore(self, stream: str, read: Callable[[], Iterable[Event]]) -> None:
        """Put the events of an archived stream back."""
        with self._lock:
            head = self._heads[stream]
            if head.archived_to is None:
                return
            events = list(read())
            version, hash_ = (events[-1].version, events[-1].hash) if events else (0, None)
            if (head.version, head.hash) != (version, hash_):
                raise JournalRegressed(stream, head.version, version)
            self._heads[stream] = attrs.evolve(head, archived_to=None, changed_at=self._now())
            self._streams[stream] = events
            self._by_id |= {event.id: event for event in events}

    def _all_heads(self) -> list[Head]:
        with self._lock:
            now = self._now()
            return [attrs.evolve(self._heads[stream], read_at=now) for stream in sorted(self._heads)]

    def read(self, stream: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a stream."""
        with self._lock:
            return iter(self._streams.get(stream, [])[after:])

    def documents(self, stream: str) -> Iterator[Document]:
        """Yield the events of a stream as they are stored."""
        return (to_document(event) for event in self.read(stream))

    def mentioning(self, text: str) -> Sequence[str]:
        """Return the streams of which an event's data has this text in it."""
        as_written = msgspec.json.encode(text)[1:-1]
        with self._lock:
            return [name for name in sorted(self._streams) if any(as_written in self._line(e) for e in self._streams[name])]

    def _line(self, event: Event) -> bytes:
        if event.id not in self._lines:
            self._lines[event.id] = encode_line(event)
        return self._lines[event.id]

    def snapshot(self, stream: str) -> Snapshot | None:
        """Return the snapshot that was kept of a stream."""
        return self._snapshots.get(stream)

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        self._snapshots[snapshot.stream] = snapshot

    def unfinished_steps(self, stream: str | None = None) -> Iterator[UnfinishedStep]:
        """Yield the unfinished steps of all streams, or of one."""
        with self._lock:
            found = [step for step in self._unfinished.values() if stream in (None, step.stream)]
            return iter(sorted(found, key=lambda step: (step.stream, step.version)))

    def weaknesses(self) -> Sequence[str]:
        """Return nothing: that it is lost with its process is what it is for."""
        return ()

    def size_bytes(self) -> int:
        """Return how long all events are as JSON Lines."""
        with self._lock:
            return sum(len(self._line(event)) for events in self._streams.values() for event in events)

    def close(self) -> None:
        """Nothing to let go of."""

    def _is_recorded(self, events: Sequence[Event]) -> bool:
        stored = [self._by_id[event.id] for event in events if event.id in self._by_id]
        for event in events:
            known = self._by_id.get(event.id)
            if known is not None and known.hash != event.hash:
                raise EventIdReused(event.stream, event.id)
        head, last = self._heads.get(events[-1].stream), events[-1]
        archived = head is not None and head.archived_to is not None and (head.version, head.hash) == (last.version, last.hash)
        return archived or len(stored) == len(events)

    def _check(self, first: Event, previous_hash: str, expected_epoch: int, claim: Claim | None) -> None:
        stream, expected = first.stream, first.version - 1
        head = self.head(stream)
        if head is None:
            if expected:
                raise JournalRegressed(stream, expected, 0)
            return
        if head.archived_to is not None:
            raise StreamArchived(stream, head.archived_to)
        if head.epoch > expected_epoch:
            raise Fenced(stream, expected_epoch, head.epoch, head.owner)
        if head.version < expected or head.epoch < expected_epoch:
            raise JournalRegressed(stream, expected, head.version)
        if head.version > expected:
            raise VersionConflict(stream, expected, head.version)
        if head.hash != previous_hash:
            raise JournalRegressed(stream, expected, head.version)
        if claim is not None and head.owner != claim.owner:
            self._refuse_owner(head)

    def _refuse_owner(self, head: Head | None) -> None:
        if head is not None and head.owner_alive:
            assert head.owner is not None
            assert head.lease_expires_at is not None
            raise OwnerAlive(head.stream, head.owner, head.lease_expires_at)

    def _next_head(self, events: Sequence[Event], claim: Claim | None) -> Head:
        last, now = events[-1], self._now()
        before = self._heads.get(last.stream)
        assert last.hash is not None, "appended events are chained"
        owner, expires = (None, None) if before is None or last.epoch > before.epoch else (before.owner, before.lease_expires_at)
        if claim is not None:
            owner, expires = claim.owner, now + timedelta(seconds=claim.seconds)
        operation = None if before is None else before.operation
        for event in events:
            if isinstance(event.data, OperationStarted):
                operation = event.operation
            elif isinstance(event.data, OperationFinished):
                operation = None
        settled = 0 if before is None else before.settled_version
        return Head(last.stream, last.version, last.hash, last.epoch, owner, expires, operation, now, None, settled, now)

    def _index(self, event: Event) -> None:
        match event.data:
            case Completion(step=step):
                self._unfinished.pop(step, None)
            case OperationFinished():
                self._unfinished = {id_: step for id_, step in self._unfinished.items() if step.stream != event.stream}
            case data if isinstance(data, Intent):
                self._unfinished[data.step] = unfinished_step(event, data)
            case _:
                pass
