"""The raw limit: the database's driver alone, with the same durability, and with the columns and indexes of `events`.

A step is two INSERTs, each a transaction of its own that is durable when the call returns. There is no guard row, no
index of unfinished steps, no hash, no check and no trigger: those are what the library costs. Statements are prepared
where the driver can (PyMySQL cannot). Reading is one query for each cluster, of the library's own tables.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from benchmarks.protocol import Run, Turn, counted, once, serve

# ---- appending

COLUMNS: Final = """
    stream_id {name} NOT NULL,
    version BIGINT NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    type VARCHAR(40) NOT NULL,
    {schema} INTEGER NOT NULL,
    recorded_at VARCHAR(27) NOT NULL,
    epoch BIGINT NOT NULL,
    operation VARCHAR(36),
    data {long} NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (stream_id, version),
    UNIQUE (event_id)
"""
MARIADB: Final = "ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
BYTEWISE: Final = 'VARCHAR(255) COLLATE "C"'
TABLES: Final = {
    "sqlite": f"CREATE TABLE events ({COLUMNS.format(name='VARCHAR(255)', schema='schema', long='TEXT')})",
    "postgresql": f"CREATE TABLE events ({COLUMNS.format(name=BYTEWISE, schema='schema', long='TEXT')})",
    "mysql": f"CREATE TABLE events ({COLUMNS.format(name='VARCHAR(255)', schema='`schema`', long='LONGTEXT')}) {MARIADB}",
}
"""By what a URL begins with."""

INTENT: Final = (
    '{"step":"%s","stage":"infrastructure","action":"create_server","deadline":"%s","node_group":"worker","name":"worker-001"}'
)
COMPLETION: Final = '{"step":"%s","outcome":"succeeded","server_id":"%s"}'
HASH: Final = "0123456789abcdef" * 4
Row = tuple[str, int, str, str, int, str, int, str, str, str]


def connect(url: str) -> Any:
    """Open a connection on which each statement is a transaction of its own, durable when it returns."""
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    match kind(url):
        case "sqlite":
            connection = sqlite3.connect(name, timeout=30, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            return connection
        case "postgresql":
            import psycopg  # noqa: PLC0415 (each driver is loaded where it is used)

            return psycopg.connect(url, autocommit=True, prepare_threshold=0)
        case _:
            import pymysql  # noqa: PLC0415 (the same)

            user, password = parts.username, parts.password or ""
            return pymysql.connect(
                host=parts.hostname, port=parts.port or 3306, user=user, password=password, database=name, autocommit=True
            )


def insertion(url: str) -> str:
    """Return the statement that inserts a row."""
    mark = "?" if kind(url) == "sqlite" else "%s"
    return f"INSERT INTO events VALUES ({', '.join([mark] * 10)})"


def step_rows() -> Callable[[], tuple[Row, Row]]:
    """Return what makes the two rows of one step after the other, for a cluster of its own."""
    stream, operation, versions = f"c-{uuid4()}", str(uuid4()), count(1)

    def rows() -> tuple[Row, Row]:
        step, now = str(uuid4()), datetime.now(UTC)
        begun = (stream, next(versions), str(uuid4()), "intent", 1, written(now), 1, operation)
        intent = INTENT % (step, written(now + timedelta(seconds=60)))
        ended = (stream, next(versions), str(uuid4()), "completion", 1, written(datetime.now(UTC)), 1, operation)
        completion = COMPLETION % (step, str(uuid4()))
        return (*begun, intent, HASH), (*ended, completion, HASH)

    return rows


def written(moment: datetime) -> str:
    """Return a time as it is stored."""
    return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"


def steps(url: str, seconds: float, threads: int) -> Run:
    """Insert intents and completions, two transactions a step, each thread on a connection of its own."""
    statement = insertion(url)

    def make() -> Turn:
        cursor, rows = connect(url).cursor(), step_rows()

        def step() -> int:
            intent, completion = rows()
            cursor.execute(statement, intent)
            cursor.execute(statement, completion)
            return 1

        return step

    return counted(make, seconds, threads=threads, settings=lambda: durability(url))


def steps_in_turns(url: str, seconds: float, threads: int) -> Run:
    """Insert the same, but have threads wait for each other in the process, not in the database."""
    statement, turn = insertion(url), Lock()

    def make() -> Turn:
        cursor, rows = connect(url).cursor(), step_rows()

        def step() -> int:
            for row in rows():
                with turn:
                    cursor.execute(statement, row)
            return 1

        return step

    return counted(make, seconds, threads=threads, settings=lambda: durability(url))


def batch(url: str, seconds: float, events: int) -> Run:
    """Insert so many events in each transaction."""
    statement = insertion(url)

    def make() -> Turn:
        cursor, rows = connect(url).cursor(), step_rows()

        def append() -> int:
            many = [row for _ in range(events // 2) for row in rows()]
            cursor.execute("BEGIN")
            cursor.executemany(statement, many)
            cursor.execute("COMMIT")
            return events

        return append

    return counted(make, seconds, warm_up=1, settings=lambda: durability(url))


# ---- reading, of the library's tables

EVENTS: Final = "SELECT * FROM events WHERE stream_id = {mark} ORDER BY version"
UNFINISHED: Final = "SELECT step, stream_id FROM unfinished_steps ORDER BY stream_id, version"


def replay(url: str, seconds: float) -> Run:
    """Read every row of every cluster, and decode its data into a dict."""

    def make() -> Turn:
        cursor = connect(url).cursor()
        cursor.execute("SELECT stream_id FROM streams ORDER BY stream_id")
        clusters = [row[0] for row in cursor.fetchall()]
        statement = EVENTS.format(mark="?" if kind(url) == "sqlite" else "%s")

        def read() -> int:
            return sum(len(documents(cursor, statement, cluster)) for cluster in clusters)

        return read

    return counted(make, seconds, warm_up=0)


def documents(cursor: Any, statement: str, cluster: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return the rows of a cluster with their data decoded."""
    decode = msgspec.json.decode
    return [(row, decode(row[8])) for row in cursor.execute(statement, (cluster,))]


