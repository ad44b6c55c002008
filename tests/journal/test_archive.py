"""Archiving: what is moved, that a crash anywhere loses nothing, and that nothing damaged or held ever goes."""

import gzip
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import attrs
import pytest
from builders import T0, create_server, events, started
from contracts.store import LONG, begin, follow
from sqlalchemy import event, text

from journal.archive import SeenResources, archive_stream, finish_archiving, reason_to_keep
from journal.codec import Document
from journal.errors import BrokenChain, DamagedStream, StreamArchived, UnreadableFile, VersionConflict
from journal.events import (
    ClusterStatus,
    Completion,
    Data,
    DeleteResource,
    DeleteServer,
    Event,
    HoldPlaced,
    HoldReleased,
    InventoryObserved,
    ObservedResource,
    ObservedServer,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    ResourceKind,
    Stage,
    StepOutcome,
)
from journal.files import read_file
from journal.memory import MemoryStore
from journal.sql import archive as sql_archive
from journal.sql import read as sql_read
from journal.sql.engine import Database, parsed
from journal.sql.store import SqlStore, open_store
from journal.store import EventStore, Head
from journal.verify import verify_stream

ENDS_AS_DELETED = OperationFinished(OperationOutcome.CANCELLED, ClusterStatus.DELETED, "")


def deleted(store: EventStore, stream: str, *more: Data) -> tuple[Event, ...]:
    """Append the history of a deleted cluster."""
    first = begin(store, stream)
    return (*first, *follow(store, first, ENDS_AS_DELETED), *outside(store, stream, *more))


def outside(store: EventStore, stream: str, *data: Data) -> tuple[Event, ...]:
    """Append what belongs to no operation."""
    head = head_of(store, stream)
    new = events(*data, stream=stream, after=head.version, previous=head.hash)
    return store.append(new, previous_hash=head.hash, expected_epoch=1) if data else ()


def head_of(store: EventStore, stream: str) -> Head:
    head = store.head(stream)
    assert head is not None
    return head


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "galera"])
def database(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> Iterator[Database]:
    (url, *_) = new_database(request.param)
    open_store(url, upgrade=True).close()
    with closing(Database(parsed(url))) as database:
        yield database


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


class Killed(BaseException):
    """Stands for kill -9."""


def test_killed_anywhere_it_loses_nothing_and_goes_on(
    database: Database, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_archive, "PAGE", 1)
    for point in count(1):
        stream = f"c-{point}"
        history = list(deleted(store, stream))
        if not killed_at(point, database, stream, tmp_path):
            break
        assert stored(store, stream) or archived(store, stream) == history, f"killed at statement {point}"
        if head_of(store, stream).archived_to and point % 2:
            store.restore(stream, lambda history=history: history)
            assert list(store.read(stream)) == history, "put back from where the removal stopped"
        assert set(finish_archiving(store)) <= {None}
        if not head_of(store, stream).archived_to:
            archive_stream(store, head_of(store, stream), tmp_path)
        assert list(store.read(stream)) == []
        assert archived(store, stream) == history
        store.restore(stream, lambda history=history: history)
        assert list(store.read(stream)) == history
    assert point > 5, "statements of archiving"


def killed_at(point: int, database: Database, stream: str, folder: Path) -> bool:
    statements = count(1)

    def before(*_: object) -> None:
        if next(statements) == point:
            raise Killed

    store = SqlStore(database)
    event.listen(database.engine, "before_cursor_execute", before)
    try:
        archive_stream(store, head_of(store, stream), folder)
    except Killed:
        return True
    finally:
        event.remove(database.engine, "before_cursor_execute", before)
    return False


def stored(store: SqlStore, stream: str) -> bool:
    head = head_of(store, stream)
    return head.archived_to is None and len(list(store.read(stream))) == head.version


def archived(store: SqlStore, stream: str) -> list[Event]:
    file = head_of(store, stream).archived_to
    assert file is not None
    return list(read_file(Path(file)))


def test_a_file_that_is_not_what_was_written_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    history = deleted(store, "c-1")
    monkeypatch.setattr("os.fsync", lambda file: os.ftruncate(file, 100))  # as a disk that lies
    with pytest.raises(UnreadableFile):
        archive_stream(store, head_of(store, "c-1"), tmp_path)
    assert list(store.read("c-1")) == list(history)


@pytest.mark.parametrize("verb", ["DELETE FROM events WHERE stream_id = 'c-2'", "UPDATE events SET data = '{}'"])
def test_no_event_but_those_of_an_archived_stream_can_be_removed(
    database: Database, store: SqlStore, tmp_path: Path, verb: str
) -> None:
    deleted(store, "c-1")
    kept = begin(store, "c-2")
    archive_stream(store, head_of(store, "c-1"), tmp_path)
    with pytest.raises(Exception, match="never changed or removed"), database.engine.begin() as connection:
        connection.execute(text(verb))
    assert list(store.read("c-2")) == list(kept)


def test_a_stream_that_went_on_meanwhile_is_kept(store: SqlStore, tmp_path: Path) -> None:
    history = deleted(store, "c-1")
    head = head_of(store, "c-1")
    more = outside(store, "c-1", HoldPlaced("ops", "wait"))
    with pytest.raises((VersionConflict, BrokenChain)):
        archive_stream(store, head, tmp_path)
    assert list(tmp_path.glob("*.jsonl.gz")) == []
    assert list(store.read("c-1")) == [*history, *more]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (begin, "is unfinished"),
        (lambda store: begin(store, "c-1", LONG), "owned by conductor-a"),
        (lambda store: deleted(store, "c-1", HoldPlaced("ops", "look")), "held"),
        (
            lambda store: follow(
                store,
                begin(store),
                OperationFinished(OperationOutcome.FAILED, ClusterStatus.ERROR, "no"),
            ),
            "the cluster was not deleted",
        ),
    ],
)
def test_what_is_not_over_is_kept(make: Callable[[EventStore], object], reason: str) -> None:
    store = MemoryStore()
    make(store)
    assert reason in str(reason_to_keep(store, head_of(store, "c-1")))


