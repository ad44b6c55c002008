"""An append: one transaction that compares and swaps the guard row, tried again until its outcome is known.

Whatever goes wrong, the same events are appended again. Only that can tell whether a COMMIT that was on its way has
arrived: reading back and finding nothing proves nothing.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Literal

import attrs
import msgspec
from sqlalchemy import ColumnElement, Connection, Double, Insert, Update, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError
from tenacity import RetryError

from journal.codec import to_document
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
from journal.store import Claim, Head, unfinished_step


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

    def apply(self, connection: Connection) -> bool:
        """Do it in a transaction. Return whether the guard row was hit; if not, nothing was changed."""
        hit = self._swap(connection)
        if hit:
            self._insert(connection)
        return hit

    def _unsettled(self, why: str) -> AppendOutcomeUnknown | None:
        return AppendOutcomeUnknown(self.events[0].stream, self.events[0].version, why) if self.may_be_recorded else None

    def _attempt(self) -> tuple[Event, ...]:
        return tuple(self.events) if self._commit() else self._decide()

    def _commit(self) -> bool:
        """Do it in a transaction of its own. Return whether the guard row was hit."""
        committing = False
        try:
            with self.database.engine.connect() as connection, connection.begin() as transaction:
                hit = self.apply(connection)
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

    def _swap(self, connection: Connection) -> bool:
        """Compare and swap the guard row, or insert a new stream's. Return whether exactly this row was hit."""
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
            connection.execute(_new_stream(takes), {"operation": None, **values, "stream": first.stream})
            return True
        expected = {"before": first.version - 1, "epoch_before": self.expected_epoch, "hash_before": self.previous_hash}
        statement = _swapped(takes, sets_operation="operation" in values)
        return connection.execute(statement, {**values, **expected, "stream": first.stream}).rowcount == 1

    def _insert(self, connection: Connection) -> None:
        connection.execute(_INSERT_EVENTS, [event_row(event) for event in self.events])
        for event in self.events:
            match event.data:
                case Completion(step=step):
                    connection.execute(_STEP_COMPLETED, {"done": str(step)})
                case OperationFinished():
                    connection.execute(_OPERATION_FINISHED, {"stream": event.stream})
                case data if isinstance(data, Intent):
                    connection.execute(_STEP_BEGUN, unfinished_row(event, data))
                case _:
                    pass

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
        values |= {"owner": None, "lease_expires_at": None}
    return values


def event_row(event: Event) -> dict[str, Any]:
    """Return the row of a chained event."""
    document = to_document(event)
    data = msgspec.json.encode(document["data"]).decode()
    row = {key: document[key] for key in ("version", "type", "schema", "recorded_at", "epoch", "operation", "hash")}
    return {"stream_id": event.stream, "event_id": document["id"], "data": data, **row}


def unfinished_row(event: Event, intent: Intent) -> dict[str, Any]:
    """Return an intent as the index of unfinished steps has it."""
    entry, document = unfinished_step(event, intent), to_document(event)
    return {
        "step": str(entry.step),
        "stream_id": entry.stream,
        "version": entry.version,
        "operation": str(entry.operation),
        "stage": entry.stage,
        "action": entry.action,
        "subject": entry.subject,
        "recorded_at": document["recorded_at"],
        "deadline": document["data"]["deadline"],
    }
