"""Database servers that are killed while conductors write: what was acknowledged is there, once, and writing goes on."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.installed import installed
from servers.mariadb import GaleraCluster, MariadbServer
from servers.postgresql import PostgresqlServer

from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

if TYPE_CHECKING:
    from journal.events import Event

ROUNDS = int(os.environ.get("PROVJOURNAL_KILLS", "2"))
"""How often each server is killed. `make durability` does it more often."""
WRITERS = 4
PATIENCE_SECONDS = 180
"""How long writers may stand still: more than the store's own retries take."""
EACH = 10
"""How many events each writer must append after a kill before the next."""


Server = PostgresqlServer | MariadbServer


@pytest.fixture(params=[PostgresqlServer, MariadbServer], ids=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this test's own."""
    with closing(installed(request.param)) as server:
        if isinstance(server, MariadbServer):
            server.start()
            server.make_user()
        yield server


class Writer:
    """Appends to a stream of its own until it is told to stop, and remembers what was acknowledged."""

    def __init__(self, store: SqlStore, stream: str) -> None:
        self.store = store
        self.appended: list[Event] = [*begin(store, stream)]
        self.error: Exception | None = None
        self._progress = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping:
                new = follow(self.store, self.appended[-1:], create_server())
                with self._progress:
                    self.appended += new
                    self._progress.notify()
        except Exception as error:  # noqa: BLE001 (told to the test's own thread)
            self.error = error
            with self._progress:
                self._progress.notify()

    def await_more(self, count: int, needless: Callable[[], bool] = lambda: False) -> None:
        """Wait until so many more were appended, or until waiting for them is needless."""
        goal = len(self.appended) + count
        until = time.monotonic() + PATIENCE_SECONDS
        with self._progress:
            while len(self.appended) < goal and self.error is None and not needless():
                assert time.monotonic() < until, f"{len(self.appended)} appended, {goal} expected"
                self._progress.wait(timeout=1)
        assert self.error is None, self.error

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()

    def check(self, store: SqlStore) -> None:
        """Everything acknowledged is there, nothing else is, and the chain holds."""
        stream = self.appended[0].stream
        assert list(store.read(stream)) == self.appended
        head = store.head(stream)
        assert head is not None
        assert set(verify_stream(store, head)) == {None}


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server: Server) -> None:
    with ExitStack() as stack:
        store = open_store(server.make_database("j"), upgrade=True)
        stack.callback(store.close)
        writers = [Writer(store, f"s-{number}") for number in range(WRITERS)]
        for writer in writers:
            stack.callback(writer.stop)
        for _ in range(ROUNDS):
            for writer in writers:
                writer.await_more(EACH)
            server.process.kill()
            server.start()
        for writer in writers:
            writer.await_more(EACH)
            writer.stop()
            writer.check(store)


def has_lost_its_majority(node: MariadbServer) -> bool:
    """Tell whether a node waits for the killed one: the machine stalled, and the two that were left lost each other."""
    return not node.has_majority()


def test_nothing_acknowledged_is_lost_when_a_node_of_a_cluster_is_killed() -> None:
    with ExitStack() as stack:
        galera = stack.enter_context(closing(installed(partial(GaleraCluster, suspect_seconds=8))))
        name = "j"
        galera.nodes[0].make_database(name)
        stores = [open_store(node.url(name), upgrade=True) for node in galera.nodes]
        for store in stores:
            stack.callback(store.close)
        writers = [Writer(store, f"s-{number}") for number, store in enumerate(stores)]
        for writer in writers:
            stack.callback(writer.stop)
        for number in range(ROUNDS):
            for writer in writers:
                writer.await_more(EACH)
            node = galera.nodes[number % len(galera.nodes)]
            node.process.kill()
            for other, writer in zip(galera.nodes, writers, strict=True):
                if other is not node:
                    writer.await_more(EACH, needless=partial(has_lost_its_majority, other))
            node.start()
        for writer in writers:
            writer.await_more(EACH)
            writer.stop()
        for writer in writers:
            for store in stores:
                writer.check(store)
