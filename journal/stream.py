"""One stream as its writer sees it: what was read so far, the rules, and appending under version and epoch."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self
from uuid import UUID, uuid4

from journal.clock import Clock
from journal.codec import FIRST_HASH
from journal.errors import DamagedStream, Fenced, OutOfOrder, StoreError, StreamArchived, VersionConflict
from journal.events import Data, DeletionRequested, Event, OperationStarted, OwnershipTaken, ResourceKind
from journal.redaction import redacted
from journal.rules import StreamRules
from journal.snapshot import EVERY, Snapshot, is_due, state_in, taken
from journal.store import Claim, EventStore, Head, chained
from journal.telemetry import Count, count, fields

FIRST_EPOCH: Final = 1
MOST_IDLE: Final = 20
"""How often reading on may bring nothing new although the stream is said to have gone on: a node can lag behind."""
IDLE_SECONDS: Final = 0.1
LOG: Final = logging.getLogger(__name__)


class Stream:
    """The stream of one cluster. It remembers every event it has read and appends only right after the last of them.

    A writer works under the epoch at which it took the stream (`epoch`), whatever it reads later: once that is not
    the stream's any more, it is fenced. Safe to use from many threads.
    """

    def __init__(self, store: EventStore, stream_id: str, clock: Clock, new_id: Callable[[], UUID] = uuid4) -> None:
        self.id = stream_id
        self.epoch = FIRST_EPOCH
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.RLock()
        self._events: list[Event] = []
        """Those read and appended, without a gap; the first ones are missing while a snapshot stands for them."""
        self._rules = StreamRules()
        self._snapshot: Snapshot | None = None

    @classmethod
    def load(
        cls, store: EventStore, stream_id: str, clock: Clock, new_id: Callable[[], UUID] = uuid4, *, whole: bool = True
    ) -> Self:
        """Return the stream at its present epoch; unless `whole`, a snapshot may stand for its past until that is asked for.

        Raises StreamArchived, and DamagedStream, Malformed or OutOfOrder if the stored stream is damaged.
        """
        stream = cls(store, stream_id, clock, new_id)
        head = store.head(stream_id)
        _refuse_archived(head)
        if not whole and head is not None and head.version >= EVERY:
            stream._begin_with(store.snapshot(stream_id))
        stream.refresh()
        if head is not None and stream.version < head.version:
            _refuse_archived(store.head(stream_id))
            msg = f"events are missing: the stream's head says version {head.version}"
            raise DamagedStream(stream_id, stream.version + 1, msg)
        stream.epoch = stream.current_epoch or FIRST_EPOCH
        return stream

    @property
    def events(self) -> tuple[Event, ...]:
        """What has been read and appended so far, from version 1 on."""
        self._read_past()
        return tuple(self._events)

    def since(self, version: int) -> tuple[Event, ...]:
        """Return what has been read and appended so far above a version."""
        if version < _before(self._events):
            self._read_past()
        events = self._events
        return tuple(events[version - _before(events) :])

    @property
    def version(self) -> int:
        """The version of the last event read or appended; 0 for a stream that does not exist yet."""
        return self._events[-1].version if self._events else 0

    @property
    def current_epoch(self) -> int:
        """The epoch of the last event read or appended."""
        return self._events[-1].epoch if self._events else 0

    @property
    def deletion_stands(self) -> bool:
        """Whether, as far as was read, somebody asked for the cluster's deletion and it has not come to an end."""
        return self._rules.deletion_stands

    @property
    def unfinished(self) -> UUID | None:
        """The unfinished operation, as far as was read; where a delete took another over, the delete."""
        return self._rules.current

    @property
    def is_deleted(self) -> bool:
        """Whether, as far as was read, the cluster ended as Deleted."""
        return self._rules.deleted

    def kind_of(self, id_: str) -> ResourceKind | None:
        """Return what the resource with this id is, as far as was read, or None if it is not known."""
        return self._rules.known.get(id_)

    @property
    def _hash(self) -> str:
        return (self._events[-1].hash or FIRST_HASH) if self._events else FIRST_HASH

    def refresh(self) -> tuple[Event, ...]:
        """Read on, and return what is new. Raises Malformed or OutOfOrder if the stored stream is damaged."""
        with self._lock:
            new = tuple(self._store.read(self.id, after=self.version))
            self._admit(new)
            return new

    def refuse_fenced(self) -> None:
        """Read on, and raise Fenced if somebody else took the stream over or a user asked for its deletion."""
        self.refresh()
        if self.epoch < self.current_epoch:
            raise self._fenced(self.epoch)

    def renew(self, claim: Claim) -> None:
        """Extend the lease. Raises Fenced if owner or epoch are others by now."""
        self._store.renew(self.id, claim, epoch=self.epoch)

    def release(self, owner: str) -> None:
        """Give the stream up, if it is still this owner's under this writer's epoch."""
        self._store.release(self.id, owner, epoch=self.epoch)

    def append(
        self, *data: Data, operation: UUID | None = None, claim: Claim | None = None, after: int | None = None
    ) -> tuple[Event, ...]:
        """Append right after what has been read, under this writer's epoch, and return the events once they are durable.

        `after`: the version that the decision to append rests on. If the stream has gone on since, be it by another
        thread of this writer, VersionConflict is raised. Raises what `EventStore.append` raises, and Malformed or
        OutOfOrder for what cannot stand here.
        """
        with self._lock:
            if after is not None and self.version != after:
                raise VersionConflict(self.id, after, self.version)
            return self._append([(item, operation) for item in data], self.epoch, claim)

    def append_next(self, *data: Data, operation: UUID | None = None, claim: Claim | None = None) -> tuple[Event, ...]:
        """Append after whatever others appended meanwhile. Raises Fenced if that raised the epoch."""
        with self._lock:
            for again in self._tries():
                try:
                    return self._append([(item, operation) for item in data], self.epoch, claim)
                except VersionConflict:
                    again()
            raise self._torn()

    def take(self, cause: str, claim: Claim, *more: Data, operation: UUID | None = None) -> tuple[Event, ...]:
        """Take the stream over: raise its epoch and work under that from here on; `more` is appended along with it.

        `operation` is what all of it belongs to; if `more` starts it, taking over stands outside.

        Raises OwnerAlive while another owner's lease lives, VersionConflict if somebody else was faster.
        """
        with self._lock:
            starts = any(isinstance(item, OperationStarted) for item in more)
            taken = (OwnershipTaken(claim.owner, cause), None if starts else operation)
            stored = self._append([taken, *((item, operation) for item in more)], self.current_epoch + 1, claim)
            self.epoch = self.current_epoch
            return stored

    def request_deletion(self, by: str, reason: str, *, operation: UUID | None = None) -> Event:
        """Record that a user wants the cluster deleted, whatever others append meanwhile. It fences whoever is at work."""
        with self._lock:
            for again in self._tries():
                try:
                    (event,) = self._append([(DeletionRequested(by, reason), operation)], self.current_epoch + 1, None)
                except (VersionConflict, Fenced):
                    again()
                else:
                    self.epoch = self.current_epoch
                    return event
            raise self._torn()

    def draft(self, data: Data, *, operation: UUID | None = None) -> Event:
        """Return the event that appending would make, without appending it: for a dry run."""
        return Event(self.id, self.version + 1, self._new_id(), self._clock.now(), self.current_epoch, operation, data)

    def _append(self, entries: Sequence[tuple[Data, UUID | None]], epoch: int, claim: Claim | None) -> tuple[Event, ...]:
        if epoch < self.current_epoch:
            count(Count.FENCED_APPENDS)
            raise self._fenced(epoch)
        now, previous = self._clock.now(), self._hash
        drafts = [
            Event(self.id, version, self._new_id(), now, epoch, operation, redacted(item))
            for version, (item, operation) in enumerate(entries, start=self.version + 1)
        ]
        events = chained(previous, drafts)
        expected_epoch = self.current_epoch
        try:
            for event in events:
                self._rules.admit(event)
            stored = self._store.append(events, previous_hash=previous, expected_epoch=expected_epoch, claim=claim)
        except BaseException as error:
            self._restart_rules()
            if isinstance(error, OutOfOrder):
                msg = f"Cluster {self.id!r}: {error}"
                raise OutOfOrder(msg) from error
            if isinstance(error, Fenced) and epoch == expected_epoch:
                count(Count.FENCED_APPENDS)
            raise
        self._events.extend(stored)
        self._keep_snapshot()
        return stored

    def _tries(self) -> Iterator[Callable[[], None]]:
        """Yield as long as trying again may help; what is yielded reads on, and waits if there is nothing new."""
        idle = 0

        def again() -> None:
            nonlocal idle
            idle = 0 if self.refresh() else idle + 1
            if idle:
                self._clock.sleep(IDLE_SECONDS)

        while idle < MOST_IDLE:
            yield again

    def _torn(self) -> DamagedStream:
        """Return the error for a guard row that says another version or epoch than the events do."""
        head = self._store.head(self.id)
        said = "nothing" if head is None else f"version {head.version}, epoch {head.epoch}"
        msg = f"the stream's head says {said}; its events end at version {self.version}, epoch {self.current_epoch}"
        return DamagedStream(self.id, self.version, msg)

    def _fenced(self, epoch: int) -> Fenced:
        head = self._store.head(self.id)
        return Fenced(self.id, epoch, self.current_epoch, None if head is None else head.owner)

    def _admit(self, events: Sequence[Event]) -> None:
        admitted = self._events
        try:
            for event in events:
                self._rules.admit(event)
                admitted.append(event)
        except OutOfOrder as error:
            msg = (
                f"Cluster {self.id!r}, version {event.version}: {error}. The stored stream is damaged; run "
                f"`provjournal journal verify`."
            )
            raise OutOfOrder(msg) from error

    def _restart_rules(self) -> None:
        state = state_in(self._snapshot) if self._snapshot is not None else None
        self._rules = state or StreamRules()
        for event in self.since(self._rules.version):
            self._rules.admit(event)

    # ---- snapshots

    def _begin_with(self, snapshot: Snapshot | None) -> None:
        """Begin with a snapshot if it can be believed: then its last event is the first one that is kept."""
        state = state_in(snapshot) if snapshot is not None else None
        if snapshot is None or state is None:
            return
        last = next(self._store.read(self.id, after=snapshot.version - 1), None)
        if last is not None and (last.version, last.hash) == (snapshot.version, snapshot.hash):
            self._events, self._rules, self._snapshot = [last], state, snapshot

    def _read_past(self) -> None:
        """Read what a snapshot stood for."""
        with self._lock:
            if not _before(self._events):
                return
            past = Stream(self._store, self.id, self._clock)
            past.refresh()
            if past.version < self.version or past._events[self.version - 1] != self._events[-1]:
                msg = "the event is not the one that was read before"
                raise DamagedStream(self.id, self.version, msg)
            self._events = past._events[: self.version]

    def _keep_snapshot(self) -> None:
        """Keep a snapshot if that is worth while. What was appended stands, whether that works out or not."""
        if not is_due(self.version, 0 if self._snapshot is None else self._snapshot.version):
            return
        self._snapshot = taken(self.id, self._hash, self._rules)
        try:
            self._store.keep_snapshot(self._snapshot)
        except StoreError as error:
            LOG.warning("cluster %s: no snapshot was kept: %s", self.id, error, extra=fields(self.id))


def _refuse_archived(head: Head | None) -> None:
    if head is not None and head.archived_to is not None:
        raise StreamArchived(head.stream, head.archived_to)


def _before(events: Sequence[Event]) -> int:
    """Return how many events stand before these in their stream."""
    return events[0].version - 1 if events else 0
