"""DBOS Transact as a contestant: a workflow a cluster, a step for each server that is created.

DBOS records a step's result when it has ended: one transaction, and nothing that says that it had begun. With an intent,
each is two of its steps, of which the first records what the second is about to do. DBOS leaves a SQLite file in
rollback mode; it is set to WAL here, which is faster, and as durable with `synchronous = FULL`, the driver's default.
"""

import os
import sqlite3
from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from dbos import DBOS, DBOSClient

from benchmarks.protocol import Cannot, Run, Turn, counted, once, serve

TABLES = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")
WORK: dict[int, Callable[[], Any]] = {}
"""What workflows do, by number: what is given to a workflow is stored, and this cannot be."""
NUMBERS = count()


@DBOS.step()
def intend(name: str) -> dict[str, str]:
    """Record what is about to be done."""
    return {"step": str(uuid4()), "stage": "infrastructure", "action": "create_server", "node_group": "worker", "name": name}


@DBOS.step()
def create(name: str) -> dict[str, str]:  # noqa: ARG001 (nothing is created)
    """Create a server."""
    return {"step": str(uuid4()), "outcome": "succeeded", "server_id": str(uuid4())}


@DBOS.workflow()
def provision(number: int) -> Any:
    """Do the work with this number."""
    return WORK[number]()


def within(work: Callable[[], Any]) -> Any:
    """Do work in a workflow."""
    number = next(NUMBERS)
    WORK[number] = work
    return provision(number)


def launch(url: str, *, makes_tables: bool = False) -> None:
    """Start DBOS in this process."""
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": driven(url),
            "run_migrations": makes_tables,
            "application_version": "1",
            "executor_id": str(os.getpid()),
            "log_level": "ERROR",
        }
    )
    DBOS.launch()


def driven(url: str) -> str:
    """Return a URL as SQLAlchemy takes it."""
    if url.startswith("mysql"):
        raise Cannot
    return url.replace("postgresql://", "postgresql+psycopg://")


def steps(url: str, seconds: float, threads: int) -> Run:
    """Run steps, each thread in a workflow of its own."""
    return run_steps(url, seconds, threads, lambda: create("worker-001"))


def steps_with_intent(url: str, seconds: float, threads: int) -> Run:
    """Run two steps for each, the first of which records the intent."""

    def both() -> None:
        intend("worker-001")
        create("worker-001")

    return run_steps(url, seconds, threads, both)


def run_steps(url: str, seconds: float, threads: int, do: Callable[[], object]) -> Run:
    """Run steps in workflows."""
    driven(url)
    launch(url)

    def step() -> int:
        do()
        return 1

    def make() -> Turn:
        return step

    return counted(make, seconds, threads=threads, within=within, settings=durability)


def replay(url: str, seconds: float) -> Run:
    """List every workflow with its steps. Each server that was created counts as two events, as it does everywhere."""

    def make() -> Turn:
        client = DBOSClient(system_database_url=driven(url))

        def read() -> int:
            done = 0
            for workflow in client.list_workflows():
                listed = client.list_workflow_steps(workflow.workflow_id)
                done += 2 * sum(step["function_name"] == create.__qualname__ for step in listed)
            return done

        return read

    return counted(make, seconds, warm_up=0)


def recovery(url: str, seconds: float, unfinished: int) -> Run:
    """Open the store, list the workflows that are under way, and how far each had come."""

    def recover() -> int:
        client = DBOSClient(system_database_url=driven(url))
        found = client.list_workflows(status="PENDING")
        for workflow in found:
            client.list_workflow_steps(workflow.workflow_id)
        client.destroy()
        assert len(found) == unfinished
        return 1

    return counted(lambda: recover, seconds, warm_up=1)


# ---- filling: one workflow is run, and its rows are copied under other ids, since running all would take hours


def history(url: str, events: int, each: int) -> Run:
    """Fill the store with workflows of so many steps each."""
    return once(lambda: fill(url, events // each, each // 2, lambda: create("worker-001")))


def history_with_intent(url: str, events: int, each: int) -> Run:
    """Fill the store with workflows of so many pairs of steps each."""

    def both() -> None:
        intend("worker-001")
        create("worker-001")

    return once(lambda: fill(url, events // each, each // 2, both))


def clusters(url: str, size: int, unfinished: int) -> Run:
    """Fill the store with so many workflows, of which some are under way."""

    def all_() -> None:
        fill(url, size, 1, lambda: create("worker-001"))
        with engine(url).begin() as connection:
            pending = "UPDATE {} SET status = 'PENDING' WHERE workflow_uuid IN (SELECT workflow_uuid FROM {} LIMIT :most)"
            table = named(connection, "workflow_status")
            connection.execute(sa.text(pending.format(table, table)), {"most": unfinished})

    return once(all_)


def fill(url: str, workflows: int, steps_: int, do: Callable[[], object]) -> None:
    """Run one workflow, and copy it."""
    launch(url)
    within(lambda: [do() for _ in range(steps_)] and None)
    DBOS.destroy()
    with engine(url).begin() as connection:
        for table in TABLES:
            columns = [column["name"] for column in sa.inspect(connection).get_columns(table, schema=schema(connection))]
            others = ", ".join(column for column in columns if column != "workflow_uuid")
            copy = (
                f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < :copies) "
                f"INSERT INTO {named(connection, table)} (workflow_uuid, {others}) "
                f"SELECT workflow_uuid || '-' || CAST(i AS TEXT), {others} FROM {named(connection, table)}, n"
            )
            if workflows > 1:
                connection.execute(sa.text(copy), {"copies": workflows})
    if not url.startswith("sqlite"):
        with engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))


def engine(url: str) -> sa.Engine:
    """Return an engine for what is no matter of DBOS's."""
    return sa.create_engine(driven(url))


def schema(connection: sa.Connection) -> str | None:
    """Return the schema that its tables are in."""
    return "dbos" if connection.dialect.name == "postgresql" else None


def named(connection: sa.Connection, table: str) -> str:
    """Return a table's name with its schema."""
    found = schema(connection)
    return table if found is None else f"{found}.{table}"


def durability() -> dict[str, object]:
    """Return what a connection of its own says of its durability."""
    from dbos._dbos import _get_dbos_instance  # noqa: PLC0415 (private: nothing public tells)

    with _get_dbos_instance()._sys_db.engine.connect() as connection:  # noqa: SLF001 (the same)
        is_file = connection.dialect.name == "sqlite"
        names = ("synchronous", "journal_mode") if is_file else ("synchronous_commit",)
        return {name: connection.exec_driver_sql(f"{'PRAGMA' if is_file else 'SHOW'} {name}").scalar() for name in names}


def tables(url: str) -> Run:
    """Make the tables."""

    def make() -> None:
        if url.startswith("sqlite"):
            sqlite3.connect(url.removeprefix("sqlite:///")).execute("PRAGMA journal_mode = WAL")
        launch(url, makes_tables=True)
        DBOS.destroy()

    driven(url)
    return once(make)


if __name__ == "__main__":
    serve(
        {
            "tables": tables,
            "history": history,
            "history_with_intent": history_with_intent,
            "clusters": clusters,
            "steps": steps,
            "steps_with_intent": steps_with_intent,
            "replay": replay,
            "recovery": recovery,
        }
    )
