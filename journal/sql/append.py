"""An append: one transaction that compares and swaps the guard row, tried again until its outcome is known.

Whatever goes wrong, the same events are appended again. Only that can tell whether a COMMIT that was on its way has
arrived: reading back and finding nothing proves nothing.
"""

import attrs
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from tenacity import RetryError

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
from journal.events import Event
from journal.sql.changes import Entry, changes
from journal.sql.engine import Database
from journal.sql.engines.backend import Away, Failure
from journal.sql.heads import head_of
from journal.sql.schema import EVENTS
from journal.store import Head


@attrs.define
class Append:
    """One append of chained events to one stream."""

    database: Database
    entry: Entry
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

    def _unsettled(self, why: str) -> AppendOutcomeUnknown | None:
        return (
            AppendOutcomeUnknown(self.entry.events[0].stream, self.entry.events[0].version, why) if self.may_be_recorded else None
        )

    def _attempt(self) -> tuple[Event, ...]:
        return tuple(self.entry.events) if self._commit() else self._decide()

    def _commit(self) -> bool:
        """Do it in a transaction of its own. Return whether the guard row was hit."""
        transaction = self.database.transaction()
        try:
            return bool(transaction.record(changes([self.entry])))
        except DBAPIError as error:
            failure = self.database.backend.failure(error)
            if failure is Failure.CONFLICT:
                return False
            self.may_be_recorded = self.may_be_recorded or transaction.may_be_recorded(error)
            if failure is Failure.FINAL:
                raise self.database.unavailable(error) from error
            raise Away(self.database.told(error)) from error

    def _decide(self) -> tuple[Event, ...]:
        """Say why the guard row was not hit: recorded before, or refused, and by what."""
        first, expected, claim = self.entry.events[0], self.entry.events[0].version - 1, self.entry.claim
        ids = [str(event.id) for event in self.entry.events]
        found = self.database.rows(select(EVENTS.c.event_id, EVENTS.c.hash).where(EVENTS.c.event_id.in_(ids)))
        hashes: dict[str, str] = {row.event_id: row.hash for row in found}
        for event in self.entry.events:
            if hashes.get(str(event.id), event.hash) != event.hash:
                raise EventIdReused(first.stream, event.id)
        if len(hashes) == len(self.entry.events):
            return tuple(self.entry.events)
        head = head_of(self.database, first.stream)
        if head is not None and head.archived_to is not None:
            return self._recorded_before(head, head.archived_to)
        if head is None or head.epoch < self.entry.expected_epoch:
            raise JournalRegressed(first.stream, expected, 0 if head is None else head.version)
        if head.epoch > self.entry.expected_epoch and expected:
            raise Fenced(first.stream, self.entry.expected_epoch, head.epoch, head.owner)
        if head.version > expected:
            raise VersionConflict(first.stream, expected, head.version)
        if claim is not None and head.owner_alive and head.owner != claim.owner:
            assert head.owner is not None
            assert head.lease_expires_at is not None
            raise OwnerAlive(first.stream, head.owner, head.lease_expires_at)
        if (head.version, head.hash) == (expected, self.entry.previous_hash):
            # A node of a cluster that had not caught up, or a lease that ran out just now: the row can be hit.
            msg = "the database was behind."
            raise Away(msg)
        raise JournalRegressed(first.stream, expected, head.version)

    def _recorded_before(self, head: Head, archive: str) -> tuple[Event, ...]:
        """Return the events if they were recorded right before their stream was archived. Raises StreamArchived."""
        last = self.entry.events[-1]
        if (head.version, head.hash) != (last.version, last.hash):
            raise StreamArchived(head.stream, archive)
        return tuple(self.entry.events)
