"""What must hold of a simulated world once whatever went wrong was cleaned up."""

from collections import Counter
from collections.abc import Iterator, Sequence

from journal.errors import JournalError
from journal.events import ClusterStatus, CreateResource, CreateServer, DeletionRequested, Event, PlanAction, VerdictName
from journal.rules import StreamRules
from journal.steps import reason_of
from projections.fold import fold
from rollback.plan import Plan, plan
from rollback.recovery import recover
from rollback.testing.oracle import step_that_made
from rollback.testing.world import SimulatedProcess, SimulatedRecord, SimulatedWorld


def violations(world: SimulatedWorld) -> list[str]:
    """Return what does not hold in a world in which all was rolled back, in words; nothing if all does."""
    return [*_accounts(world), *_changes(world), *world.oracle.breaches, *world.oracle.lost()]


def rolled_back(process: SimulatedProcess) -> list[str]:
    """Roll every cluster back, and return why that does not come to an end; nothing if it does."""
    found = []
    for head in list(process.world.store.heads()):
        try:
            report = process.handler.compensate(head.stream, wait=True)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the test's failure)
            found.append(f"the rollback of {head.stream} raised {reason_of(error)}")
            continue
        if not report.complete:
            why = "; ".join(report.problems) or "it stays open"
            found.append(f"the rollback of {head.stream} does not come to an end: {why}")
    return found


def made(world: SimulatedWorld) -> Counter[str]:
    """Return how many resources are there, by what their creates are named."""
    names: dict[str, str] = {}
    for head in world.store.heads():
        events = list(world.store.read(head.stream))
        creates = {event.data.step: event.data.name for event in events if isinstance(event.data, CreateServer | CreateResource)}
        for id_ in world.oracle.ours():
            step = step_that_made(events, id_)
            if step in creates:
                names[id_] = creates[step]
    return Counter(f"{found.kind} {names.get(id_, id_)}" for id_, found in world.oracle.ours().items())


def _accounts(world: SimulatedWorld) -> Iterator[str]:
    """Yield what the journal does not account for, or leaves open."""
    accounted: set[str | None] = set()
    for head in world.store.heads():
        events = list(world.store.read(head.stream))
        final = plan(fold(events))
        accounted |= {v.id for v in final.verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
        yield from (f"{head.stream}: {what}" for what in (*_broken_rules(events), *_open(events, final)))
        yield from _told_wrongly(world.records(head.stream), head.stream, final)
    yield from (f"{step.action} {step.subject} of {step.stream} is still unfinished" for step in world.store.unfinished_steps())
    ours = world.oracle.ours()
    for id_, found in ours.items():
        if id_ not in accounted:
            yield f"{found.kind} {id_} ({found.name}) has leaked: it is in the cloud, and the journal does not account for it"
        yield from (f"{found.kind} {id_} is in use by {user}, which is gone" for user in found.attached_to if user not in ours)


def _broken_rules(events: Sequence[Event]) -> Iterator[str]:
    rules = StreamRules()
    try:
        for event in events:
            rules.admit(event)
    except JournalError as error:
        yield str(error)


def _open(events: Sequence[Event], final: Plan) -> Iterator[str]:
    """Yield what is left to do for a cluster."""
    for verdict in final.having(PlanAction.DELETE, PlanAction.FIND):
        yield f"{verdict.id or verdict.name} is still to {verdict.action}"
    if final.operation is not None:
        yield "its operation is still unfinished"
    asked = any(isinstance(event.data, DeletionRequested) for event in events)
    if asked and final.cluster_status is not ClusterStatus.DELETED:
        yield f"it is {final.cluster_status}, although a user has deleted it"


def _told_wrongly(record: SimulatedRecord, cluster: str, final: Plan) -> Iterator[str]:
    told = [status for status, _ in record.told]
    if record.there and told and told[-1] is not final.cluster_status:
        yield f"the record of {cluster} says {told[-1]}, and the journal {final.cluster_status}"
    if record.deleted_after is not None and ClusterStatus.ERROR in told[record.deleted_after :]:
        yield f"the record of {cluster} was told Error after a user had deleted it: that ends quietly"


def _changes(world: SimulatedWorld) -> Iterator[str]:
    """Yield what another rollback changes."""
    again = world.process("again")
    writes, versions = len(world.cloud.writes), _versions(world)
    yield from (f"a second time: {why}" for why in rolled_back(again))
    deleted = (id_ for method, id_ in world.cloud.writes[writes:] if method == "delete")
    yield from (f"a second rollback deleted {id_}" for id_ in deleted)
    for stream, version in _versions(world).items():
        if version != versions[stream]:
            yield f"a second rollback of {stream} appended {version - versions[stream]} events"
    yield from (f"{left.cluster} is not settled: {'; '.join(left.problems)}" for left in recover(again.handler))
    yield from (f"{head.stream} is not settled" for head in world.store.heads() if not head.is_settled)


def _versions(world: SimulatedWorld) -> dict[str, int]:
    return {head.stream: head.version for head in world.store.heads()}
