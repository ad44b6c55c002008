"""The SQL store: streams in a database that any SQL client can read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Row, Select, case, exists, insert, select, update

from journal.codec import Document
from journal.errors import DamagedStream, Fenced
from journal.events import Event
from journal.snapshot import Snapshot
from journal.sql.append import Append
from journal.sql.archive import archive, remove_archived, restore
from journal.sql.changes import Entry
from journal.sql.engine import Database, parsed
from journal.sql.group import GroupCommit
from journal.sql.heads import HEADS, as_head, head_of
from journal.sql.opening import id_in, identified
from journal.sql.read import documents, read
from journal.sql.schema import EVENTS, SNAPSHOTS, STREAMS, UNFINISHED_STEPS, DatabaseNow
from journal.store import Claim, Head, UnfinishedStep

PAGE: Final = 1000
"""Guard rows read at once."""

_ALL_UNFINISHED: Final = """SELECT stream_id, version, operation, step, stage, action, subject, recorded_at, deadline
    FROM unfinished_steps ORDER BY stream_id, version"""
"""What whoever recovers asks first."""


def open_store(url: str, *, upgrade: bool = False, strict: bool = False) -> "SqlStore":
    """Open the journal at a database URL; `upgrade` makes its tables or brings them up to date.

    Settings under which what was acknowledged could be lost are logged as warnings, or refused if `strict`. Raises
    StoreError, with the next step, if there is no journal there or it cannot be used.
    """
    database = Database(parsed(url))
    database.backend.check_place(database.url, make=upgrade)
    try:
        if upgrade:
            from journal.sql.upgrade import upgrade as make_tables  # noqa: PLC0415 (Alembic is loaded only by those who need it)

            make_tables(database)
        return SqlStore(database, identified(database, strict=strict))
    except BaseException:
        database.close()
        raise


def downgrade_store(url: str, revision: str) -> None:
    """Take the tables of the journal at a database URL back to an older revision. Raises StoreError if that cannot be done."""
    from journal.sql.upgrade import downgrade  # noqa: PLC0415 (the same)

    with closing(Database(parsed(url))) as database:
        database.backend.check_place(database.url, make=False)
        downgrade(database, revision)


class SqlStore:
    """Streams in an SQL database. Safe to use from many threads and many processes."""

    def __init__(self, database: Database, journal_id: UUID | None = None) -> None:
        """Use a database whose tables are current. Its journal's id is asked for unless it is known."""
        self._database = database
        self._appends = GroupCommit(database)
        self._journal_id = journal_id or id_in(database)

    @property
    def journal_id(self) -> UUID:
        """The id of this journal."""
        return self._journal_id

    @property
    def appends_waiting(self) -> int:
        """How many appends of this process wait for their turn, to be committed together."""
        return self._appends.waiting

    def append(
        self, events: Sequence[Event], *, previous_hash: str, expected_epoch: int, claim: Claim | None = None
    ) -> tuple[Event, ...]:
        """Append chained events of one stream in one transaction."""
        return self._appends.append(Append(self._database, Entry(events, previous_hash, expected_epoch, claim)))

    def renew(self, stream: str, claim: Claim, *, epoch: int) -> None:
        """Extend the owner's lease."""
        mine = (STREAMS.c.stream_id == stream) & (STREAMS.c.owner == claim.owner) & (STREAMS.c.epoch == epoch)
        if not self._database.change(update(STREAMS).where(mine).values(lease_expires_at=DatabaseNow() + claim.seconds)):
            head = self.head(stream)
            raise Fenced(stream, epoch, head.epoch if head else 0, head.owner if head else None)

    def release(self, stream: str, owner: str, *, epoch: int) -> None:
        """Give the stream up."""
        mine = (STREAMS.c.stream_id == stream) & (STREAMS.c.owner == owner) & (STREAMS.c.epoch == epoch)
        self._database.change(update(STREAMS).where(mine).values(owner=None, lease_expires_at=None))

    def settle(self, stream: str, version: int) -> None:
        """Note that nothing is left to do for a stream."""
        # Below 0 it goes down each time: on Galera an update that changes nothing is not seen by the other nodes.
        unsettled = case((STREAMS.c.settled_version < 0, STREAMS.c.settled_version - 1), else_=-1)
        settled = case((STREAMS.c.version == version, version), else_=unsettled)
        self._database.change(update(STREAMS).where(STREAMS.c.stream_id == stream).values(settled_version=settled))

    def head(self, stream: str) -> Head | None:
        """Return the guard row of a stream."""
        return head_of(self._database, stream)

    def heads(
        self, *, changed_since: datetime | None = None, unsettled: bool = False, damaged: list[DamagedStream] | None = None
    ) -> Iterator[Head]:
        """Yield the guard rows of all streams that are not archived, or of those among them that are asked for."""
        there = HEADS.where(STREAMS.c.archived_to.is_(None))
        if unsettled:
            there = there.where(STREAMS.c.settled_version != STREAMS.c.version)
        if changed_since is not None:
            microsecond = 1e-6  # to which a datetime is rounded
            there = there.where(STREAMS.c.changed_at >= changed_since.timestamp() - microsecond)
        return self._heads(there, damaged)

    def headless(self) -> Sequence[str]:
        """Return the streams that have events and no guard row."""
        headless = EVENTS.c.stream_id.not_in(select(STREAMS.c.stream_id))
        rows = self._database.rows(select(EVENTS.c.stream_id).where(headless).distinct().order_by(EVENTS.c.stream_id))
        return [row.stream_id for row in rows]

    def archived(self, *, still_stored: bool = False) -> Iterator[Head]:
        """Yield the guard rows of the archived streams."""
        archived = HEADS.where(STREAMS.c.archived_to.is_not(None))
        stored = exists().where(EVENTS.c.stream_id == STREAMS.c.stream_id)
        return self._heads(archived.where(stored) if still_stored else archived)

    def archive(self, head: Head, to: str) -> None:
        """Remove the events of a finished stream."""
        archive(self._database, head, to)

    def remove_archived(self, stream: str, archive: str) -> None:
        """Remove what a crash left of the events of an archived stream."""
        remove_archived(self._database, stream, archive)

    def restore(self, stream: str, read: Callable[[], Iterable[Event]]) -> None:
        """Put the events of an archived stream back."""
        restore(self._database, stream, read)

    def _heads(self, wanted: Select[Any], damaged: list[DamagedStream] | None = None) -> Iterator[Head]:
        last = ""
        while True:
            page = wanted.where(STREAMS.c.stream_id > last).order_by(STREAMS.c.stream_id).limit(PAGE)
            rows = self._database.rows(page)
            if not rows:
                return
            for row in rows:
                try:
                    yield as_head(row)
                except DamagedStream as damage:
                    if damaged is None:
                        raise
                    damaged.append(damage)
            last = rows[-1].stream_id

    def read(self, stream: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a stream."""
        return read(self._database, stream, after)

    def documents(self, stream: str) -> Iterator[Document]:
        """Yield the events of a stream as they are stored."""
        return documents(self._database, stream)

    def mentioning(self, text: str) -> Sequence[str]:
        """Return the streams of which an event's data has this text in it: one scan by the database."""
        as_stored = msgspec.json.encode(text).decode()[1:-1]
        found = select(EVENTS.c.stream_id).where(EVENTS.c.data.contains(as_stored, autoescape=True)).distinct()
        return [row.stream_id for row in self._database.rows(found.order_by(EVENTS.c.stream_id))]

    def snapshot(self, stream: str) -> Snapshot | None:
        """Return the snapshot that was kept of a stream."""
        for row in self._database.rows(select(SNAPSHOTS).where(SNAPSHOTS.c.stream_id == stream)):
            return Snapshot(row.stream_id, row.version, row.hash, row.made_by, row.data)
        return None

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        values = {name: getattr(snapshot, name) for name in ("version", "hash", "made_by", "data")}
        its = SNAPSHOTS.c.stream_id == snapshot.stream

        def keep(connection: Connection) -> None:
            if not connection.execute(update(SNAPSHOTS).where(its).values(values)).rowcount:
                connection.execute(insert(SNAPSHOTS).values(stream_id=snapshot.stream, **values))

        self._database.transact(keep)

    def unfinished_steps(self, stream: str | None = None) -> Iterator[UnfinishedStep]:
        """Yield the unfinished steps of all streams, or of one."""
        if stream is None:
            return map(_unfinished, self._database.rows_of_text(_ALL_UNFINISHED))
        its = select(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.stream_id == stream)
        return map(_unfinished, self._database.rows(its.order_by(UNFINISHED_STEPS.c.version)))

    def weaknesses(self) -> Sequence[str]:
        """Return the settings of the database under which what was acknowledged could be lost."""
        return self._database.look(self._database.backend.weaknesses)

    def size_bytes(self) -> int:
        """Return how much room tables and indexes take."""
        ((size,),) = self._database.rows(self._database.backend.size())
        return int(size)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _unfinished(row: Row[Any]) -> UnfinishedStep:
    return UnfinishedStep(
        stream=row.stream_id,
        version=row.version,
        operation=UUID(row.operation),
        step=UUID(row.step),
        stage=row.stage,
        action=row.action,
        subject=row.subject,
        recorded_at=datetime.fromisoformat(row.recorded_at),
        deadline=datetime.fromisoformat(row.deadline),
    )
