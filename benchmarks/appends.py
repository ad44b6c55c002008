"""Durable appends a second: one thread, eight threads with group commit, and eight without, as ratios to the raw driver.

    python -m benchmarks.appends                                     an SQLite file in a temporary folder
    python -m benchmarks.appends --url postgresql://user@host/empty  an empty database of yours

An append is one intent. The raw driver inserts a row of the same size, one durable transaction each, in one thread.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import text

from journal.codec import FIRST_HASH
from journal.events import CreateServer, Event, OperationKind, OperationStarted, Stage
from journal.sql.append import Append
from journal.sql.engine import Database, parsed
from journal.sql.store import SqlStore, open_store
from journal.store import chained

THREADS = 8


def main() -> None:
    """Measure, and print ratios."""
    parser = argparse.ArgumentParser(description="durable appends a second, as ratios to the raw driver")
    parser.add_argument("--url", help="an empty database (default: an SQLite file)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement (default: 5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = args.url or f"sqlite:///{folder}/journal.db"
        store = open_store(url, upgrade=True)
        database = Database(parsed(url))
        raw = rate(raw_writer(database), 1, args.seconds)
        print(f"{'raw driver, one thread':32} {raw:8.0f}/s  1.00")
        for name, threads, append in (
            ("one thread", 1, grouped(store)),
            (f"{THREADS} threads, group commit", THREADS, grouped(store)),
            (f"{THREADS} threads, each alone", THREADS, alone(database)),
        ):
            measured = rate(lambda append=append: writer(append), threads, args.seconds)
            print(f"{name:32} {measured:8.0f}/s  {measured / raw:.2f}")
        store.close()
        database.close()


def rate(make: Callable[[], Callable[[], None]], threads: int, seconds: float) -> float:
    """Return how often a second the threads together come through."""
    counts = [0] * threads
    until = time.monotonic() + seconds

    def run(number: int, step: Callable[[], None]) -> None:
        while time.monotonic() < until:
            step()
            counts[number] += 1

    running = [threading.Thread(target=run, args=(number, make())) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / seconds


def raw_writer(database: Database) -> Callable[[], Callable[[], None]]:
    """Return a writer of rows as large as an event, each in a transaction of its own on a connection it keeps."""
    row = "x" * 450
    connection = database.engine.connect()
    with connection.begin():
        connection.execute(text("CREATE TABLE raw (id VARCHAR(36) PRIMARY KEY, data TEXT)"))
    driver = connection.connection.cursor()
    mark = "?" if database.engine.dialect.paramstyle == "qmark" else "%s"

    def step() -> None:
        driver.execute("BEGIN IMMEDIATE" if mark == "?" else "BEGIN")
        driver.execute(f"INSERT INTO raw VALUES ({mark}, {mark})", (str(uuid4()), row))
        driver.execute("COMMIT")

    return lambda: step


Appender = Callable[[tuple[Event, ...], str], None]


def grouped(store: SqlStore) -> Appender:
    """Append as everybody does."""
    return lambda events, previous: store.append(events, previous_hash=previous, expected_epoch=1) and None


def alone(database: Database) -> Appender:
    """Append without group commit."""
    return lambda events, previous: Append(database, events, previous, 1, None).run() and None


def writer(append: Appender) -> Callable[[], None]:
    """Return what appends one intent after the other to a stream of its own."""
    stream, operation = f"s-{uuid4()}", uuid4()
    start = OperationStarted(OperationKind.CREATE, "benchmark", "RegionOne/0", (), {})
    last = next_event(None, start, stream, operation)
    append((last,), FIRST_HASH)

    def step() -> None:
        nonlocal last
        intent = CreateServer(uuid4(), Stage.INFRASTRUCTURE, datetime.now(UTC) + timedelta(seconds=60), "worker", "worker-001")
        event = next_event(last, intent, stream, operation)
        append((event,), last.hash or FIRST_HASH)
        last = event

    return step


def next_event(last: Event | None, data: OperationStarted | CreateServer, stream: str, operation: object) -> Event:
    """Return the event that follows."""
    version, previous = (1, FIRST_HASH) if last is None else (last.version + 1, last.hash or FIRST_HASH)
    (event,) = chained(previous, [Event(stream, version, uuid4(), datetime.now(UTC), 1, operation, data)])  # type: ignore[arg-type]
    return event


if __name__ == "__main__":
    main()
