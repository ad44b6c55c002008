"""Workers of a service that fork after import, and after the journal was opened: each goes on by itself."""

import os
import socket
import subprocess
import sys
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
def url(request: pytest.FixtureRequest, new_database: Callable[[str], list[str]]) -> str:
    return new_database(request.param)[0]


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    with closing(open_store(url, upgrade=True)) as store:
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


LETS_GO = """
import gc, os, sys
from contracts.store import begin
from journal.sql.store import open_store

store = open_store(sys.argv[1])
begin(store, "before")
(kept,) = store._database._connections._kept
store._database.backend.begin(kept.dbapi_connection)
kept.dbapi_connection.cursor().execute("UPDATE streams SET settled_version = 1")
if child := os.fork():
    _, status = os.waitpid(child, 0)
    kept.dbapi_connection.commit()
    begin(store, "after")
    sys.exit(os.waitstatus_to_exitcode(status))
del store, kept
gc.collect()
"""


@pytest.mark.parametrize("engine", ["postgresql", "mariadb", "galera"])
def test_a_child_that_lets_go_of_what_it_inherited_is_not_heard_on_its_parents_connections(
    new_database: Callable[[str], list[str]], engine: str
) -> None:
    """A thread of the parent may be in the middle of an append. SQLite does without: there its file is open, and no more."""
    (url, *_) = new_database(engine)
    open_store(url, upgrade=True).close()
    done = subprocess.run(
        [sys.executable, "-c", LETS_GO, url],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with closing(open_store(url)) as store:
        assert [(head.stream, head.settled_version) for head in store.heads()] == [("after", 0), ("before", 1)]
