"""Guards simpler than the store's let through what it keeps out: a stale owner's event, and an event twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from threading import Event
from uuid import uuid4

import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.mariadb import GaleraCluster, MariadbServer
from servers.postgresql import PostgresqlServer
from servers.proxy import CommitCutter, Cut
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Executable,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError

from journal.sql.engine import parsed
from journal.sql.store import open_store

# Without the key of stream and version, the store's second guard: it would hide what the first one lets through.
TABLES = MetaData()
STREAM, EPOCH = ("stream", String(9)), ("epoch", Integer)
GUARDS = Table("guards", TABLES, Column(*STREAM, primary_key=True), Column(*EPOCH), Column("version", Integer))
EVENTS = Table("events", TABLES, Column("id", Integer, primary_key=True), Column(*STREAM), Column(*EPOCH))
EVENT = {"id": 1, "stream": "c-1", "epoch": 1}
OTHER_STREAM = GUARDS.c.stream == "c-0"
OLD_EPOCH = (GUARDS.c.stream == "c-1") & (GUARDS.c.epoch == 1)

PLAIN_SELECT = select(GUARDS.c.epoch).where(OLD_EPOCH)
INSERT_SELECT = insert(EVENTS).from_select(list(EVENT), select(literal(1), GUARDS.c.stream, GUARDS.c.epoch).where(OLD_EPOCH))
CHANGING_UPDATE = update(GUARDS).where(OLD_EPOCH).values(version=GUARDS.c.version + 1)
FAILS_ON: dict[str, tuple[Executable, set[str]]] = {
    "plain SELECT": (PLAIN_SELECT, {"postgresql", "mariadb", "galera"}),
    "INSERT SELECT": (INSERT_SELECT, {"postgresql", "galera"}),  # MariaDB locks the rows it selects from, on one node
    "SELECT FOR UPDATE": (PLAIN_SELECT.with_for_update(), {"galera"}),  # a lock is one node's
    "no-op UPDATE": (update(GUARDS).where(OLD_EPOCH).values(epoch=GUARDS.c.epoch), {"galera"}),  # no change, no certification
    "changing UPDATE": (CHANGING_UPDATE, set()),
}
"""Guards of an append, and the engines on which they let a stale owner's event through."""


class Database:
    """A database as two owners of a stream see it; on a cluster, each through a node of its own."""

    def __init__(self, stale_url: str, next_url: str, stale_node: MariadbServer | None = None) -> None:
        # On a cluster what another node has committed is found, by SELECT and by UPDATE.
        options = {"init_command": "SET SESSION wsrep_sync_wait = 3"} if stale_node else {}
        self.stale, self.next = engine(stale_url, **options), engine(next_url, **options)
        self.node = stale_node
        TABLES.create_all(self.next)
        with self.next.begin() as connection:
            connection.execute(insert(GUARDS), [{"stream": stream, "epoch": 1, "version": 1} for stream in ("c-0", "c-1")])

    @contextmanager
    def held_back(self) -> Iterator[Callable[[Future[bool]], None]]:
        """Hold back what the next owner commits from the stale owner's node, as on a node that is behind.

        Yields a wait for a commit of the stale owner's to get its place in the cluster's order. Until then the applier
        of what is held back would abort it for its lock; from then on it is certified, and applied again after that.
        """
        if (node := self.node) is None:
            yield lambda _: None
            return
        replicated = node.status("wsrep_replicated")
        with self.stale.begin() as holder:
            holder.execute(text("SET SESSION wsrep_on = OFF"))  # or the applier would abort the holder
            assert holder.execute(select(GUARDS).where(OTHER_STREAM).with_for_update()).rowcount == 1

            def wait_until_ordered(commit: Future[bool]) -> None:
                while node.status("wsrep_replicated") == replicated:
                    assert not commit.done()

            yield wait_until_ordered

    def events(self) -> list[int]:
        with self.next.connect() as connection:
            return list(connection.execute(select(EVENTS.c.id).order_by(EVENTS.c.id)).scalars())


def engine(url: str, **options: str) -> Engine:
    return create_engine(parsed(url), poolclass=NullPool, connect_args=options, execution_options={"preserve_rowcount": True})


