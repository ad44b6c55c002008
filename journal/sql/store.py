"""The SQL store: one transaction an append, guarded by the compare-and-swap of one row."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from journal.codec import Document, from_document, to_document
from journal.errors import (
    AppendOutcomeUnknown,
    EventIdReused,
    Fenced,
    JournalRegressed,
    Malformed,
    OwnerAlive,
    SchemaNotCurrent,
    StoreUnavailable,
    VersionConflict,
)
from journal.events import Completion, Event, Intent, OperationFinished, OperationStarted
from journal.sql.engine import READS, connect, database_file, parsed, shown
from journal.sql.schema import EVENTS, JOURNAL, STREAMS, UNFINISHED_STEPS, DatabaseNow
from journal.sql.upgrade import check_current
from journal.sql.upgrade import upgrade as make_tables
from journal.store import Claim, Head, UnfinishedStep, unfinished_step

PAGE: Final = 1000
"""Events read at once."""
APPEND_SECONDS: Final = 60.0
"""How long an append is tried again while the database is busy or away."""


def open_store(url: str, *, upgrade: bool = False) -> "SqlStore":
    """Open the journal at a database URL; `upgrade` makes its tables or brings them up to date.

    Raises StoreError, with the next step, if there is no journal there or it cannot be used.
    """
    target = parsed(url)
    path = database_file(target)
    if not path.exists() and not upgrade:
        msg = f"There is no journal at {shown(target)}. Make it with `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    if not path.absolute().parent.is_dir():
        msg = f"The journal at {shown(target)} cannot be made: there is no folder {path.parent}"
        raise StoreUnavailable(msg)
    engine = connect(target)
    try:
        if upgrade:
            make_tables(engine)
        check_current(engine)
        return SqlStore(engine)
    except BaseException:
        engine.dispose()
        raise


class _Transient(Exception):
    """The database is busy or away. `committing`: whether a COMMIT may have been on its way."""

    def __init__(self, committing: bool, cause: DBAPIError) -> None:  # noqa: FBT001 (two lines away from its only callers)
        super().__init__(str(cause.orig))
        self.committing = committing
        self.cause = cause


class SqlStore:
    """Streams in an SQL database. Safe to use from many threads and many processes."""

    def __init__(self, engine: Engine, *, append_seconds: float = APPEND_SECONDS) -> None:
        """Use an engine of `journal.sql.engine.connect`, whose tables are current."""
        self._engine = engine
        self._reader = engine.execution_options(**{READS: True})
        self._append_seconds = append_seconds
        with self._reading() as connection:
            self._journal_id = UUID(connection.execute(select(JOURNAL.c.id)).scalar_one())

    @property
    def journal_id(self) -> UUID:
        """The id of this journal."""
        return self._journal_id

    def append(
        self, events: Sequence[Event], *, previous_hash: str, expected_epoch: int, claim: Claim | None = None
    ) -> tuple[Event, ...]:
        """Append chained events of one stream in one transaction."""
        retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            wait=wait_random_exponential(multiplier=0.01, max=1),
            stop=stop_after_delay(self._append_seconds),
        )
        committing = False
        try:
            for attempt in retrying:
                with attempt:
                    try:
                        return self._append_once(events, previous_hash, expected_epoch, claim)
                    except _Transient as busy:
                        committing = committing or busy.committing
                        raise
        except RetryError as error:
            busy_last = error.last_attempt.exception()
            first = events[0]
            if committing:
                raise AppendOutcomeUnknown(first.stream, first.version) from busy_last
            msg = f"The journal at {shown(self._engine.url)} cannot be written to: {busy_last}. Nothing was recorded."
            raise StoreUnavailable(msg) from busy_last
        raise AssertionError("an attempt returns or raises")  # noqa: EM101, TRY003 (cannot happen)

    def renew(self, stream: str, claim: Claim, *, epoch: int) -> None:
        """Extend the owner's lease."""
        mine = (STREAMS.c.stream_id == stream) & (STREAMS.c.owner == claim.owner) & (STREAMS.c.epoch == epoch)
        with self._writing() as connection:
            hit = connection.execute(update(STREAMS).where(mine).values(lease_expires_at=DatabaseNow() + claim.seconds)).rowcount
        if not hit:
            head = self.head(stream)
            raise Fenced(stream, epoch, head.epoch if head else 0, head.owner if head else None)

    def release(self, stream: str, owner: str, *, epoch: int) -> None:
        """Give the stream up."""
        mine = (STREAMS.c.stream_id == stream) & (STREAMS.c.owner == owner) & (STREAMS.c.epoch == epoch)
        with self._writing() as connection:
            connection.execute(update(STREAMS).where(mine).values(owner=None, lease_expires_at=None))

    def head(self, stream: str) -> Head | None:
        """Return the guard row of a stream."""
        with self._reading() as connection:
            row = connection.execute(_HEADS.where(STREAMS.c.stream_id == stream)).one_or_none()
        return None if row is None else _head(row)

    def heads(self) -> Iterator[Head]:
        """Yield the guard rows of all streams."""
        last = ""
        while True:
            page = _HEADS.where(STREAMS.c.stream_id > last).order_by(STREAMS.c.stream_id).limit(PAGE)
            with self._reading() as connection:
                rows = connection.execute(page).all()
            if not rows:
                return
            yield from map(_head, rows)
            last = rows[-1].stream_id

    def read(self, stream: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a stream."""
        for document in self._documents(stream, after):
            try:
                event = from_document(document)
            except Malformed as error:
                msg = f"Cluster {stream!r}, version {document['version']}: {error}"
                raise Malformed(msg) from error
            yield event

    def documents(self, stream: str) -> Iterator[Document]:
        """Yield the events of a stream as they are stored."""
        return self._documents(stream, 0)

    def unfinished_steps(self) -> Iterator[UnfinishedStep]:
        """Yield the unfinished steps of all streams."""
        with self._reading() as connection:
            rows = connection.execute(
                select(UNFINISHED_STEPS).order_by(UNFINISHED_STEPS.c.stream_id, UNFINISHED_STEPS.c.version)
            ).all()
        return map(_unfinished, rows)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # ---- appending

    def _append_once(
        self, events: Sequence[Event], previous_hash: str, expected_epoch: int, claim: Claim | None
    ) -> tuple[Event, ...]:
        committing = False
        try:
            with self._engine.connect() as connection:
                transaction = connection.begin()
                if self._swap(connection, events, previous_hash, expected_epoch, claim):
                    _insert(connection, events)
                    committing = True
                    transaction.commit()
                    return tuple(events)
                transaction.rollback()
        except IntegrityError as error:
            if not _is_conflict(error):
                raise StoreUnavailable(self._failed(error)) from error
        except DBAPIError as error:
            if _is_transient(error):
                raise _Transient(committing, error) from error
            if committing:
                raise AppendOutcomeUnknown(events[0].stream, events[0].version) from error
            raise StoreUnavailable(self._failed(error)) from error
        return self._decide(events, expected_epoch, claim)

    def _swap(
        self, connection: Connection, events: Sequence[Event], previous_hash: str, expected_epoch: int, claim: Claim | None
    ) -> bool:
        """Compare and swap the guard row, or insert a new stream's. Return whether exactly this row was hit."""
        first, last = events[0], events[-1]
        values = _guard_values(events, expected_epoch, claim)
        if first.version == 1:
            connection.execute(insert(STREAMS).values(stream_id=first.stream, **values))
            return True
        guard = (
            (STREAMS.c.stream_id == first.stream)
            & (STREAMS.c.version == first.version - 1)
            & (STREAMS.c.epoch == expected_epoch)
            & (STREAMS.c.head_hash == previous_hash)
        )
        if claim is not None:
            free = or_(STREAMS.c.owner.is_(None), STREAMS.c.owner == claim.owner, STREAMS.c.lease_expires_at <= DatabaseNow())
            guard &= free
        assert last.version == first.version + len(events) - 1, "events are consecutive"
        return connection.execute(update(STREAMS).where(guard).values(**values)).rowcount == 1

    def _decide(self, events: Sequence[Event], expected_epoch: int, claim: Claim | None) -> tuple[Event, ...]:
        """Say why the guard row was not hit: recorded before, or refused, and by what."""
        first, expected = events[0], events[0].version - 1
        with self._reading() as connection:
            ids = [str(event.id) for event in events]
            found = connection.execute(select(EVENTS.c.event_id, EVENTS.c.hash).where(EVENTS.c.event_id.in_(ids))).all()
        hashes: dict[str, str] = {row.event_id: row.hash for row in found}
        for event in events:
            if hashes.get(str(event.id), event.hash) != event.hash:
                raise EventIdReused(first.stream, event.id)
        if len(hashes) == len(events):
            return tuple(events)
        head = self.head(first.stream)
        if head is None or head.epoch < expected_epoch:
            raise JournalRegressed(first.stream, expected, 0 if head is None else head.version)
        if head.epoch > expected_epoch and expected:
            raise Fenced(first.stream, expected_epoch, head.epoch, head.owner)
        if head.version > expected:
            raise VersionConflict(first.stream, expected, head.version)
        if claim is not None and head.owner_alive and head.owner != claim.owner:
            assert head.owner is not None
            assert head.lease_expires_at is not None
            raise OwnerAlive(first.stream, head.owner, head.lease_expires_at)
        raise JournalRegressed(first.stream, expected, head.version)

    # ---- reading

    def _documents(self, stream: str, after: int) -> Iterator[Document]:
        page = select(EVENTS).where(EVENTS.c.stream_id == stream).order_by(EVENTS.c.version).limit(PAGE)
        while True:
            with self._reading() as connection:
                rows = connection.execute(page.where(EVENTS.c.version > after)).all()
            yield from map(_document, rows)
            if len(rows) < PAGE:
                return
            after = rows[-1].version

    # ---- connections

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreUnavailable(self._failed(error)) from error

    def _failed(self, error: DBAPIError) -> str:
        return f"The journal at {shown(self._engine.url)} cannot be used: {error.orig}"


_HEADS: Final = select(STREAMS, DatabaseNow().label("read_at"))


def _guard_values(events: Sequence[Event], expected_epoch: int, claim: Claim | None) -> dict[str, Any]:
    last = events[-1]
    values: dict[str, Any] = {"version": last.version, "head_hash": last.hash, "epoch": last.epoch}
    if claim is not None:
        values |= {"owner": claim.owner, "lease_expires_at": DatabaseNow() + claim.seconds}
    elif last.epoch > expected_epoch:
        values |= {"owner": None, "lease_expires_at": None}
    for event in events:
        if isinstance(event.data, OperationStarted):
            values["operation"] = str(event.operation)
        elif isinstance(event.data, OperationFinished):
            values["operation"] = None
    return values


def _insert(connection: Connection, events: Sequence[Event]) -> None:
    connection.execute(insert(EVENTS), [_event_row(event) for event in events])
    for event in events:
        match event.data:
            case Completion(step=step):
                connection.execute(delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.step == str(step)))
            case OperationFinished():
                connection.execute(delete(UNFINISHED_STEPS).where(UNFINISHED_STEPS.c.stream_id == event.stream))
            case data if isinstance(data, Intent):
                connection.execute(insert(UNFINISHED_STEPS).values(_unfinished_row(event, data)))
            case _:
                pass


