"""Conductors that take one stream over at the same time, each through a node of its own: one of them wins each epoch."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice, product
from uuid import uuid4

import pytest
from builders import started
from servers.isolation import isolate

from journal.clock import SystemClock
from journal.errors import AppendRefused
from journal.events import HoldPlaced
from journal.sql.engine import Database, parsed
from journal.sql.store import SqlStore, open_store
from journal.store import Claim
from journal.stream import Stream

RACES = int(os.environ.get("PROVJOURNAL_RACES", "30"))
"""Races on each engine and isolation level. `make durability` runs more."""
A_STREAM = 50
"""Races for one stream: each conductor reads it whole before each race."""
CONDUCTORS = 3


LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
ENGINES = [("sqlite", "SERIALIZABLE"), *product(("postgresql", "mariadb", "galera"), LEVELS)]


@pytest.fixture(params=ENGINES, ids=" ".join)
def stores(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> Iterator[list[SqlStore]]:
    """Each conductor's own store, on a node of its own where there are several, under an isolation level."""
    engine, level = request.param
    with ExitStack() as stack:
        nodes = list(islice(cycle(new_database(engine)), CONDUCTORS))
        open_store(nodes[0], upgrade=True).close()
        databases = [Database(parsed(url)) for url in nodes]
        for database in databases:
            stack.callback(database.close)
            if engine != "sqlite":  # it has that level and no other
                isolate(database, level)
        yield [SqlStore(database) for database in databases]


class Conductor:
    """Takes a stream over and, if it won, appends; all at the same moment as the others."""

    def __init__(self, name: str, store: SqlStore, barrier: threading.Barrier) -> None:
        self.name = name
        self.store = store
        self.barrier = barrier
        self.took: list[int] = []

    def run(self, stream_id: str) -> None:
        clock = SystemClock()
        stream = Stream.load(self.store, stream_id, clock)
        self.barrier.wait()
        try:
            stream.take("raced", Claim(self.name, 0))  # a lease that has run out at once lets the next one try
            self.took.append(stream.epoch)
            stream.append(HoldPlaced(self.name, "mine"))
        except AppendRefused:
            pass


def test_no_two_conductors_append_under_one_epoch(stores: list[SqlStore]) -> None:
    for begun in range(0, RACES, A_STREAM):
        race(stores, f"c-{begun}", min(A_STREAM, RACES - begun))


def race(stores: list[SqlStore], stream: str, races: int) -> None:
    barrier = threading.Barrier(CONDUCTORS)
    conductors = [Conductor(f"conductor-{number}", store, barrier) for number, store in enumerate(stores)]
    first = Stream.load(stores[0], stream, SystemClock())
    first.append(started(), operation=uuid4())
    for _ in range(races):
        threads = [threading.Thread(target=conductor.run, args=(stream,)) for conductor in conductors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    took = [epoch for conductor in conductors for epoch in conductor.took]
    assert len(took) == len(set(took)) >= races, "each epoch was taken by one conductor"
    events = list(stores[-1].read(stream))
    owners = {event.epoch: event.data.conductor for event in events if event.type == "ownership_taken"}
    holds = [event for event in events if event.type == "hold_placed"]
    assert [event.data.by for event in holds] == [owners[event.epoch] for event in holds], (
        "only the owner of an epoch appends under it"
    )
    assert {epoch: conductor.name for conductor in conductors for epoch in conductor.took} == owners
