"""Looking at the cloud: one observation that knows what it could not see.

Not found by its tag is not yet absent: a POST may still land, and a filtered listing silently skips cells that are
down. So an observation is complete only if it joins two listings by tag, apart from each other by the time to settle,
one listing of everything on one page, without a server of unknown status, and a look by id for each server that is known,
not gone and was not listed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import attrs

from journal.clock import Clock
from journal.events import Event, InventoryObserved, ObservedServer
from journal.journal import Journal
from projections.fold import History, fold
from projections.origin import origins
from projections.presence import knowledge, presence
from rollback.closing import latest_doubt
from rollback.cloud import Cloud, FoundServer
from rollback.errors import UnsuitableCloud, WrongCloud
from rollback.progress import Progress

UNKNOWN: Final = "UNKNOWN"
"""Nova's status of a server whose cell is down."""
LARGEST_SKEW: Final = timedelta(seconds=30)
"""How far apart the clocks of conductor, database and cloud may be."""


@attrs.frozen
class Observation:
    """What the cloud showed: for the journal, and with the marks of each server as they were read."""

    event: InventoryObserved
    found: Mapping[str, FoundServer]


def look(journal: Journal, cloud: Cloud, history: History, progress: Progress) -> Observation:
    """Wait until every request in doubt has had its time, then list the servers of one cluster.

    Raises WrongCloud, UnsuitableCloud, or CloudError if the cloud cannot be listed.
    """
    head = journal.store.head(history.stream)
    assert head is not None, "the stream has events"
    check_cloud(cloud, history, head.read_at, journal.clock.now())
    _await_deadlines(journal.clock, history, progress)
    return observe(cloud, journal.id, history, journal.clock, journal.settings.settle_seconds, progress)


def _await_deadlines(clock: Clock, history: History, progress: Progress) -> None:
    deadline = latest_doubt(history)
    while deadline is not None and (left := (deadline - clock.now()).total_seconds()) >= 0:
        progress(f"a create may still be on its way: waiting until {deadline:%H:%M:%S} UTC")
        clock.sleep(left + 0.001)


def check_cloud(cloud: Cloud, history: History, store_now: datetime, own_now: datetime) -> None:
    """Refuse a cloud that is not the stream's, or whose clock is off. Raises WrongCloud or UnsuitableCloud."""
    if history.cloud is not None and cloud.name != history.cloud:
        msg = (
            f"Cluster {history.stream!r} lives in {history.cloud}, but this is {cloud.name}: a listing of it would prove "
            "every server absent. Choose the right cloud with --cloud or OS_CLOUD."
        )
        raise WrongCloud(msg)
    check_clocks(cloud, store_now, own_now)


def check_clocks(cloud: Cloud, store_now: datetime, own_now: datetime) -> None:
    """Refuse to list where the clocks are apart. Raises UnsuitableCloud."""
    times = {"this machine": own_now, "the journal's database": store_now, f"cloud {cloud.name}": cloud.now()}
    if max(times.values()) - min(times.values()) > LARGEST_SKEW:
        told = ", ".join(f"{who}: {time:%H:%M:%S}" for who, time in times.items())
        msg = f"The clocks are more than {LARGEST_SKEW.seconds} seconds apart ({told}). Set them right, then try again."
        raise UnsuitableCloud(msg)


def observe(
    cloud: Cloud, journal: UUID, history: History, clock: Clock, settle_seconds: float, progress: Progress
) -> Observation:
    """List the servers of one cluster, as its history stands. Raises CloudError if the cloud cannot be listed."""
    as_of, began_at = history.version, clock.now()
    listed = {server.id: server for server in cloud.list_journal(journal)}
    progress(f"listed the cloud; listing again in {settle_seconds:g} s, for requests still on their way")
    clock.sleep(settle_seconds)
    listed |= {server.id: server for server in cloud.list_journal(journal)}
    everything = cloud.list_all()
    listed |= {server.id: server for server in everything}
    found = {id_: server for id_, server in listed.items() if _belongs(server, journal, history)}
    for server_id in _missing(history, found):
        server = cloud.get(server_id)
        if server is not None:
            found[server_id] = server
    complete = not everything.hides_down_cells and not any(s.status == UNKNOWN for s in (*everything, *found.values()))
    rows = tuple(row_of(found[server_id]) for server_id in sorted(found))
    return Observation(InventoryObserved(rows, complete, as_of, began_at, cloud.name), found)


def is_news(events: tuple[Event, ...], observed: Event) -> bool:
    """Whether an observation teaches anything that the journal does not know."""
    before, after = fold(events), fold((*events, observed))
    return knowledge(before, origins(before)) != knowledge(after, origins(after))


def _belongs(server: FoundServer, journal: UUID, history: History) -> bool:
    """Whether a server carries this cluster's marks, or an id that its stream knows.

    Filters can be dropped: each row is looked at.
    """
    if server.id in history.servers:
        return True
    if server.marks is None:
        return False
    if server.marks.step_id in history.creates:
        return True  # users remove marks, but nobody else's create has this id
    return server.marks.says_journal(journal) and server.marks.cluster == history.stream


def _missing(history: History, found: Mapping[str, FoundServer]) -> list[str]:
    where = origins(history)
    facts = {server.id: presence(history, where, server) for server in history.servers.values() if server.id not in found}
    return [server_id for server_id, fact in facts.items() if fact is None or fact.there]


def row_of(server: FoundServer) -> ObservedServer:
    """Return a server as an observation records it."""
    step = None if server.marks is None else server.marks.step_id
    return ObservedServer(server.id, server.name, server.status, server.created_at, step)
