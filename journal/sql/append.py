"""An append: one transaction that compares and swaps the guard row, tried again until its outcome is known.

Whatever goes wrong, the same events are appended again. Only that can tell whether a COMMIT that was on its way has
arrived: reading back and finding nothing proves nothing.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, Final, Literal

import attrs
import msgspec
from sqlalchemy import ColumnElement, Double, Insert, Update, bindparam, delete, insert, null, or_, select, update
from sqlalchemy.exc import DBAPIError
from tenacity import RetryError

from journal.codec import Document, to_document
from journal.errors import (
    AppendOutcomeUnknown,
    EventIdReused,
    Fenced,
    JournalRegressed,
    OwnerAlive,
    StoreUnavailable,
    StreamArchived,
    VersionConflict,
)
from journal.events import Completion, Event, Intent, OperationFinished, OperationStarted
from journal.sql.engine import Database
from journal.sql.engines.backend import Away, Failure
from journal.sql.heads import head_of
from journal.sql.schema import EVENTS, STREAMS, UNFINISHED_STEPS, DatabaseNow
from journal.sql.transaction import Change, Transaction
from journal.store import Claim, Head
from journal.wording import subject


@attrs.define
class Append:
    """One append of chained events to one stream."""

    database: Database
    events: Sequence[Event]
    previous_hash: str
    expected_epoch: int
    claim: Claim | None
    may_be_recorded: bool = False
    """Whether a COMMIT was on its way when the database went away."""
    documents: Sequence[Document] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the documents here, where nobody waits for it."""
        self.documents = [to_document(event) for event in self.events]

    def run(self) -> tuple[Event, ...]:
        """Append, and return the events once they are durable. Raises what `EventStore.append` raises."""
        try:
            return self.database.retrying()(self._attempt)
        except RetryError as error:
            away = error.last_attempt.exception()
            why = f"The journal at {self.database.shown} cannot be written to: {away}"
            raise self._unsettled(why) or StoreUnavailable(f"{why} Nothing was recorded.") from away
        except StoreUnavailable as error:
            raise self._unsettled(str(error)) or error from error

    def _unsettled(self, why: str) -> AppendOutcomeUnknown | None:
        return AppendOutcomeUnknown(self.events[0].stream, self.events[0].version, why) if self.may_be_recorded else None

    def _attempt(self) -> tuple[Event, ...]:
        return tuple(self.events) if self._commit() else self._decide()

    def _commit(self) -> bool:
        """Do it in a transaction of its own. Return whether the guard row was hit."""
        committing = False
        try:
            with self.database.transaction() as transaction:
                hit = record(transaction, [self])
                if hit:
                    committing = True
                    transaction.commit()
                return hit
        except DBAPIError as error:
            failure = self.database.backend.failure(error)
            if failure is Failure.CONFLICT:
                return False
            self.may_be_recorded = self.may_be_recorded or (committing and failure is not Failure.ABORTED)
            if failure is Failure.FINAL:
                raise self.database.unavailable(error) from error
            raise Away(self.database.told(error)) from error

    def swap(self) -> tuple[Insert | Update, dict[str, Any]]:
        """Return the statement that compares and swaps the guard row, or inserts a new stream's, and its values."""
        first, last = self.events[0], self.events[-1]
        values: dict[str, Any] = {"version": last.version, "head_hash": last.hash, "epoch": last.epoch}
        if self.claim is not None:
            values |= {"owner": self.claim.owner, "lease_seconds": self.claim.seconds}
        takes = "claim" if self.claim is not None else "release" if last.epoch > self.expected_epoch else None
        for event in self.events:
            if isinstance(event.data, OperationStarted):
                values["operation"] = str(event.operation)
            elif isinstance(event.data, OperationFinished):
                values["operation"] = None
        if first.version == 1:
            return _new_stream(takes), {"operation": None, **values, "stream": first.stream}
        expected = {"before": first.version - 1, "epoch_before": self.expected_epoch, "hash_before": self.previous_hash}
        return _swapped(takes, sets_operation="operation" in values), {**values, **expected, "stream": first.stream}

    def _decide(self) -> tuple[Event, ...]:
        """Say why the guard row was not hit: recorded before, or refused, and by what."""
        first, expected, claim = self.events[0], self.events[0].version - 1, self.claim
        ids = [str(event.id) for event in self.events]
        found = self.database.rows(select(EVENTS.c.event_id, EVENTS.c.hash).where(EVENTS.c.event_id.in_(ids)))
        hashes: dict[str, str] = {row.event_id: row.hash for row in found}
        for event in self.events:
            if hashes.get(str(event.id), event.hash) != event.hash:
                raise EventIdReused(first.stream, event.id)
        if len(hashes) == len(self.events):
            return tuple(self.events)
        head = head_of(self.database, first.stream)
        if head is not None and head.archived_to is not None:
            return self._recorded_before(head, head.archived_to)
        if head is None or head.epoch < self.expected_epoch:
            raise JournalRegressed(first.stream, expected, 0 if head is None else head.version)
        if head.epoch > self.expected_epoch and expected:
            raise Fenced(first.stream, self.expected_epoch, head.epoch, head.owner)
        if head.version > expected:
            raise VersionConflict(first.stream, expected, head.version)
        if claim is not None and head.owner_alive and head.owner != claim.owner:
            assert head.owner is not None
            assert head.lease_expires_at is not None
            raise OwnerAlive(first.stream, head.owner, head.lease_expires_at)
        if (head.version, head.hash) == (expected, self.previous_hash):
            # A node of a cluster that had not caught up, or a lease that ran out just now: the row can be hit.
            msg = "the database was behind."
            raise Away(msg)
        raise JournalRegressed(first.stream, expected, head.version)

    def _recorded_before(self, head: Head, archive: str) -> tuple[Event, ...]:
        """Return the events if they were recorded right before their stream was archived. Raises StreamArchived."""
        last = self.events[-1]
        if (head.version, head.hash) != (last.version, last.hash):
            raise StreamArchived(head.stream, archive)
        return tuple(self.events)