def test_what_is_over_goes_once_it_was_quiet_for_long_enough() -> None:
    now = T0 + timedelta(days=3)
    store = MemoryStore(lambda: now)
    deleted(store, "c-1", HoldPlaced("ops", "look"), HoldReleased("ops", "looked"))
    head = attrs.evolve(head_of(store, "c-1"), changed_at=T0)
    assert reason_to_keep(store, head, timedelta(days=2)) is None
    assert "changed less than 4 days ago" in str(reason_to_keep(store, head, timedelta(days=4)))
    unknown = attrs.evolve(head, changed_at=datetime(1970, 1, 1, tzinfo=UTC))
    assert reason_to_keep(store, unknown, timedelta(days=2)) is None
    assert "last event is later than 2026-11-22" in str(reason_to_keep(store, unknown, timedelta(days=4)))


class ArchivedMeanwhile(MemoryStore):
    """A store whose stream is archived by another process while this one reads it."""

    other: Path

    def documents(self, stream: str) -> Iterator[Document]:
        documents = super().documents(stream)
        yield next(documents)
        head = self.head(stream)
        if head is not None and head.archived_to is None:
            self.documents = super().documents  # type: ignore[method-assign]
            archive_stream(self, head, self.other)


@pytest.mark.parametrize("same", [True, False])
def test_two_that_archive_at_once_leave_a_whole_file(tmp_path: Path, same: bool) -> None:
    store = ArchivedMeanwhile()
    history = deleted(store, "c-1")
    store.other = tmp_path if same else tmp_path / "other"
    store.other.mkdir(exist_ok=True)
    with pytest.raises(StreamArchived):
        archive_stream(store, head_of(store, "c-1"), tmp_path)
    (file,) = store.other.iterdir()
    assert list(read_file(file)) == list(history)
    assert [path for path in tmp_path.iterdir() if path.is_file() and path != file] == []


def test_a_damaged_stream_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    with closing(open_store(url, upgrade=True)) as store, closing(Database(parsed(url))) as database:
        deleted(store, "c-1")
        with database.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER events_refuse_UPDATE"))
            connection.execute(text("UPDATE events SET recorded_at = '2020-01-01T00:00:00.000000Z' WHERE version = 1"))
        (tmp_path / "archive").mkdir()
        with pytest.raises(DamagedStream, match="version 1"):
            archive_stream(store, head_of(store, "c-1"), tmp_path / "archive")
        assert list((tmp_path / "archive").iterdir()) == []
        assert len(list(store.read("c-1"))) == 2


def test_a_damaged_archive_is_noticed(tmp_path: Path) -> None:
    store = MemoryStore()
    deleted(store, "a/../b", HoldPlaced("ops", "\u00e4" * 3000), HoldReleased("ops", ""))
    file = archive_stream(store, head_of(store, "a/../b"), tmp_path)
    assert file.parent == tmp_path
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(UnreadableFile, match="cannot be decompressed"):
        list(read_file(file))
    lines = gzip.decompress(whole).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[1:])))
    with pytest.raises(Exception, match="line 1"):
        list(read_file(file))


def test_events_that_a_step_began_are_archived_with_it(tmp_path: Path) -> None:
    store = MemoryStore()
    first = begin(store)
    history = [
        *first,
        *follow(store, first, create_server(), OperationFinished(OperationOutcome.FAILED, ClusterStatus.ERROR, "")),
    ]
    assert list(read_file(archive_stream(store, head_of(store, "c-1"), tmp_path))) == history


