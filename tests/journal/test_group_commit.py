"""Threads that append at the same time share a transaction; each learns the truth about its own events."""

import dis
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import attrs
import pytest
from builders import create_server, events
from contracts.store import begin, follow
from sqlalchemy import event
from waiting import until

from journal.errors import AppendRefused, EventIdReused, VersionConflict
from journal.events import Event
from journal.sql import group, transaction
from journal.sql.engine import Database, parsed
from journal.sql.store import SqlStore, open_store

THREADS = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    open_store(f"sqlite:///{path}", upgrade=True).close()
    database = Database(parsed(f"sqlite:///{path}"))
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


@pytest.fixture
def commits(database: Database) -> list[int]:
    """Grows by one with each transaction that is committed."""
    counted: list[int] = []

    def trace(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_trace_callback(lambda statement: counted.append(1) if statement == "COMMIT" else None)

    event.listen(database.engine, "checkout", trace)
    return counted


expect = partial(until, pause_seconds=0.001)


def at_once(path: Path, store: SqlStore, appends: list[Callable[[], object]]) -> list[object]:
    """Start appends while the database is locked, unlock it once all wait, and return what each came to."""
    outcomes: list[object] = [None] * len(appends)

    def run(number: int) -> None:
        try:
            outcomes[number] = appends[number]()
        except (AppendRefused, OverflowError) as error:
            outcomes[number] = error

    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(appends))]
    for thread in threads:
        thread.start()
    expect(lambda: store.appends_waiting == len(appends) - 1)  # the first is under way and waits for the lock
    locker.execute("ROLLBACK")
    locker.close()
    for thread in threads:
        thread.join()
    return outcomes


def appending(store: SqlStore, before: tuple[Event, ...]) -> Callable[[], object]:
    return lambda: follow(store, before, create_server())


def test_appends_that_wait_go_together(path: Path, store: SqlStore, commits: list[int]) -> None:
    begun = [begin(store, f"s-{number}") for number in range(THREADS)]
    commits.clear()
    outcomes = at_once(path, store, [appending(store, before) for before in begun])
    assert len(commits) == 2
    for number, appended in enumerate(outcomes):
        assert tuple(store.read(f"s-{number}", after=1)) == appended
    assert len(list(store.unfinished_steps())) == THREADS


def test_one_that_is_refused_does_not_fail_its_neighbours(path: Path, store: SqlStore, commits: list[int]) -> None:
    begun = [begin(store, f"s-{number}") for number in range(THREADS)]
    for number in (2, 5):
        follow(store, begun[number], create_server())
    commits.clear()
    outcomes = at_once(path, store, [appending(store, before) for before in begun])
    assert [isinstance(outcome, VersionConflict) for outcome in outcomes] == [number in (2, 5) for number in range(THREADS)]
    assert [head.version for head in store.heads()] == [2] * THREADS


def test_one_that_breaks_the_transaction_does_not_fail_its_neighbours(path: Path, store: SqlStore) -> None:
    begun = [begin(store, f"s-{number}") for number in range(THREADS)]
    (other,) = begin(store, "other")
    (last,) = begun[3]
    assert last.hash is not None
    (new,) = events(create_server(), stream="s-3", after=1, operation=last.operation, previous=last.hash)
    reused = attrs.evolve(new, id=other.id)
    appends = [appending(store, before) for before in begun]
    appends[3] = partial(store.append, [reused], previous_hash=last.hash, expected_epoch=1)
    outcomes = at_once(path, store, appends)
    assert [type(outcome) for outcome in outcomes] == [EventIdReused if number == 3 else tuple for number in range(THREADS)]
    assert [head.version for head in store.heads()] == [1] + [1 if number == 3 else 2 for number in range(THREADS)]


def test_one_that_the_driver_cannot_even_send_does_not_fail_its_neighbours(path: Path, store: SqlStore) -> None:
    begun = [begin(store, f"s-{number}") for number in range(THREADS)]
    (last,) = begun[3]
    assert last.hash is not None
    (new,) = events(create_server(), stream="s-3", after=1, operation=last.operation, previous=last.hash)
    appends = [appending(store, before) for before in begun]
    appends[3] = partial(store.append, [attrs.evolve(new, epoch=2**63)], previous_hash=last.hash, expected_epoch=1)
    outcomes = at_once(path, store, appends)
    assert [type(outcome) for outcome in outcomes] == [OverflowError if number == 3 else tuple for number in range(THREADS)]


def test_one_that_is_interrupted_while_it_waits_keeps_nobody_waiting(path: Path, store: SqlStore) -> None:
    first, second = begin(store, "s-1"), begin(store, "s-2")
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    leads = threading.Thread(target=appending(store, first))
    leads.start()

    def interrupt_then_unlock() -> None:
        expect(lambda: store.appends_waiting == 1)  # the main thread, behind the one that waits for the lock
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        expect(lambda: store.appends_waiting == 0)
        locker.execute("ROLLBACK")

    expect(lambda: store._appends._committing is not None and not store.appends_waiting)  # noqa: SLF001 (it leads)
    interrupting = threading.Thread(target=interrupt_then_unlock)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        follow(store, second, create_server())
    interrupting.join()
    leads.join()
    locker.close()
    follow(store, second, create_server())
    assert [head.version for head in store.heads()] == [2, 2]


class Interrupts:
    """Interrupts this thread in a module's code, at one of the places where Python looks for signals."""

    def __init__(self, module: ModuleType, place: int) -> None:
        self._file = module.__file__
        self.left = place
        self._before: dict[FrameType, str] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != self._file or self.left == 0:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            before = self._before.get(frame)
            self._before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self.left -= before in ("RESUME", "CALL", "JUMP_BACKWARD")
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("place", range(1, 50))
def test_one_that_is_interrupted_anywhere_keeps_nobody_waiting(path: Path, store: SqlStore, place: int) -> None:
    begun = [begin(store, f"s-{number}") for number in range(4)]
    others = [threading.Thread(target=appending(store, before), daemon=True) for before in begun[1:]]
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    others[0].start()
    expect(lambda: store._appends._committing is not None and not store.appends_waiting)  # noqa: SLF001 (it leads)
    done: list[bool] = []

    def start_others() -> None:
        expect(lambda: store.appends_waiting == 1 or bool(done))  # the main thread, which leads those that come now
        for other in others[1:]:
            other.start()
        expect(lambda: store.appends_waiting == (2 if done else 3))
        locker.execute("ROLLBACK")

    starter = threading.Thread(target=start_others)
    starter.start()
    sys.settrace(interrupts := Interrupts(group, place))
    try:
        with pytest.raises(KeyboardInterrupt):
            appending(store, begun[0])()
    finally:
        sys.settrace(None)
        done.append(True)
    assert interrupts.left == 0
    starter.join()
    for other in others:
        other.join(10)
        assert not other.is_alive()
    locker.close()


@pytest.mark.parametrize("place", range(1, 76))
def test_one_that_is_interrupted_anywhere_in_its_transaction_keeps_no_lock(path: Path, store: SqlStore, place: int) -> None:
    first = begin(store)
    sys.settrace(interrupts := Interrupts(transaction, place))
    try:
        with pytest.raises(KeyboardInterrupt) as interrupted:
            follow(store, first, create_server())
    finally:
        sys.settrace(None)
    assert interrupts.left == 0
    with sqlite3.connect(path, timeout=0, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # although the interrupt still holds what it came through
    other.close()
    assert interrupted.tb is not None
