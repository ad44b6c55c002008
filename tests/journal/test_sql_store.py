"""The SQL store on SQLite: the contract, durability, append-only by the database, and errors that a person can act on."""

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from builders import create_server, events
from contracts.store import StoreContract, begin, follow
from sqlalchemy import delete, event, insert, text

from journal.codec import to_document
from journal.errors import Malformed, SchemaNotCurrent, StoreError, StoreUnavailable
from journal.events import HoldPlaced
from journal.sql import read as sql_read
from journal.sql.changes import event_row
from journal.sql.engine import Database, parsed
from journal.sql.schema import EVENTS, METADATA
from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    store = open_store(f"sqlite:///{path}", upgrade=True)
    yield store
    store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, store: SqlStore) -> SqlStore:
        return store


def test_the_journals_id_is_made_once(store: SqlStore, path: Path) -> None:
    again = open_store(f"sqlite:///{path}", upgrade=True)
    assert again.journal_id == store.journal_id
    again.close()


def test_the_migrations_make_what_the_code_expects(path: Path, store: SqlStore) -> None:
    engine = Database(parsed(f"sqlite:///{path}")).engine
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("recursive_triggers", 1), ("foreign_keys", 1), ("busy_timeout", 30000)],
)
def test_every_connection_has_the_settings_that_the_promises_rest_on(
    path: Path, store: SqlStore, pragma: str, value: object
) -> None:
    engine = Database(parsed(f"sqlite:///{path}")).engine
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
    ],
)
def test_the_database_refuses_to_change_or_remove_events(path: Path, store: SqlStore, statement: str) -> None:
    begin(store)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
        connection.execute(statement)
    connection.close()


def test_events_are_json_that_any_client_can_read(path: Path, store: SqlStore) -> None:
    follow(store, begin(store), HoldPlaced("ops", "looking"))
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT type, json_extract(data, '$.reason') FROM events WHERE version = 2").fetchone()
    connection.close()
    assert row == ("hold_placed", "looking")


@pytest.mark.parametrize(
    ("damage", "version"),
    [
        ("UPDATE events SET data = replace(data, 'w1', 'w9') WHERE version = 3", 3),
        ("DELETE FROM events WHERE version = 3", 3),
        ("UPDATE events SET version = CASE version WHEN 2 THEN 3 ELSE 2 END WHERE version IN (2, 3)", 2),
        ("DELETE FROM events WHERE version = 4", 4),
        ("UPDATE events SET hash = '" + "0" * 64 + "' WHERE version = 4", 4),
    ],
    ids=["changed payload", "deleted event", "swapped events", "deleted tail", "forged tail"],
)
def test_verify_names_the_first_bad_place(path: Path, store: SqlStore, damage: str, version: int) -> None:
    begin(store, "c-1", None, HoldPlaced("ops", "a"), create_server("w1"), create_server("w2"))
    (head,) = store.heads()
    assert set(verify_stream(store, head)) == {None}
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER events_refuse_UPDATE; DROP TRIGGER events_refuse_DELETE")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    if "CASE" in damage:
        for one in (
            "UPDATE events SET version = 99 WHERE version = 2",
            "UPDATE events SET version = 2 WHERE version = 3",
            "UPDATE events SET version = 3 WHERE version = 99",
        ):
            connection.execute(one)
    else:
        connection.execute(damage)
    connection.commit()
    connection.close()
    damages = [found for found in verify_stream(store, head) if found is not None]
    assert [(found.stream, found.version) for found in damages] == [("c-1", version)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("data = '{'", "its data is not JSON: Input data was truncated"),
        ("data = '[]'", "data is [], expected an object"),
        ("data = replace(data, '}', ',\"x\":1}')", "hold_placed has unknown field 'x'; expected by, reason"),
        ("data = replace(data, '\"b\"', '1')", "expected `str`, got `int` - at `reason`"),
        ("type = 'x'", "unknown type 'x', expected one of completion, "),
        ("type = 'intent'", "unknown action None of an intent, expected one of create_server, "),
        ("schema = 2", "unknown schema 2 of hold_placed, expected 1; "),
        ("event_id = 'x'", "invalid UUID - at `id`"),
        ("recorded_at = '2026-11-23T10:00:00'", "expected `datetime` with a timezone component - at `recorded_at`"),
        ("recorded_at = '0001-01-01T00:00:00Z'", "recorded_at is 0001-01-01T00:00:00+00:00, expected a time between the years 2"),
        ("epoch = 0", "expected `int` >= 1 - at `epoch`"),
        ("operation = 'x'", "invalid UUID - at `operation`"),
        ("hash = replace(hash, substr(hash, 1, 1), 'F')", "expected 64 lower-case hex digits"),
    ],
)
def test_what_stands_before_a_damaged_event_is_read_and_the_damage_is_told(
    path: Path, store: SqlStore, change: str, what: str
) -> None:
    good = begin(store, "c-1", None, HoldPlaced("ops", "a"), HoldPlaced("ops", "b"), HoldPlaced("ops", "c"))
    connection = sqlite3.connect(path)
    connection.executescript("DROP TRIGGER events_refuse_UPDATE")
    connection.execute(f"UPDATE events SET {change} WHERE version = 3")  # noqa: S608 (the changes stand above)
    connection.commit()
    connection.close()

    reading = store.read("c-1")
    assert [next(reading), next(reading)] == list(good[:2])
    with pytest.raises(Malformed) as refusal:
        next(reading)
    assert str(refusal.value).startswith("Cluster 'c-1', version 3: ")
    assert str(refusal.value).count("Cluster") == 1
    assert what in str(refusal.value)
    assert list(store.read("c-1", after=3)) == list(good[3:])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("gap", [set(), {2}, {3, 4}, {2, 3, 4}, {4, 5, 6, 7, 8}])