def recovery(url: str, seconds: float, unfinished: int) -> Run:
    """Open a connection, and ask the index of unfinished steps."""

    def make() -> Turn:
        def recover() -> int:
            connection = connect(url)
            cursor = connection.cursor()
            cursor.execute(UNFINISHED)
            found: Sequence[Any] = cursor.fetchall()
            connection.close()
            assert len(found) == unfinished
            return 1

        return recover

    return counted(make, seconds, warm_up=1)


# ---- what the harness needs beside that


def kind(url: str) -> str:
    """Return which database a URL is of."""
    return urlsplit(url).scheme.partition("+")[0]


def durability(url: str) -> dict[str, Any]:
    """Return what such a connection says of its durability."""
    cursor, found = connect(url).cursor(), {}
    for name in {"sqlite": ("synchronous", "journal_mode"), "postgresql": ("synchronous_commit",)}.get(kind(url), ()):
        cursor.execute(f"{'PRAGMA' if kind(url) == 'sqlite' else 'SHOW'} {name}")
        (found[name],) = cursor.fetchone()
    return found


def tables(url: str) -> Run:
    """Make the table."""
    return once(lambda: connect(url).cursor().execute(TABLES[kind(url)]))


def history(url: str, events: int, each: int) -> Run:
    """Fill the table with the steps of many clusters."""

    def fill() -> None:
        cursor, statement = connect(url).cursor(), insertion(url)
        for _ in range(events // each):
            rows = step_rows()
            cursor.execute("BEGIN")
            cursor.executemany(statement, [row for _ in range(each // 2) for row in rows()])
            cursor.execute("COMMIT")

    return once(fill)


if __name__ == "__main__":
    serve(
        {
            "tables": tables,
            "history": history,
            "steps": steps,
            "steps_in_turns": steps_in_turns,
            "batch": batch,
            "replay": replay,
            "plan": replay,
            "recovery": recovery,
        }
    )
