"""The library `eventsourcing` as a contestant: an aggregate a cluster, an event for each intent and each completion.

A `save` is one transaction. On SQLite the library sets WAL itself; on PostgreSQL its own function inserts, in one round
trip (`POSTGRES_ENABLE_DB_FUNCTIONS`), and there is a connection for each thread.
"""

from collections.abc import Iterator
from itertools import count
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.utils import get_topic

from benchmarks.protocol import Cannot, Run, Turn, counted, once, serve

DEADLINE = "2026-11-28T12:00:00.000000Z"
AT_ONCE = 10
"""Aggregates that are saved together when a store is filled."""
PAGE = 10_000
"""Notifications read at once."""


# ruff: noqa: ARG002 (what a method of an aggregate is given stands in its event)


class Cluster(Aggregate):
    """A cluster: which of its steps are unfinished, and what the others made."""

    def __init__(self, conductor: str) -> None:
        self.conductor = conductor
        self.unfinished: dict[str, str] = {}
        self.servers: dict[str, str] = {}
        self.outcome = ""

    @event("StepBegun")
    def begin(self, step: str, stage: str, action: str, deadline: str, node_group: str, name: str) -> None:
        """Record an intent."""
        self.unfinished[step] = name

    @event("StepCompleted")
    def complete(self, step: str, outcome: str, server_id: str) -> None:
        """Record a completion."""
        self.servers[server_id] = self.unfinished.pop(step)

    @event("Finished")
    def finish(self, outcome: str) -> None:
        """Record the end."""
        self.outcome = outcome

    def intend(self) -> str:
        """Record an intent, and return its step."""
        step = str(uuid4())
        self.begin(step, "infrastructure", "create_server", DEADLINE, "worker", "worker-001")
        return step

    def create(self) -> None:
        """Record an intent and a completion."""
        self.complete(self.intend(), "succeeded", str(uuid4()))


class Provisioning(Application):
    """All clusters."""


def opened(url: str, threads: int = 1, *, makes_tables: bool = False) -> Provisioning:
    """Open the store."""
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    own = {"CREATE_TABLE": "y" if makes_tables else "n"}
    match parts.scheme:
        case "sqlite":
            return Provisioning(
                {**own, "PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": name, "SQLITE_LOCK_TIMEOUT": "30"}
            )
        case "postgresql":
            return Provisioning(
                {
                    **own,
                    "PERSISTENCE_MODULE": "eventsourcing.postgres",
                    "POSTGRES_DBNAME": name,
                    "POSTGRES_HOST": str(parts.hostname),
                    "POSTGRES_PORT": str(parts.port),
                    "POSTGRES_USER": str(parts.username),
                    "POSTGRES_PASSWORD": str(parts.password),
                    "POSTGRES_POOL_SIZE": str(threads),
                    "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
                }
            )
        case _:
            raise Cannot


def steps(url: str, seconds: float, threads: int) -> Run:
    """Save an intent, then a completion, each thread of an aggregate of its own."""
    application = opened(url, threads)

    def make() -> Turn:
        cluster = Cluster("conductor")
        application.save(cluster)

        def step() -> int:
            begun = cluster.intend()
            application.save(cluster)
            cluster.complete(begun, "succeeded", str(uuid4()))
            application.save(cluster)
            return 1

        return step

    return counted(make, seconds, threads=threads, settings=lambda: durability(application, url))


