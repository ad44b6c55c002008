"""The SQL store on real servers: PostgreSQL, MariaDB, and a Galera cluster that is written to on all its nodes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import cycle
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from builders import create_server
from contracts.store import StoreContract, begin, follow
from servers.isolation import isolate
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError
from waiting import until

from journal.errors import AppendRefused, SchemaNotCurrent
from journal.events import Event, HoldPlaced
from journal.sql.engine import Database, parsed
from journal.sql.schema import METADATA
from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

ENGINES = ("postgresql", "mariadb", "galera")

Urls = list[str]
"""One URL for each node of a new, empty database."""


@pytest.fixture(params=ENGINES)
def urls(request: pytest.FixtureRequest, new_database: Callable[[str], Urls]) -> Urls:
    return new_database(request.param)


@pytest.fixture
def stores(urls: Urls) -> Iterator[list[SqlStore]]:
    """A store on each node."""
    with ExitStack() as stack:
        opened = [open_store(url, upgrade=True) for url in urls]
        for store in opened:
            stack.callback(store.close)
        yield opened


class OnAllNodes:
    """A store that asks another node with each call, so that a test sees what the nodes tell each other."""

    def __init__(self, stores: list[SqlStore]) -> None:
        self._stores = cycle(stores)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            return getattr(next(self._stores), name)


class TestSqlStoreOnServers(StoreContract):
    @pytest.fixture
    def store(self, stores: list[SqlStore]) -> Any:
        return OnAllNodes(stores)


def is_ours(_object: object, name: str | None, *_: object) -> bool:
    """Leave out the table by which processes on MariaDB upgrade one after the other."""
    return name != "upgrading"


def test_the_migrations_make_what_the_code_expects(urls: Urls, stores: list[SqlStore]) -> None:
    engine = Database(parsed(urls[-1])).engine
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"include_object": is_ours}), METADATA) == []
    engine.dispose()


def test_a_database_without_a_journal_says_what_to_do(urls: Urls) -> None:
    with pytest.raises(SchemaNotCurrent, match="Make it with `provjournal journal upgrade`") as refused:
        open_store(urls[0])
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("statement", ["UPDATE events SET data = '{}'", "DELETE FROM events"])
def test_the_database_refuses_to_change_or_remove_events(urls: Urls, stores: list[SqlStore], statement: str) -> None:
    first = begin(stores[0])
    engine = create_engine(parsed(urls[-1]))
    with pytest.raises(DatabaseError, match="never changed or removed"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    assert list(stores[0].read("c-1")) == list(first)


def test_names_are_compared_byte_for_byte(stores: list[SqlStore]) -> None:
    names = ["a", "a ", "A", "\u00e4", "Z", "z"]
    for name in names:
        begin(stores[0], name)
    assert [head.stream for head in stores[-1].heads()] == sorted(names, key=str.encode)


def test_an_append_is_not_planned_anew_each_time_in_a_journal_of_many_streams(new_database: Callable[[str], Urls]) -> None:
    (url,) = new_database("postgresql")
    with closing(open_store(url, upgrade=True)) as store:
        last = begin(store)
        with closing(Database(parsed(url))) as other, other.engine.begin() as connection:
            many = "SELECT 'c-' || number, 1, repeat('0', 64), 1 FROM generate_series(2, 2000) AS number"
            connection.execute(text(f"INSERT INTO streams (stream_id, version, head_hash, epoch) {many}"))
            connection.execute(text("ANALYZE"))
        for _ in range(20):
            last = follow(store, last, HoldPlaced("ops", "looking"))
        (kept,) = store._database._connections._kept  # noqa: SLF001 (plans are a connection's own)
        driver: Any = kept.dbapi_connection
        plans = driver.execute("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%guard%'")
        ((kept_plan, made_anew),) = plans.fetchall()
        driver.rollback()
    assert kept_plan > made_anew


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_closing_asks_nothing_of_a_connection_that_is_dead(
    new_database: Callable[[str], Urls], engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever shuts down after its server did would wait for an answer, and log that none came."""
    (url,) = new_database(engine)
    store = open_store(url, upgrade=True)
    begin(store)
    (kept,) = store._database._connections._kept  # noqa: SLF001 (what is kept between appends)
    driver: Any = kept.dbapi_connection
    with closing(Database(parsed(url))) as other, other.engine.begin() as connection:
        if engine == "postgresql":
            connection.execute(text(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 60000)"))
        else:
            connection.execute(text(f"KILL {driver.thread_id()}"))
    store.close()
    assert caplog.records == []


def test_long_data_is_kept_whole(stores: list[SqlStore]) -> None:
    reason = "\u00e4\U0001f600" * 50_000
    last = follow(stores[0], begin(stores[0]), HoldPlaced("ops", reason))
    (read,) = stores[-1].read("c-1", after=1)
    assert read == last[0]


def test_reading_a_long_stream_looks_at_each_event_a_few_times(new_database: Callable[[str], Urls]) -> None:
    """PostgreSQL knows nothing of a new table, and would sort all that is left of a stream for each of its pages."""
    (url,) = new_database("postgresql")
    count = 20_000
    with closing(open_store(url, upgrade=True)) as store:
        with closing(Database(parsed(url))) as database, database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE events SET (autovacuum_enabled = off)"))
        last = begin(store)
        for _ in range(count // 1000):
            last = follow(store, last, *[HoldPlaced("ops", "looking")] * 1000)
        assert sum(1 for _ in store.read("c-1")) == count + 1
    looked_at: list[int] = []

    def told() -> bool:
        """The server counts a connection's reads some time after it is gone."""
        with closing(Database(parsed(url))) as database:
            ((number, analyzed),) = database.rows_of_text(
                "SELECT idx_tup_read, last_autoanalyze FROM pg_stat_user_indexes "
                "JOIN pg_stat_user_tables USING (relid) WHERE indexrelname = 'pk_events'"
            )
        assert analyzed is None
        looked_at.append(number)
        return number > count

    until(told)
    assert looked_at[-1] < 4 * count


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_of_writers_that_race_for_a_version_one_wins_under_any_isolation(urls: Urls, stores: list[SqlStore], level: str) -> None:
    databases = [Database(parsed(url)) for url in (urls * 3)[:3]]
    for database in databases:
        isolate(database, level)
    writers = [SqlStore(database) for database in databases]
    last = begin(stores[0])
    for number in range(20):
        won = contend(writers, last)
        assert len(won) == 1, f"round {number}: {len(won)} writers appended version {last[-1].version + 1}"
        last = won[0]
    head = stores[-1].head("c-1")
    assert head is not None
    assert (head.version, set(verify_stream(stores[-1], head))) == (21, {None})
    for writer in writers:
        writer.close()


def contend(writers: list[SqlStore], last: Sequence[Event]) -> list[tuple[Event, ...]]:
    """Have all writers append the next version at once, and return what those appended that did."""
    won: list[tuple[Event, ...]] = []
    barrier = threading.Barrier(len(writers))

    def append(writer: SqlStore) -> None:
        barrier.wait()
        with suppress(AppendRefused):
            won.append(follow(writer, last, create_server()))

    threads = [threading.Thread(target=append, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won
