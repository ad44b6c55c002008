"""Connections that break while a COMMIT is on its way: what was acknowledged is there, once."""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from threading import Event
from uuid import uuid4

import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.mariadb import MariadbServer
from servers.postgresql import PostgresqlServer
from servers.proxy import CommitCutter, Cut

from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

ROUNDS = int(os.environ.get("PROVJOURNAL_CUTS", "40"))
"""COMMITs, of which three in four are cut. `make durability` does more."""


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> PostgresqlServer | MariadbServer:
    found: PostgresqlServer | MariadbServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def cuts() -> Counter[Cut]:
    return Counter()


@pytest.fixture
def store(server: PostgresqlServer | MariadbServer, cuts: Counter[Cut]) -> Iterator[SqlStore]:
    """A store behind a proxy that cuts COMMITs at random."""
    random, opened = Random(7), Event()

    def decide() -> Cut:
        what = random.choice(list(Cut)) if opened.is_set() else Cut.NOT
        cuts[what] += opened.is_set()
        return what

    url = server.make_database(f"j{uuid4().hex[:12]}")
    open_store(url, upgrade=True).close()
    with CommitCutter(server.port, decide) as proxy:
        store = open_store(url.replace(f":{server.port}/", f":{proxy.port}/"))
        opened.set()
        yield store
        store.close()


def test_what_was_acknowledged_is_there_once_however_commits_are_cut(store: SqlStore, cuts: Counter[Cut]) -> None:
    appended = [*begin(store)]
    while cuts.total() < ROUNDS:
        appended += follow(store, appended[-1:], create_server())
    assert min(cuts[what] for what in Cut) >= ROUNDS // 10
    assert list(store.read("c-1")) == appended
    head = store.head("c-1")
    assert head is not None
    assert set(verify_stream(store, head)) == {None}
