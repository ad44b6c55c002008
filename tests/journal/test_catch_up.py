"""The reader over all streams: each event once, in its stream's order, on each engine, whatever the commit order."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest
from builders import create_server, events, started
from contracts.store import begin, follow, wait_until_after
from sqlalchemy import Connection

from journal.catch_up import CatchUp
from journal.codec import FIRST_HASH
from journal.errors import JournalRegressed, StreamArchived
from journal.events import ClusterStatus, Event, OperationFinished, OperationOutcome
from journal.memory import MemoryStore
from journal.sql import store as sql_store
from journal.sql.changes import Entry, changes
from journal.sql.engine import Database, parsed
from journal.sql.statements import executions
from journal.sql.store import SqlStore, open_store
from journal.store import EventStore, Head

WRITERS = 4
EACH = 60
Urls = list[str]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "galera"])
def urls(request: pytest.FixtureRequest, new_database: Callable[[str], Urls]) -> Urls:
    return new_database(request.param)


@pytest.fixture
def stores(urls: Urls) -> Iterator[list[SqlStore]]:
    """A store for each writer, on a node of its own where there are several."""
    with ExitStack() as stack:
        opened = [open_store(url, upgrade=True) for url in (urls * WRITERS)[:WRITERS]]
        for store in opened:
            stack.callback(store.close)
        yield opened


def write(store: SqlStore, number: int) -> None:
    """Append to three streams of its own, now to one and now to another."""
    chance = random.Random(number)
    last: dict[str, Sequence[Event]] = {}
    for _ in range(EACH):
        stream = f"s-{number}-{chance.randrange(3)}"
        last[stream] = follow(store, last[stream], create_server()) if stream in last else begin(store, stream)


def test_no_event_is_missed_and_none_repeated_while_many_append(stores: list[SqlStore]) -> None:
    writers = [threading.Thread(target=write, args=(store, number)) for number, store in enumerate(stores)]
    for writer in writers:
        writer.start()
    seen: list[Event] = []
    reader = CatchUp(stores[0])
    while any(writer.is_alive() for writer in writers):
        seen += reader.read()
        reader = CatchUp(stores[len(seen) % WRITERS], reader.position)  # another process goes on
    for writer in writers:
        writer.join()
    seen += reader.read()
    by_stream: defaultdict[str, list[Event]] = defaultdict(list)
    for event in seen:
        by_stream[event.stream].append(event)
    assert by_stream == {head.stream: list(stores[0].read(head.stream)) for head in stores[0].heads()}
    assert len(seen) == WRITERS * EACH


def insert(connection: Connection, new: Sequence[Event]) -> None:
    """Insert the events of a new stream, in a transaction of the caller's."""
    for execution in executions(changes([Entry(new, FIRST_HASH, 1, None)])):
        connection.execute(execution.statement, execution.rows)


def test_what_committed_long_after_its_time_is_found(urls: Urls, stores: list[SqlStore]) -> None:
    begin(stores[0], "a")
    late = events(started(), stream="late", operation=next(stores[0].heads()).operation)
    reader = CatchUp(stores[0], overlap=timedelta(0), all_every=4)
    slow = Database(parsed(urls[-1]))
    with slow.engine.begin() as connection:
        insert(connection, late)
        if "sqlite" not in urls[0]:
            begin(stores[0], "b")
        wait_until_after(stores[0], next(stores[0].heads()).read_at + timedelta(milliseconds=5))
        seen = [event.stream for _ in range(3) for event in reader.read()]
    assert "late" not in seen
    assert [event.stream for event in reader.read()] == [], "its time is before the last look"
    assert [event.stream for event in reader.read()] == ["late"]
    slow.close()


def test_a_look_goes_back_far_enough_for_usual_transactions(urls: Urls, stores: list[SqlStore]) -> None:
    first = begin(stores[0], "a")
    reader = CatchUp(stores[0], all_every=1000)
    late = events(started(), stream="late", operation=first[0].operation)
    slow = Database(parsed(urls[-1]))
    with slow.engine.begin() as connection:
        insert(connection, late)
        assert list(reader.read()) == list(first)
    assert list(reader.read()) == list(late)
    slow.close()


