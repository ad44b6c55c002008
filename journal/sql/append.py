"""An append: one transaction that compares and swaps the guard row, tried again until its outcome is known.

Whatever goes wrong, the same events are appended again. Only that can tell whether a COMMIT that was on its way has
arrived: reading back and finding nothing proves nothing.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
from sqlalchemy import Connection, delete, insert, or_, select, update
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
    VersionConflict,
)
from journal.events import Completion, Event, Intent, OperationFinished, OperationStarted
from journal.sql.engine import Away, Database
from journal.sql.engines.backend import Failure
from journal.sql.heads import head_of
from journal.sql.schema import EVENTS, STREAMS, UNFINISHED_STEPS, DatabaseNow
from journal.store import Claim, unfinished_step


@attrs.define
class Append:
    """One append of chained events to one stream."""

    database: Database
    events: Sequence[Event]
    previous_hash: str
    expected_epoch: int
    claim: Claim | None
    _unknown: bool = attrs.field(default=False, init=False)
    """Whether a COMMIT was on its way when the database went away."""

    def run(self) -> tuple[Event, ...]:
        """Append, and return the events once they are durable. Raises what `EventStore.append` raises."""
        try:
            if self.database.retrying()(self._attempt):
                return tuple(self.events)
            return self._decide()
        except RetryError as error:
            away = error.last_attempt.exception()
            msg = f"The journal at {self.database.shown} cannot be written to: {away}. Nothing was recorded."
            raise self._unsettled() or StoreUnavailable(msg) from away
        except StoreUnavailable as error:
            raise self._unsettled() or error from error

    def _unsettled(self) -> AppendOutcomeUnknown | None:
        return AppendOutcomeUnknown(self.events[0].stream, self.events[0].version) if self._unknown else None

    def _attempt(self) -> bool:
        """Try once. Return whether the guard row was hit, and so everything is recorded."""
        committing = False
        try:
            with self.database.engine.connect() as connection:
                transaction = connection.begin()
                if not self._swap(connection):
                    transaction.rollback()
                    return False
                self._insert(connection)
                committing = True
                transaction.commit()
                return True
        except DBAPIError as error:
            failure = self.database.backend.failure(error)
            if failure is Failure.CONFLICT:
                return False
            self._unknown = self._unknown or (committing and failure is not Failure.ABORTED)
            if failure is Failure.FINAL:
                raise self.database.unavailable(error) from error
            raise Away(error) from error

    def _swap(self, connection: Connection) -> bool:
        """Compare and swap the guard row, or insert a new stream's. Return whether exactly this row was hit."""
        first = self.events[0]
        values = self._guard_values()
        if first.version == 1:
            connection.execute(insert(STREAMS).values(stream_id=first.stream, **values))
            return True
        guard = (
            (STREAMS.c.stream_id == first.stream)
            & (STREAMS.c.version == first.version - 1)
            & (STREAMS.c.epoch == self.expected_epoch)
            & (STREAMS.c.head_hash == self.previous_hash)
        )
        if self.claim is not None:
            free = or_(
                STREAMS.c.owner.is_(None), STREAMS.c.owner == self.claim.owner, STREAMS.c.lease_expires_at <= DatabaseNow()
            )
            guard &= free
        return connection.execute(update(STREAMS).where(guard).values(**values)).rowcount == 1

    def _guard_values(self) -> dict[str, Any]:
        last = self.events[-1]
        values: dict[str, Any] = {"version": last.version, "head_hash": last.hash, "epoch": last.epoch}
        if self.claim is not None:
            values |= {"owner": self.claim.owner, "lease_expires_at": DatabaseNow() + self.claim.seconds}
        elif last.epoch > self.expected_epoch:
            values |= {"owner": None, "lease_expires_at": None}
        for event in self.events:
            if isinstance(event.data, OperationStarted):
                values["operation"] = str(event.operation)
            elif isinstance(event.data, OperationFinished):
                values["operation"] = None
        return values

    def _insert(self, connection: Connection) -> None:
        connection.execute(insert(EVENTS), [_event_row(event) for event in self.events])
        for event in self.events:
            match event.data:
                case Completion(step=step):
                    connection.execute(delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.step == str(step)))
                case OperationFinished():
                    connection.execute(delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.stream_id == event.stream))
                case data if isinstance(data, Intent):
                    connection.execute(insert(UNFINISHED_STEPS).values(_unfinished_row(event, data)))
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
        raise JournalRegressed(first.stream, expected, head.version)


def _event_row(event: Event) -> dict[str, Any]:
    document = to_document(event)
    data = msgspec.json.encode(document["data"]).decode()
    row = {key: document[key] for key in ("version", "type", "schema", "recorded_at", "epoch", "operation", "hash")}
    return {"stream_id": event.stream, "event_id": document["id"], "data": data, **row}


def _unfinished_row(event: Event, intent: Intent) -> dict[str, Any]:
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
