"""Migrations up and down on each engine, beside readers of the version before, by several at once, and after a crash."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from builders import create_server
from contracts.store import begin, finished, follow
from sqlalchemy import MetaData, event, insert, select

from journal.codec import to_document
from journal.errors import SchemaNotCurrent, StoreError
from journal.events import CreateServer, Event
from journal.memory import MemoryStore
from journal.sql.changes import event_row, unfinished_row
from journal.sql.engine import Database, parsed
from journal.sql.engines import mariadb
from journal.sql.engines.backend import READS
from journal.sql.schema import REVISION
from journal.sql.store import SqlStore, open_store
from journal.sql.upgrade import downgrade, upgrade
from journal.store import Head
from journal.verify import verify_stream

ENGINES = ("sqlite", "postgresql", "mariadb", "galera")
FIRST = "0001"
PROVJOURNAL = Path(sys.executable).with_name("provjournal")
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(params=ENGINES)
def urls(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> list[str]:
    return new_database(request.param)


@pytest.fixture
def database(urls: list[str]) -> Iterator[Database]:
    database = Database(parsed(urls[0]))
    yield database
    database.close()


@pytest.fixture
def history(database: Database) -> list[Event]:
    """A stream in a database of the first version, put there with that version's own columns."""
    upgrade(database, FIRST)
    tables = reflected(database)
    store = MemoryStore()
    first = begin(store)
    history = [*first, *follow(store, first, create_server())]
    head = store.head("c-1")
    assert head is not None
    with database.engine.begin() as connection:
        guard = {"stream_id": "c-1", "version": 2, "head_hash": head.hash, "epoch": 1, "operation": str(head.operation)}
        connection.execute(insert(tables.tables["streams"]).values(guard))
        connection.execute(insert(tables.tables["events"]), [event_row(to_document(event)) for event in history])
        step = history[-1].data
        assert isinstance(step, CreateServer)
        connection.execute(insert(tables.tables["unfinished_steps"]).values(unfinished_row(to_document(history[-1]), step)))
    return history


def reflected(database: Database) -> MetaData:
    tables = MetaData()
    with database.engine.connect().execution_options(**{READS: True}) as connection:
        tables.reflect(connection)
    return tables


def columns(database: Database) -> dict[str, set[str]]:
    return {name: {column.name for column in table.columns} for name, table in reflected(database).tables.items()}


def test_the_tables_that_the_code_sees_are_those_of_the_last_revision() -> None:
    migrations = Path(__file__).parents[2] / "journal" / "migrations"
    assert ScriptDirectory(str(migrations)).get_current_head() == REVISION


def test_what_was_there_is_there_after_going_up_and_down_and_up_again(database: Database, history: list[Event]) -> None:
    before = columns(database)
    upgrade(database)
    expect(database, history)
    downgrade(database, FIRST)
    assert columns(database) == before
    with pytest.raises(SchemaNotCurrent, match="older version"):
        open_store(database.url.render_as_string(hide_password=False))
    upgrade(database)
    expect(database, history)


def expect(database: Database, history: list[Event]) -> None:
    store = SqlStore(database)
    assert list(store.read("c-1")) == history
    (head,) = store.heads()
    assert set(verify_stream(store, head)) == {None}
    history += follow(store, history, create_server())


def test_a_reader_of_the_version_before_goes_on_reading_through_an_upgrade(database: Database, history: list[Event]) -> None:
    with closing(Database(database.url)) as old:
        tables = reflected(old)
        done, reading = threading.Event(), threading.Event()
        seen: list[int] = []
        errors: list[Exception] = []

        def read() -> None:
            try:
                while not done.is_set() or len(seen) < 2:
                    # As the store reads: on Galera, a change of tables may abort a reader, which then asks again.
                    seen.extend(len(old.rows(select(tables.tables[name]))) for name in ("streams", "events"))
                    reading.set()
            except Exception as error:  # noqa: BLE001 (told to the test's own thread)
                errors.append(error)
                reading.set()

        reader = threading.Thread(target=read)
        reader.start()
        reading.wait()
        upgrade(database)
        done.set()
        reader.join()
    assert errors == []
    assert set(seen[::2]) == {1}
    assert set(seen[1::2]) == {2}