def record(transaction: Transaction, appends: Sequence[Append]) -> bool:
    """Do appends in one transaction, in this order. Return whether each hit its guard row; if not, nothing may be committed."""
    return transaction.make([*_changes(appends)])


def _changes(appends: Sequence[Append]) -> Iterator[Change]:
    """Yield what appends change, in the order in which it is to be done."""
    for statement, swaps in groupby((append.swap() for append in appends), key=lambda swap: swap[0]):
        values = [each for _, each in swaps]
        yield Change(statement, values, hits=len(values))
    index = _IndexChanges()
    for append in appends:
        for event, document in zip(append.events, append.documents, strict=True):
            index.take(event, document)
    for change, rows in (
        (_INSERT_EVENTS, [event_row(document) for append in appends for document in append.documents]),
        (_OPERATION_FINISHED, [{"stream": stream} for stream in index.ended]),
        (_STEP_BEGUN, [*index.begun.values()]),
        (_STEP_COMPLETED, [{"done": step} for step in index.done]),
    ):
        if rows:
            yield Change(change, rows)


@attrs.define
class _IndexChanges:
    """What appends change in the index of unfinished steps, taken together."""

    ended: set[str] = attrs.field(factory=set)
    """The streams of which an operation ended: all that was unfinished before is not any more."""
    begun: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    done: list[str] = attrs.field(factory=list)

    def take(self, event: Event, document: Document) -> None:
        """Take in the next event."""
        match event.data:
            case Completion():
                step = document["data"]["step"]
                if self.begun.pop(step, None) is None:
                    self.done.append(step)
            case OperationFinished():
                self.ended.add(event.stream)
                self.begun = {step: row for step, row in self.begun.items() if row["stream_id"] != event.stream}
            case data if isinstance(data, Intent):
                self.begun[document["data"]["step"]] = unfinished_row(document, data)
            case _:
                pass


# The statements are made once: making them costs as much as running them.

_INSERT_EVENTS: Final = insert(EVENTS)
_STEP_BEGUN: Final = insert(UNFINISHED_STEPS)
_STEP_COMPLETED: Final = delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.step == bindparam("done"))
_OPERATION_FINISHED: Final = delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.stream_id == bindparam("stream"))

Takes = Literal["claim", "release"] | None
"""What an append does to ownership."""


def is_free() -> ColumnElement[bool]:
    """Return the condition that a guard row has no owner whose lease lives."""
    return or_(STREAMS.c.owner.is_(None), STREAMS.c.lease_expires_at <= DatabaseNow())


@cache
def _swapped(takes: Takes, *, sets_operation: bool) -> Update:
    """Return the compare-and-swap of a guard row."""
    guard = (
        (STREAMS.c.stream_id == bindparam("stream"))
        & (STREAMS.c.version == bindparam("before"))
        & (STREAMS.c.epoch == bindparam("epoch_before"))
        & (STREAMS.c.head_hash == bindparam("hash_before"))
        & STREAMS.c.archived_to.is_(None)
    )
    if takes == "claim":
        guard &= is_free() | (STREAMS.c.owner == bindparam("owner"))
    values = _values(takes) | ({"operation": bindparam("operation")} if sets_operation else {})
    return update(STREAMS).where(guard).values(values)


@cache
def _new_stream(takes: Takes) -> Insert:
    """Return the insertion of a guard row."""
    return insert(STREAMS).values(_values(takes) | {"stream_id": bindparam("stream"), "operation": bindparam("operation")})


def _values(takes: Takes) -> dict[str, Any]:
    values: dict[str, Any] = {name: bindparam(name) for name in ("version", "head_hash", "epoch")}
    values["changed_at"] = DatabaseNow()
    if takes == "claim":
        values |= {"owner": bindparam("owner"), "lease_expires_at": DatabaseNow() + bindparam("lease_seconds", type_=Double)}
    elif takes == "release":
        values |= {"owner": null(), "lease_expires_at": null()}
    return values


def event_row(document: Document) -> dict[str, Any]:
    """Return the row of a chained event."""
    row = {key: document[key] for key in ("version", "type", "schema", "recorded_at", "epoch", "operation", "hash")}
    data = msgspec.json.encode(document["data"]).decode()
    return {"stream_id": document["stream"], "event_id": document["id"], "data": data, **row}


def unfinished_row(document: Document, intent: Intent) -> dict[str, Any]:
    """Return an intent as the index of unfinished steps has it."""
    row = {key: document[key] for key in ("version", "operation", "recorded_at")}
    row |= {key: document["data"][key] for key in ("step", "stage", "action", "deadline")}
    return {"stream_id": document["stream"], "subject": subject(intent), **row}