def _event_row(event: Event) -> dict[str, Any]:
    document = to_document(event)
    data = msgspec.json.encode(document["data"]).decode()
    row = {key: document[key] for key in ("version", "type", "schema", "recorded_at", "epoch", "operation", "hash")}
    return {"stream_id": event.stream, "event_id": document["id"], "data": data, **row}


def _document(row: Row[Any]) -> Document:
    try:
        data = msgspec.json.decode(row.data)
    except msgspec.DecodeError as error:
        msg = f"Cluster {row.stream_id!r}, version {row.version}: its data is not JSON: {error}"
        raise Malformed(msg) from error
    return {
        "stream": row.stream_id,
        "version": row.version,
        "id": row.event_id,
        "type": row.type,
        "schema": row.schema,
        "recorded_at": row.recorded_at,
        "epoch": row.epoch,
        "operation": row.operation,
        "data": data,
        "hash": row.hash,
    }


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


def _head(row: Row[Any]) -> Head:
    return Head(
        stream=row.stream_id,
        version=row.version,
        hash=row.head_hash,
        epoch=row.epoch,
        owner=row.owner,
        lease_expires_at=None if row.lease_expires_at is None else datetime.fromtimestamp(row.lease_expires_at, UTC),
        operation=None if row.operation is None else UUID(row.operation),
        read_at=datetime.fromtimestamp(row.read_at, UTC),
    )


def _is_conflict(error: IntegrityError) -> bool:
    """Whether this is somebody else's version or event id. A trigger arrives as an IntegrityError too."""
    name = error.orig.sqlite_errorname if isinstance(error.orig, sqlite3.Error) else ""
    return name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")


def _is_transient(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", "")
    return bool(error.connection_invalidated) or name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