def take_over(connection: Connection) -> None:
    """Write another row, where `held_back` waits, and take over. Raises OperationalError instead of waiting for a lock."""
    connection.execute(update(GUARDS).where(OTHER_STREAM).values(version=GUARDS.c.version + 1))
    connection.execute(PLAIN_SELECT.with_for_update(nowait=True))
    assert connection.execute(update(GUARDS).where(OLD_EPOCH).values(epoch=2)).rowcount == 1


def appended(connection: Connection, guard: Executable) -> bool:
    """Append and commit, once the guard was hit."""
    try:
        if guard is not INSERT_SELECT:
            connection.execute(insert(EVENTS).values(EVENT))
        connection.commit()
    except OperationalError:
        return False
    return True


@pytest.fixture
def database(request: pytest.FixtureRequest, where: str) -> Database:
    name, server = f"j{uuid4().hex[:12]}", request.getfixturevalue(where)
    if isinstance(server, GaleraCluster):
        server.nodes[0].make_database(name)
        return Database(server.nodes[1].url(name), server.nodes[0].url(name), server.nodes[1])
    url = server.make_database(name)
    return Database(url, url)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> PostgresqlServer | MariadbServer:
    found: PostgresqlServer | MariadbServer = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("guard", FAILS_ON)
@pytest.mark.parametrize("where", ["postgresql", "mariadb", "galera"])
def test_only_changing_the_guard_row_keeps_a_stale_owner_out_after_a_takeover(database: Database, where: str, guard: str) -> None:
    statement, fails_on = FAILS_ON[guard]
    taken = False
    with ThreadPoolExecutor() as pool, database.stale.connect() as stale:
        assert stale.execute(statement).rowcount == 1
        with database.held_back() as wait_until_ordered:
            with suppress(OperationalError):
                with database.next.begin() as connection:
                    take_over(connection)
                taken = True
            commit = pool.submit(appended, stale, statement)
            wait_until_ordered(commit)
        committed = commit.result()
    assert committed or taken
    assert (committed and taken) is (where in fails_on)
    assert database.events() == ([1] if committed else [])


@pytest.mark.parametrize("guard", FAILS_ON)
@pytest.mark.parametrize("where", ["postgresql", "mariadb"])
def test_only_a_guard_that_locks_awaits_a_takeover_that_is_not_committed_yet(database: Database, where: str, guard: str) -> None:
    statement, fails_on = FAILS_ON[guard]
    fails = where in fails_on
    with ThreadPoolExecutor() as pool, database.stale.connect() as stale:
        with database.next.begin() as connection:
            take_over(connection)
            asked = pool.submit(stale.execute, statement)
            wait([asked], timeout=None if fails else 0.1)
            assert asked.done() is fails
        hit = asked.result().rowcount == 1
        assert hit is fails
        assert not hit or appended(stale, statement)
    assert database.events() == ([1] if fails else [])


def test_an_event_absent_when_read_back_arrives_later_and_is_there_twice(server: PostgresqlServer | MariadbServer) -> None:
    url, cuts, was_read_back = server.make_database(f"j{uuid4().hex[:12]}"), list[Cut](), Event()
    database = Database(url, url)
    with CommitCutter(server.port, lambda: cuts.pop() if cuts else Cut.NOT, late=was_read_back.wait) as proxy:
        cut = engine(url.replace(f":{server.port}/", f":{proxy.port}/"))
        with pytest.raises(OperationalError), cut.begin() as connection:
            assert connection.execute(CHANGING_UPDATE).rowcount == 1
            connection.execute(insert(EVENTS).values(EVENT))
            cuts.append(Cut.LATE)
        assert database.events() == []
        was_read_back.set()
        with cut.begin() as connection:  # "it was not recorded": recorded again, under the guard that is safe
            assert connection.execute(CHANGING_UPDATE).rowcount == 1
            connection.execute(insert(EVENTS).values(EVENT | {"id": 2}))
    assert database.events() == [1, 2]


def test_the_store_appends_an_event_whose_commit_is_late_again_and_has_it_once(server: PostgresqlServer | MariadbServer) -> None:
    url, cuts = server.make_database(f"j{uuid4().hex[:12]}"), list[Cut]()
    open_store(url, upgrade=True).close()
    with CommitCutter(server.port, lambda: cuts.pop() if cuts else Cut.NOT) as proxy:
        store = open_store(url.replace(f":{server.port}/", f":{proxy.port}/"))
        first = begin(store)
        cuts.append(Cut.LATE)
        second = follow(store, first, create_server())
        assert not cuts
        assert list(store.read("c-1")) == [*first, *second]
        store.close()
