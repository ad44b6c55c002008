"""Looking at the cloud: one observation that knows what it could not see.

Not found by its tag is not yet absent: a POST may still land, and a filtered listing silently skips cells that are
down. So an observation is complete only if it joins two listings by tag, apart from each other by the time to settle,
one listing of everything on one page, without a server of unknown status, and a look by id for each server that is known,
not gone and was not listed.

What servers bring along is listed only if the cluster has ever had such a thing, without filters, at the same two
moments: its services show all that a project has, and each row's mark is looked at. Of keypairs they show those of the
user who looks, and no others: the observation says who that was.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import attrs

from journal.clock import Clock
from journal.events import OF_A_USER, Event, InventoryObserved, ObservedResource, ObservedServer, ResourceKind
from journal.journal import Journal
from projections.fold import History, Resource, Step, fold
from projections.origin import AFTER_DEADLINE, BEFORE_INTENT, TIMELESS, Origins
from projections.presence import absent_creates, knowledge, lingers, presence
from rollback.closing import latest_doubt
from rollback.cloud import Cloud, Found
from rollback.errors import CloudError, UnsuitableCloud, WrongCloud
from rollback.progress import Progress

UNKNOWN: Final = "UNKNOWN"
"""Nova's status of a server whose cell is down."""
LARGEST_SKEW: Final = timedelta(seconds=30)
"""How far apart the clocks of conductor, database and cloud may be."""


@attrs.frozen
class Observation:
    """What the cloud showed: for the journal, and with the marks of each resource as they were read."""

    event: InventoryObserved
    found: Mapping[str, Found]
    unseen: frozenset[str] = frozenset()
    """The servers that something is in use by, as its service says, and that were asked for in vain."""


def look(journal: Journal, cloud: Cloud, history: History, progress: Progress) -> Observation:
    """Wait until every request in doubt has had its time, then list what one cluster has.

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
    check_clocks(cloud, store_now, own_now, _kinds_to_list(cloud, history))


def check_clocks(
    cloud: Cloud,
    store_now: datetime,
    own_now: datetime,
    kinds: Collection[ResourceKind] = (),
    silent: list[ResourceKind] | None = None,
) -> None:
    """Refuse to list servers and these kinds where the clocks are apart, by which it is told when something was made.

    A kind whose service does not answer is added to `silent`; without that, CloudError is raised. Raises UnsuitableCloud.
    """
    times = {"this machine": own_now, "the journal's database": store_now, f"cloud {cloud.name}": cloud.now()}
    for kind in kinds:
        try:
            times |= {} if kind in TIMELESS else {f"its service for a {kind}": cloud.now(kind)}
        except CloudError:
            if silent is None:
                raise
            silent.append(kind)
    if max(times.values()) - min(times.values()) > LARGEST_SKEW:
        told = ", ".join(f"{who}: {time:%H:%M:%S}" for who, time in times.items())
        msg = f"The clocks are more than {LARGEST_SKEW.seconds} seconds apart ({told}). Set them right, then try again."
        raise UnsuitableCloud(msg)


def observe(
    cloud: Cloud, journal: UUID, history: History, clock: Clock, settle_seconds: float, progress: Progress
) -> Observation:
    """List what one cluster has, as its history stands. Raises CloudError if the cloud cannot be listed."""
    as_of, began_at = history.version, clock.now()
    kinds = _kinds_to_list(cloud, history)
    listed = _listed(cloud, journal, kinds)
    progress(f"listed the cloud; listing again in {settle_seconds:g} s, for requests still on their way")
    clock.sleep(settle_seconds)
    listed |= _marked(cloud, journal)
    unfiltered = [cloud.list_all()]
    if _nothing_is_seen_of_a_create(history, (*listed.values(), *unfiltered[0])):
        unfiltered.append(cloud.list_all())  # of a cell that is down the others show nothing, and one can miss a server
    everything = [server for listing in unfiltered for server in listing]
    listed |= {(server.kind, server.id): server for server in everything} | _others(cloud, kinds)
    found = {each.id: each for each in listed.values() if _belongs(each, journal, history)}
    for resource in _missing(history, found):
        shown = cloud.get(resource.id, resource.kind)
        if shown is not None:
            found[shown.id] = shown
    shown_servers = {each.id for each in (*listed.values(), *found.values()) if each.kind is ResourceKind.SERVER}
    unseen = _unseen_users(cloud, history, found, shown_servers)
    found = {each.id: _without(each, unseen & history.resources.keys()) for each in found.values()}
    hides_cells = any(listing.hides_down_cells for listing in unfiltered)
    complete = not hides_cells and not any(server.status == UNKNOWN for server in (*everything, *found.values()))
    servers, others = rows_of(found.values())
    elsewhen = _of_another_time(history, found.values())
    for other in elsewhen:
        progress(f"{other.kind} {other.id} has the mark of a create in doubt, but is of another time: a copy, or a clock is off")
    whole = tuple(kind for kind in kinds if kind not in {other.kind for other in elsewhen})
    user = cloud.user_id if OF_A_USER.intersection(kinds) else None
    return Observation(InventoryObserved(servers, complete, as_of, began_at, cloud.name, others, whole, user), found, unseen)


def _nothing_is_seen_of_a_create(history: History, shown: Iterable[Found]) -> bool:
    """Whether a server is in doubt that no listing has shown."""
    where = Origins(history)
    known = {*absent_creates(history, where), *map(_step_of, shown)}
    creates = (step for op in history.in_unfinished for step in op.steps if step.creates is ResourceKind.SERVER)
    return any(step.id not in known and where.original(step) is None for step in creates)


def _kinds_to_list(cloud: Cloud, history: History) -> tuple[ResourceKind, ...]:
    """Return the kinds, beside servers, that the cluster ever had or tried to have, as far as the cloud has them."""
    had = {resource.kind for resource in history.resources.values()} | {step.creates for step in history.creates.values()}
    return tuple(kind for kind in ResourceKind if kind in had and kind in cloud.kinds)


_Listed = dict[tuple[ResourceKind, str], Found]
"""What is listed by kind and id: a keypair's id is its name, which can be the id of anything."""


