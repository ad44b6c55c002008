"""Workers of a service that fork after import, and after the journal was opened: each goes on by itself."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from contracts.store import begin

from journal.events import OperationKind
from journal.journal import Journal
from journal.sql.store import SqlStore, open_store

ENGINES = ["sqlite", "postgresql", "mariadb", "galera"]
WORKERS = 4
STEPS = 10


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> Iterator[SqlStore]:
    with closing(open_store(new_database(request.param)[0], upgrade=True)) as store:
        yield store


def forked(work: Callable[[], None]) -> int:
    """Fork, and do the work in the child, which ends then: with 0 unless the work raised."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def expect_success(*children: int) -> None:
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


def provision(store: SqlStore, cluster: str) -> None:
    """Work as a conductor does."""
    op = Journal(store).begin(cluster, OperationKind.CREATE, "RegionOne/1")
    for number in range(STEPS):
        op.create_server("worker", f"w{number}").run(lambda step: step.created(f"{cluster}-{step.name}"))
    op.succeed()


def test_parent_and_children_append_side_by_side(store: SqlStore) -> None:
    provision(store, "before")
    children = [forked(lambda number=number: provision(store, f"child-{number}")) for number in range(WORKERS)]  # type: ignore[misc]
    provision(store, "parent")
    expect_success(*children)
    names = sorted(["before", "parent", *(f"child-{number}" for number in range(WORKERS))])
    assert [(head.stream, head.version) for head in store.heads()] == [(name, 2 + 2 * STEPS) for name in names]


@contextmanager
def appending(store: SqlStore) -> Iterator[None]:
    """Have another thread be at the queue of the group commit for the length of the block."""
    holds, over = threading.Event(), threading.Event()

    def hold() -> None:
        with store._appends._changing:  # noqa: SLF001 (a fork can come while another thread commits)
            holds.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    yield
    over.set()
    thread.join()


def test_a_child_does_not_wait_for_a_thread_that_only_its_parent_has(store: SqlStore) -> None:
    with appending(store):
        child = forked(lambda: (begin(store, "c-1"), None)[1])
        expect_success(child)
    begin(store, "c-2")
    assert [head.stream for head in store.heads()] == ["c-1", "c-2"]


def test_a_child_is_another_conductor(store: SqlStore) -> None:
    journal = Journal(store)
    assert journal.conductor == f"{socket.gethostname()}:{os.getpid()}"
    names: Any = os.pipe()
    child = forked(lambda: (os.write(names[1], journal.conductor.encode()), None)[1])
    expect_success(child)
    assert os.read(names[0], 1000).decode() == f"{socket.gethostname()}:{child}"
    for end in names:
        os.close(end)
