"""TaskFlow as a contestant: a flow a cluster, a task for each server, and its SQLAlchemy persistence.

The engine stores a task's state when it begins and again, with its result, when it has ended: these are intent and
completion. On SQLite connections are kept (TaskFlow would open one for each statement) and the file is set to WAL; both
make it faster, and `synchronous = FULL`, the driver's default, as durable.
"""

import sqlite3
from contextlib import closing
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from taskflow import engines, states
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models
from taskflow.task import Task

from benchmarks.protocol import Cannot, Run, Turn, counted, once, serve

TASKS = 20
"""Tasks of a flow that is run."""


class Create(Task):  # type: ignore[misc]
    """Create a server."""

    def execute(self) -> dict[str, str]:
        """Return what it made."""
        return {"step": str(uuid4()), "outcome": "succeeded", "server_id": str(uuid4())}


def opened(url: str) -> Any:
    """Open the persistence backend."""
    if url.startswith("mysql"):
        raise Cannot
    if url.startswith("sqlite"):
        options = {"poolclass": sa.QueuePool, "pool_size": 10, "connect_args": {"timeout": 30, "check_same_thread": False}}
        return backends.fetch({"connection": url, "engine_args": options})
    return backends.fetch({"connection": url.replace("postgresql://", "postgresql+psycopg://"), "max_pool_size": 10})


def flow(tasks: int) -> Any:
    """Return a flow that creates so many servers, one after the other."""
    return linear_flow.Flow("create").add(*(Create(f"worker-{number:03}") for number in range(tasks)))


def steps(url: str, seconds: float, threads: int) -> Run:
    """Run flows, each thread its own."""
    backend = opened(url)

    def make() -> Turn:
        def run() -> int:
            engines.load(flow(TASKS), backend=backend, engine="serial").run()
            return TASKS

        return run

    return counted(make, seconds, threads=threads, warm_up=1, settings=lambda: durability(backend))


def replay(url: str, seconds: float) -> Run:
    """Get all logbooks, with their flows and tasks. Each task counts as two events, as it does everywhere."""
    backend = opened(url)

    def read() -> int:
        with closing(backend.get_connection()) as connection:
            return 2 * sum(1 for book in connection.get_logbooks() for detail in book for _ in detail)

    return counted(lambda: read, seconds, warm_up=0)


def recovery(url: str, seconds: float, unfinished: int) -> Run:
    """Open the store, and look for flows that are running, and for their tasks that are."""

    def recover() -> int:
        with closing(opened(url)) as backend, closing(backend.get_connection()) as connection:
            found = [
                (detail.uuid, atom.name)
                for book in connection.get_logbooks(lazy=True)
                for detail in connection.get_flows_for_book(book.uuid, lazy=True)
                if detail.state == states.RUNNING
                for atom in connection.get_atoms_for_flow(detail.uuid)
                if atom.state == states.RUNNING
            ]
        assert len(found) == unfinished
        return 1

    return counted(lambda: recover, seconds, warm_up=1)


# ---- filling: one flow is run, and its rows are copied under other ids, since running all would take hours


def history(url: str, events: int, each: int) -> Run:
    """Fill one logbook with flows of so many events each."""
    return once(lambda: fill(url, events // each, each // 2))


def clusters(url: str, size: int, unfinished: int) -> Run:
    """Fill one logbook with flows, of which some are running."""

    def all_() -> None:
        fill(url, size, 1)
        with opened(url).engine.begin() as connection:
            some = {"state": states.RUNNING, "most": unfinished}
            chosen = "SELECT uuid FROM flowdetails ORDER BY uuid LIMIT :most"
            connection.execute(sa.text(f"UPDATE flowdetails SET state = :state WHERE uuid IN ({chosen})"), some)
            connection.execute(
                sa.text(f"UPDATE atomdetails SET state = :state WHERE parent_uuid IN ({chosen}) AND name = 'worker-000'"), some
            )

    return once(all_)


def fill(url: str, flows: int, tasks: int) -> None:
    """Run one flow, and copy it."""
    backend, book = opened(url), models.LogBook("clusters")
    with closing(backend.get_connection()) as connection:
        connection.save_logbook(book)
    engines.load(flow(tasks), book=book, backend=backend, engine="serial").run()
    if flows > 1:
        with backend.engine.begin() as connection:
            copy(connection, "flowdetails", "parent_uuid", flows)
            copy(connection, "atomdetails", "parent_uuid || '-' || CAST(i AS TEXT)", flows)
    if not url.startswith("sqlite"):
        with backend.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))


def copy(connection: sa.Connection, table: str, parent: str, copies: int) -> None:
    """Copy all rows of a table under other ids."""
    columns = [column["name"] for column in sa.inspect(connection).get_columns(table)]
    others = ", ".join(column for column in columns if column not in ("uuid", "parent_uuid"))
    statement = (
        f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < :copies) "
        f"INSERT INTO {table} (uuid, parent_uuid, {others}) "
        f"SELECT uuid || '-' || CAST(i AS TEXT), {parent}, {others} FROM {table}, n"
    )
    connection.execute(sa.text(statement), {"copies": copies})


def durability(backend: Any) -> dict[str, object]:
    """Return what a connection of its own says of its durability."""
    with backend.engine.connect() as connection:
        is_file = connection.dialect.name == "sqlite"
        names = ("synchronous", "journal_mode") if is_file else ("synchronous_commit",)
        return {name: connection.exec_driver_sql(f"{'PRAGMA' if is_file else 'SHOW'} {name}").scalar() for name in names}


def tables(url: str) -> Run:
    """Make the tables."""
    backend = opened(url)

    def make() -> None:
        if url.startswith("sqlite"):
            sqlite3.connect(url.removeprefix("sqlite:///")).execute("PRAGMA journal_mode = WAL")
        with closing(backend.get_connection()) as connection:
            connection.upgrade()

    return once(make)


if __name__ == "__main__":
    serve(
        {
            "tables": tables,
            "history": history,
            "clusters": clusters,
            "steps": steps,
            "replay": replay,
            "recovery": recovery,
        }
    )