def test_conductors_that_upgrade_at_once_make_one_journal(urls: list[str]) -> None:
    conductors = [subprocess.Popen([PROVJOURNAL, "--journal", url, "journal", "upgrade"], stderr=PIPE) for url in (urls * 4)[:4]]
    said = [conductor.communicate()[1] for conductor in conductors]
    assert [conductor.returncode for conductor in conductors] == [0] * 4, said
    assert len(set(said)) == 1, "each names the journal's id"


def test_threads_that_upgrade_at_once_make_one_journal(urls: list[str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda url: open_store(url, upgrade=True), (urls * 4)[:4]))
    assert len({store.journal_id for store in opened}) == 1
    for store in opened:
        store.close()


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_an_upgrade_that_was_killed_anywhere_can_be_done_again(
    new_database: Callable[[str], list[str]], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb, "CLAIM_SECONDS", 1)
    for point in count(1):
        (url,) = new_database(engine)
        with closing(Database(parsed(url))) as database:
            if not killed_at(point, database, upgrade):
                break
            upgrade(database)
            store = SqlStore(database)
            store.archive(finished_head(store), "c-1.jsonl")
    assert point > 10, "statements of an upgrade"


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_a_downgrade_that_was_killed_anywhere_can_be_done_again(
    new_database: Callable[[str], list[str]], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb, "CLAIM_SECONDS", 1)
    (url,) = new_database(engine)
    with closing(Database(parsed(url))) as database:
        upgrade(database, FIRST)
        first = columns(database)
        for point in count(1):
            upgrade(database)
            if not killed_at(point, database, lambda database: downgrade(database, FIRST)):
                break
            downgrade(database, FIRST)
            assert columns(database) == first
    assert point > 5, "statements of a downgrade"


def finished_head(store: SqlStore) -> Head:
    finished(store, "c-1")
    (head,) = store.heads()
    return head


class Killed(BaseException):
    """Stands for kill -9."""


def killed_at(point: int, database: Database, migrate: Callable[[Database], None]) -> bool:
    """Migrate, and end before the so many-th statement; tell whether there was one."""
    statements = count(1)

    def before(*_: object) -> None:
        if next(statements) == point:
            raise Killed

    event.listen(database.engine, "before_cursor_execute", before)
    try:
        migrate(database)
    except Killed:
        return True
    finally:
        event.remove(database.engine, "before_cursor_execute", before)
    return False


@pytest.mark.parametrize("revision", ["base", "-1", "-2", "0000", "nonsense"])
def test_going_down_never_removes_the_journal(database: Database, history: list[Event], revision: str) -> None:
    upgrade(database)
    with pytest.raises(SchemaNotCurrent, match=f"no revision {revision}; there are 0001, 0002, 0003, 0004"):
        downgrade(database, revision)
    expect(database, history)


def test_going_down_is_refused_while_streams_are_archived(urls: list[str]) -> None:
    with closing(open_store(urls[0], upgrade=True)) as store:
        store.archive(finished_head(store), "c-1.jsonl")
    with closing(Database(parsed(urls[0]))) as database, pytest.raises(StoreError, match="Import their archives first"):
        downgrade(database, FIRST)
    with closing(open_store(urls[-1])) as store:
        assert [head.stream for head in store.archived()] == ["c-1"]


def test_going_down_is_refused_while_a_step_is_unfinished_in_two_streams(urls: list[str]) -> None:
    step = create_server()
    with closing(open_store(urls[0], upgrade=True)) as store:
        for stream in ("c-1", "c-2"):
            begin(store, stream, None, step)
        with (
            closing(Database(parsed(urls[0]))) as database,
            pytest.raises(StoreError, match=f"{step.step} is unfinished in several"),
        ):
            downgrade(database, "0003")
        assert [found.stream for found in store.unfinished_steps()] == ["c-1", "c-2"]