def test_no_more_than_a_page_of_events_is_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_archive, "PAGE", 50)
    monkeypatch.setattr(sql_read, "PAGE", 50)
    reason, count = "\u00e4" * 1000, 3_000
    with closing(open_store(f"sqlite:///{tmp_path}/journal.db", upgrade=True)) as store:
        deleted(store, "c-1")
        for _ in range(count // 1000):
            outside(store, "c-1", *[HoldReleased("ops", reason)] * 1000)
        head = head_of(store, "c-1")
        tracemalloc.start()
        file = archive_stream(store, head, tmp_path)
        store.restore("c-1", lambda: read_file(file))
        assert set(verify_stream(store, head)) == {None}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    whole = count * len(reason.encode())
    assert peak < whole / 3, f"{peak} of {whole} bytes"


def half_removed(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Event], Path]:
    """Kill the archiving of c-1 right before the first removal, and return its events and its file."""
    monkeypatch.setattr(sql_archive, "PAGE", 1)
    history = list(deleted(SqlStore(database), "c-1"))
    for point in count(1):
        killed_at(point, database, "c-1", folder)
        if (file := head_of(SqlStore(database), "c-1").archived_to) is not None:
            return history, Path(file)
    raise AssertionError


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, 40), lambda path: path.write_bytes(b"")])
def test_what_does_not_stand_in_its_file_is_not_removed(
    database: Database, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], object]
) -> None:
    history, file = half_removed(database, tmp_path, monkeypatch)
    whole = file.read_bytes()
    harm(file)
    (problem,) = finish_archiving(store)
    assert "cluster 'c-1' is archived, but its file cannot be read whole" in str(problem)
    assert list(store.read("c-1")) == history
    file.write_bytes(whole)
    assert list(finish_archiving(store)) == [None]
    assert list(store.read("c-1")) == []


def test_a_removal_stops_once_an_import_has_brought_the_stream_back(
    database: Database, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, file = half_removed(database, tmp_path, monkeypatch)
    store.restore("c-1", lambda: history)
    store.remove_archived("c-1", str(file))
    store.remove_archived("c-1", "elsewhere")
    store.remove_archived("nobody", str(file))
    assert list(store.read("c-1")) == history
    assert head_of(store, "c-1").archived_to is None


def seen(*servers: ObservedServer, complete: bool = True) -> InventoryObserved:
    return InventoryObserved(servers, complete, 2, T0, "RegionOne/5f0c4d")


LATE = ObservedServer("vm-9", "late", "ACTIVE", T0, None)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ([seen(LATE)], "server vm-9 was seen, and nothing tells that it is gone"),
        ([seen(LATE), seen(complete=False)], "server vm-9 was seen"),
        ([seen(LATE), seen()], None),
        ([seen(LATE), seen(attrs.evolve(LATE, status="SOFT_DELETED"), complete=False)], None),
    ],
)
def test_a_cluster_with_a_server_that_landed_late_is_kept(after: list[Data], reason: str | None) -> None:
    store = MemoryStore(lambda: T0 + timedelta(days=1))
    deleted(store, "c-1", *after)
    kept = reason_to_keep(store, head_of(store, "c-1"))
    assert kept is None if reason is None else str(kept).startswith(reason)


def test_a_late_server_that_was_deleted_since_keeps_nothing() -> None:
    delete = DeleteServer(uuid4(), Stage.ROLLBACK, T0, "vm-9")
    late = SeenResources()
    for each in events(seen(LATE), delete, Completion(delete.step, StepOutcome.FAILED, reason="HTTP 409"), after=2):
        late.apply(each)
    assert set(late.there) == {"vm-9"}
    for each in events(Completion(delete.step, StepOutcome.SUCCEEDED)):
        late.apply(each)
    assert late.there == {}


def test_a_keypair_keeps_its_cluster_until_its_own_user_does_not_see_it() -> None:
    keypair = ObservedResource(ResourceKind.KEYPAIR, "k", "k", "AVAILABLE", None, None, ())
    late = SeenResources()

    def look(user: str, *shown: ObservedResource) -> set[str]:
        kinds = (ResourceKind.KEYPAIR,)
        for each in events(attrs.evolve(seen(), resources=shown, kinds=kinds, user=user), after=2):
            late.apply(each)
        return set(late.there)

    assert look("user-a", keypair) == {"k"}
    assert look("user-b") == {"k"}
    for stage, left in ((Stage.INFRASTRUCTURE, {"k"}), (Stage.ROLLBACK, set())):
        delete = DeleteResource(uuid4(), stage, T0, ResourceKind.KEYPAIR, "k")
        for each in events(delete, Completion(delete.step, StepOutcome.ABSENT, reason="it was not there")):
            late.apply(each)
        assert set(late.there) == left
    assert look("user-a", keypair) == {"k"}
    assert look("user-a") == set()


def test_a_stream_whose_unfinished_operation_was_hidden_is_damaged_and_kept(
    database: Database, store: SqlStore, tmp_path: Path
) -> None:
    deleted(store, "c-1")
    first = events(started(OperationKind.SWEEP), stream="c-1", after=2, previous=head_of(store, "c-1").hash, operation=uuid4())
    store.append(first, previous_hash=head_of(store, "c-1").hash, expected_epoch=1)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE streams SET operation = NULL"))
    assert reason_to_keep(store, head_of(store, "c-1")) is None
    with pytest.raises(DamagedStream, match="the stream's head says epoch 1, unfinished operation None; its events say"):
        archive_stream(store, head_of(store, "c-1"), tmp_path)
    assert len(list(store.read("c-1"))) == 3