def test_what_is_appended_during_a_look_is_found_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_store, "PAGE", 1)
    with closing(open_store(f"sqlite:///{tmp_path}/journal.db", upgrade=True)) as store:
        first = begin(store, "a")
        begin(store, "b")
        begin(store, "c")
        reader = CatchUp(store, overlap=timedelta(0), all_every=1000)
        looking = reader.read()
        assert [next(looking).stream, next(looking).stream] == ["a", "b"]
        later = follow(store, first, create_server())
        assert [event.stream for event in looking] == ["c"]
        assert [event for event in reader.read() if event.stream == "a"] == list(later)


def test_a_stream_that_is_not_any_more_what_was_read_has_lost_history() -> None:
    store, other = MemoryStore(), MemoryStore()
    reader = CatchUp(store)
    first = begin(store)
    follow(store, first, create_server())
    assert len(list(reader.read())) == 2
    shorter = begin(other)
    with pytest.raises(JournalRegressed):
        list(CatchUp(other, reader.position).read())
    follow(other, follow(other, shorter, create_server()), create_server())
    with pytest.raises(JournalRegressed):
        list(CatchUp(other, reader.position).read())


def ended(store: EventStore, stream: str) -> Head:
    """Append the history of a deleted cluster, and return its head."""
    follow(store, begin(store, stream), OperationFinished(OperationOutcome.CANCELLED, ClusterStatus.DELETED, ""))
    head = store.head(stream)
    assert head is not None
    return head


def test_a_stream_that_was_archived_before_all_of_it_was_read_is_told_once(stores: list[SqlStore]) -> None:
    store = stores[0]
    reader = CatchUp(store, all_every=1)
    first = begin(store, "a")
    assert list(reader.read()) == list(first)
    follow(store, first, OperationFinished(OperationOutcome.CANCELLED, ClusterStatus.DELETED, ""))
    store.archive(next(store.heads()), "a.jsonl.gz")
    later = begin(store, "b")
    told = []
    with pytest.raises(StreamArchived, match=r"a\.jsonl\.gz"):
        told.extend(reader.read())
    told.extend(reader.read())
    assert list({event.id for event in told}) == [later[0].id]
    assert list(reader.read()) == []


def test_a_stream_that_was_read_whole_may_be_archived(stores: list[SqlStore]) -> None:
    reader = CatchUp(stores[0], all_every=1)
    head = ended(stores[0], "a")
    assert len(list(reader.read())) == 2
    stores[0].archive(head, "a.jsonl.gz")
    assert list(reader.read()) == []


class ArchivedMeanwhile(MemoryStore):
    """A store whose stream is archived after its guard row was read, and before or while its events are."""

    keep_last = False

    def read(self, stream: str, *, after: int = 0) -> Iterator["Event"]:
        events = list(super().read(stream, after=after))
        head = self.head(stream)
        if head is not None and head.archived_to is None and head.operation is None:
            self.archive(head, "a.jsonl.gz")
            return iter(events[-1:] if self.keep_last else [])
        return iter(events)


@pytest.mark.parametrize("read_before", [True, False])
@pytest.mark.parametrize("keep_last", [True, False])
def test_a_stream_that_is_archived_while_it_is_read_has_not_lost_history(read_before: bool, keep_last: bool) -> None:
    store = ArchivedMeanwhile()
    store.keep_last = keep_last
    reader = CatchUp(store)
    first = begin(store, "a")
    if read_before:
        assert list(reader.read()) == list(first)
    follow(store, first, create_server(), OperationFinished(OperationOutcome.CANCELLED, ClusterStatus.DELETED, ""))
    with pytest.raises(StreamArchived):
        list(reader.read())
    assert list(reader.read()) == []