def _listed(cloud: Cloud, journal: UUID, kinds: tuple[ResourceKind, ...]) -> _Listed:
    return _marked(cloud, journal) | _others(cloud, kinds)


def _marked(cloud: Cloud, journal: UUID) -> _Listed:
    return {(server.kind, server.id): server for server in cloud.list_journal(journal)}


def _others(cloud: Cloud, kinds: tuple[ResourceKind, ...]) -> _Listed:
    return {(each.kind, each.id): each for kind in kinds for each in cloud.list_kind(kind)}


def _of_another_time(history: History, found: Iterable[Found]) -> list[Found]:
    """Return what, beside servers, has the mark of a create in doubt but is of another time, where nothing is of its time.

    It is somebody's copy, or its service's clock was off when it was made: so its kind proves nothing absent. Who can
    tell says that the create is `gone`.
    """
    where = Origins(history)
    absent = absent_creates(history, where)
    creates = (step for op in history.in_unfinished for step in op.steps if step.creates not in (None, ResourceKind.SERVER))
    doubted = {step.id: step for step in creates if step.id not in absent and where.original(step) is None}
    marked = [(doubted[step], each) for each in found if (step := _step_of(each)) in doubted]
    marked = [(step, each) for step, each in marked if each.kind is step.creates]
    in_time = {step.id for step, each in marked if _is_in_time(step, each)}
    return [each for step, each in marked if step.id not in in_time]


def _step_of(found: Found) -> UUID | None:
    return None if found.marks is None else found.marks.step_id


def _is_in_time(create: Step, found: Found) -> bool:
    if found.created_at is None:
        return found.kind in TIMELESS
    return create.recorded_at - BEFORE_INTENT <= found.created_at <= create.intent.deadline + AFTER_DEADLINE


def is_news(events: tuple[Event, ...], observed: Event) -> bool:
    """Whether an observation teaches anything that the journal does not know."""
    before, after = fold(events), fold((*events, observed))
    return knowledge(before, Origins(before)) != knowledge(after, Origins(after))


def _belongs(found: Found, journal: UUID, history: History) -> bool:
    """Whether something carries this cluster's marks, or an id that its stream knows.

    Filters can be dropped: each row is looked at.
    """
    if found.id in history.resources:
        return history.resources[found.id].kind is found.kind
    if found.marks is None:
        return False
    if found.marks.step_id in history.creates:
        return True  # users remove marks, but nobody else's create has this id
    return found.marks.says_journal(journal) and found.marks.cluster == history.stream


def _missing(history: History, found: Mapping[str, Found]) -> list[Resource]:
    """Return what the history knows, does not know to be gone, and did not find."""
    where = Origins(history)
    unseen = (resource for resource in history.resources.values() if resource.id not in found)
    facts = [(resource, presence(history, where, resource)) for resource in unseen]
    return [resource for resource, fact in facts if fact is None or fact.there]


def _unseen_users(cloud: Cloud, history: History, found: Mapping[str, Found], servers: Collection[str]) -> frozenset[str]:
    """Ask for the users that are not among the servers that were shown; return those that are not shown then, either.

    A service that was away when a server was deleted says for ever that the server uses something. Of a server of this
    cluster that lingered, softly deleted, not to be shown any more proves that it is gone. Of any other it proves nothing,
    for another project's is not shown: it is asked for only where an operator spoke of what it uses.
    """
    asked = {(id_, each.id) for each in found.values() for id_ in each.attached_to if id_ not in servers}
    matter = {id_ for id_, used in asked if _may_be_reclaimed(history, id_) or _was_spoken_of(history, id_, used)}
    return frozenset(id_ for id_ in sorted(matter) if cloud.get(id_) is None)


def _may_be_reclaimed(history: History, server_id: str) -> bool:
    return server_id in history.resources and lingers(history.resources[server_id])


def _was_spoken_of(history: History, server_id: str, used: str) -> bool:
    return server_id not in history.resources and used in history.resources and bool(history.resources[used].words)


def _without(found: Found, gone: frozenset[str]) -> Found:
    """Return what was found, without users that are gone for good."""
    if gone.isdisjoint(found.attached_to):
        return found
    return attrs.evolve(found, attached_to=tuple(id_ for id_ in found.attached_to if id_ not in gone))


def rows_of(found: Iterable[Found]) -> tuple[tuple[ObservedServer, ...], tuple[ObservedResource, ...]]:
    """Return what was found as an observation records it: servers, and what else there is."""
    servers, others = [], []
    for each in sorted(found, key=lambda each: each.id):
        step = _step_of(each)
        if each.kind is ResourceKind.SERVER:
            servers.append(ObservedServer(each.id, each.name, each.status, each.created_at, step))
        else:
            shown = (each.name, each.status, each.created_at, step, tuple(sorted(each.attached_to)))
            others.append(ObservedResource(each.kind, each.id, *shown))
    return tuple(servers), tuple(others)