def batch(url: str, seconds: float, events: int) -> Run:
    """Save so many events at once; a cluster has ten such batches, then comes another."""
    application = opened(url)

    def make() -> Turn:
        clusters = (cluster for _ in count() for cluster in [Cluster("conductor")] * 10)

        def append() -> int:
            cluster = next(clusters)
            for _ in range(events // 2):
                cluster.create()
            application.save(cluster)
            return events

        return append

    return counted(make, seconds, warm_up=1, settings=lambda: durability(application, url))


def replay(url: str, seconds: float) -> Run:
    """Get every aggregate from the repository."""
    application = opened(url)

    def make() -> Turn:
        found = ids(application, url)
        return lambda: sum(application.repository.get(id_).version for id_ in found)

    return counted(make, seconds, warm_up=0)


def replay_events(url: str, seconds: float) -> Run:
    """Get the events of every aggregate."""
    application = opened(url)

    def make() -> Turn:
        found = ids(application, url)
        return lambda: sum(len(list(application.events.get(id_))) for id_ in found)

    return counted(make, seconds, warm_up=0)


def recovery(url: str, seconds: float, unfinished: int) -> Run:
    """Open the store, and go through all notifications of intents and completions: there is no index of them."""
    topics = [get_topic(Cluster.StepBegun), get_topic(Cluster.StepCompleted)]  # type: ignore[attr-defined]

    def recover() -> int:
        application, found, start = opened(url), {}, 1
        while page := application.recorder.select_notifications(start, PAGE, topics=topics):
            for notification in page:
                happened = application.mapper.to_domain_event(notification)
                if notification.topic == topics[0]:
                    found[happened.step] = notification.originator_id
                else:
                    del found[happened.step]
            start = page[-1].id + 1
        application.close()
        assert len(found) == unfinished
        return 1

    return counted(lambda: recover, seconds, warm_up=0)


def history(url: str, events: int, each: int) -> Run:
    """Fill the store with clusters of so many events each."""
    return once(lambda: fill(url, (made(each // 2 - 1) for _ in range(events // each))))


def clusters(url: str, size: int, unfinished: int) -> Run:
    """Fill the store with so many clusters, of which the last few have a step in flight."""

    def all_() -> Iterator[Cluster]:
        for number in range(size):
            cluster = made(1)
            if number >= size - unfinished:
                cluster.intend()
            yield cluster

    return once(lambda: fill(url, all_()))


def made(servers: int) -> Cluster:
    """Return a cluster whose servers were created."""
    cluster = Cluster("conductor")
    for _ in range(servers):
        cluster.create()
    cluster.finish("succeeded")
    return cluster


def fill(url: str, made_: Iterator[Cluster]) -> None:
    """Save clusters, some at a time."""
    application, some = opened(url), []
    for cluster in made_:
        some.append(cluster)
        if len(some) == AT_ONCE:
            application.save(*some)
            some = []
    application.save(*some)


def ids(application: Provisioning, url: str) -> list[UUID]:
    """Return the ids of all aggregates: what lists them is no matter of the library's, and not measured."""
    statement = f"SELECT DISTINCT originator_id FROM {application.recorder.events_table_name}"
    with application.factory.datastore.transaction(commit=False) as cursor:
        cursor.execute(statement)
        found = [row["originator_id"] for row in cursor.fetchall()]
    return [UUID(id_) for id_ in found] if url.startswith("sqlite") else found


def durability(application: Provisioning, url: str) -> dict[str, object]:
    """Return what a connection of its own says of its durability."""
    is_file = url.startswith("sqlite")
    found: dict[str, object] = {}
    for name in ("synchronous", "journal_mode") if is_file else ("synchronous_commit",):
        with application.factory.datastore.transaction(commit=False) as cursor:
            cursor.execute(f"{'PRAGMA' if is_file else 'SHOW'} {name}")
            (row,) = cursor.fetchall()
            found[name] = row[name]
    return found


def tables(url: str) -> Run:
    """Make the tables."""
    if not url.startswith(("sqlite", "postgresql")):
        raise Cannot
    return once(lambda: opened(url, makes_tables=True).close())


if __name__ == "__main__":
    serve(
        {
            "tables": tables,
            "history": history,
            "clusters": clusters,
            "steps": steps,
            "batch": batch,
            "replay": replay,
            "replay_events": replay_events,
            "recovery": recovery,
        }
    )