def test_a_stream_is_read_to_its_end_whatever_is_missing_in_it(
    path: Path, store: SqlStore, monkeypatch: pytest.MonkeyPatch, size: int, gap: set[int]
) -> None:
    monkeypatch.setattr(sql_read, "PAGE", 2)
    good = begin(store, "c-1", None, *[HoldPlaced("ops", str(number)) for number in range(1, size)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER events_refuse_DELETE")
        connection.executemany("DELETE FROM events WHERE version = ?", [(version,) for version in gap])
    for after in range(size + 1):
        left = [event for event in good if event.version > after and event.version not in gap]
        assert list(store.read("c-1", after=after)) == left
    assert [document["version"] for document in store.documents("c-1")] == [
        event.version for event in good if event.version not in gap
    ]


@pytest.mark.parametrize("looks", [True, False])
def test_reading_leaves_the_search_for_garbage_as_it_was(store: SqlStore, looks: bool) -> None:
    begin(store, "c-1", None, HoldPlaced("ops", "a"))
    before = gc.isenabled()
    (gc.enable if looks else gc.disable)()
    try:
        reading = store.read("c-1")
        next(reading)
        assert gc.isenabled() == looks
        assert len(list(reading)) == 1
        assert gc.isenabled() == looks
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(
    ("version", "what"),
    [(2, "not the one that the stream's head names"), (3, "stands past the stream's head, which says version 2")],
)
def test_verify_finds_an_event_that_was_forged_with_its_hash(path: Path, store: SqlStore, version: int, what: str) -> None:
    before = begin(store, "c-1", None, HoldPlaced("ops", "a"))[version - 2]
    (forged,) = events(HoldPlaced("ops", "b"), after=before.version, previous=before.hash or "")
    with closing(Database(parsed(f"sqlite:///{path}"))) as database, database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER events_refuse_DELETE"))
        connection.execute(delete(EVENTS).where(EVENTS.c.version == version))
        connection.execute(insert(EVENTS).values(event_row(to_document(forged))))
    (head,) = store.heads()
    *good, damage = verify_stream(store, head)
    assert set(good) == {None}
    assert damage is not None
    assert (damage.version, what in damage.what) == (version, True)


def test_verify_takes_no_offence_at_a_stream_that_goes_on(store: SqlStore) -> None:
    last = begin(store, "c-1")
    (head,) = store.heads()
    follow(store, last, create_server())
    assert list(verify_stream(store, head)) == [None, None]


def test_a_journal_that_does_not_exist_is_not_made_by_looking(path: Path) -> None:
    with pytest.raises(SchemaNotCurrent, match="provjournal journal upgrade"):
        open_store(f"sqlite:///{path}")
    assert not path.exists()


def test_a_database_without_a_journal_says_what_to_do(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(SchemaNotCurrent, match="Make it with `provjournal journal upgrade`"):
        open_store(f"sqlite:///{path}")


def test_a_journal_of_a_newer_library_is_refused(path: Path, store: SqlStore) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for upgrade in (False, True):
        with pytest.raises(SchemaNotCurrent, match="newer version"):
            open_store(f"sqlite:///{path}", upgrade=upgrade)


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_text("this is no database, however long it may be; " * 50)
    for upgrade in (False, True):
        with pytest.raises(StoreUnavailable, match="not a database"):
            open_store(f"sqlite:///{path}", upgrade=upgrade)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no folder"):
        open_store(f"sqlite:///{tmp_path}/nope/journal.db", upgrade=True)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "nope://user:secret@host/db", "oracle://user:secret@host/db"])
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


def test_a_node_that_had_not_caught_up_is_asked_again(path: Path, store: SqlStore) -> None:
    first = begin(store)
    database = Database(parsed(f"sqlite:///{path}"))
    behind = iter([True, True, False])

    @event.listens_for(database.engine, "connect")
    def miss_twice(connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("behind", 0, lambda: next(behind))
        connection.execute("CREATE TEMP TRIGGER miss BEFORE UPDATE ON main.streams WHEN behind() BEGIN SELECT RAISE(IGNORE); END")

    other_node = SqlStore(database)
    second = follow(other_node, first, create_server())
    assert (next(behind, "asked until it hit"), list(store.read("c-1", after=1))) == ("asked until it hit", list(second))
    other_node.close()


def test_a_locked_journal_ends_as_an_error_and_records_nothing(path: Path, store: SqlStore) -> None:
    database = Database(parsed(f"sqlite:///{path}"), retry_seconds=0)
    impatient = SqlStore(database)
    first = begin(store)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with database.engine.connect() as connection:  # the pool's one connection, which the store then uses
        connection.connection.cursor().execute("PRAGMA busy_timeout = 0")
    with pytest.raises(StoreUnavailable, match=r"locked.*Nothing was recorded"):
        follow(impatient, first, create_server())
    blocker.execute("ROLLBACK")
    blocker.close()
    assert list(store.read("c-1")) == list(first)
    impatient.close()
