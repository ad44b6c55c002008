"""Taking the events of a finished stream out of the database, and putting them back.

The guard row stays. That it says where the events are is what lets the triggers pass their removal, and what refuses
every append in the same compare-and-swap that guards the version.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from sqlalchemy import Connection, delete, exists, insert, select, update

from journal.codec import to_document
from journal.errors import JournalRegressed, OwnerAlive, StreamArchived, VersionConflict
from journal.events import Event
from journal.sql.changes import event_row
from journal.sql.engine import Database
from journal.sql.heads import head_of
from journal.sql.schema import EVENTS, SNAPSHOTS, STREAMS, DatabaseNow
from journal.sql.statements import is_free
from journal.store import Head

PAGE: Final = 1000
"""Events removed or inserted by one statement."""


def archive(database: Database, head: Head, to: str) -> None:
    """Remove a stream's events. Does what `EventStore.archive` says."""
    _mark(database, head, to)
    database.change(delete(SNAPSHOTS).where(SNAPSHOTS.c.stream_id == head.stream))
    remove_archived(database, head.stream, to)


def remove_archived(database: Database, stream: str, archive: str) -> None:
    """Remove the events of a stream that is archived in this file. Does what `EventStore.remove_archived` says."""
    there = exists().where(STREAMS.c.stream_id == stream, STREAMS.c.archived_to == archive)
    version = select(STREAMS.c.version).where(STREAMS.c.stream_id == stream)
    for row in database.rows(version):
        for last in range(PAGE, row.version + PAGE, PAGE):
            # Each page looks again: an import may bring the stream back meanwhile.
            database.change(delete(EVENTS).where(EVENTS.c.stream_id == stream, EVENTS.c.version <= last, there))


def _mark(database: Database, head: Head, to: str) -> None:
    unchanged = (STREAMS.c.stream_id == head.stream) & (STREAMS.c.version == head.version) & (STREAMS.c.head_hash == head.hash)
    finished = STREAMS.c.operation.is_(None) & STREAMS.c.archived_to.is_(None) & is_free()
    if database.change(update(STREAMS).where(unchanged & finished).values(archived_to=to, owner=None, lease_expires_at=None)):
        return
    now = head_of(database, head.stream)
    if now is None or now.version < head.version or (now.version == head.version and now.hash != head.hash):
        raise JournalRegressed(head.stream, head.version, 0 if now is None else now.version)
    if now.archived_to is not None and now.archived_to != to:
        raise StreamArchived(head.stream, now.archived_to)
    if now.owner_alive:
        assert now.owner is not None
        assert now.lease_expires_at is not None
        raise OwnerAlive(head.stream, now.owner, now.lease_expires_at)
    if now.archived_to is None:
        raise VersionConflict(head.stream, head.version, now.version)


def restore(database: Database, stream: str, read: Callable[[], Iterable[Event]]) -> None:
    """Put a stream's events back. Does what `EventStore.restore` says."""
    archived = (STREAMS.c.stream_id == stream) & STREAMS.c.archived_to.is_not(None)

    def put_back(connection: Connection) -> None:
        if connection.execute(select(STREAMS.c.version).where(archived)).first() is None:
            return
        connection.execute(delete(EVENTS).where(EVENTS.c.stream_id == stream))  # those that a crash left unremoved
        last: Event | None = None
        events = iter(read())
        while page := list(islice(events, PAGE)):
            connection.execute(insert(EVENTS), [event_row(to_document(event)) for event in page])
            last = page[-1]
        version, hash_ = (0, None) if last is None else (last.version, last.hash)
        same = archived & (STREAMS.c.version == version) & (STREAMS.c.head_hash == hash_)
        if connection.execute(update(STREAMS).where(same).values(archived_to=None, changed_at=DatabaseNow())).rowcount != 1:
            head = head_of(database, stream)
            raise JournalRegressed(stream, 0 if head is None else head.version, version)

    database.transact(put_back)
