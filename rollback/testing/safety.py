"""Whether a history is safe: whatever of it had happened when everything stopped, compensation keeps the invariants.

A history is cut after each of its events. At each cut stands a simulated cloud as it may look at that moment, by the
journal alone; the production code compensates there; and a judge who knows nothing but events says what must not be.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, UUID, uuid5

import attrs

from journal.codec import FIRST_HASH
from journal.events import (
    DELETED_STATUSES,
    OF_A_USER,
    Data,
    DeleteResource,
    DeleteServer,
    Event,
    Intent,
    PlanAction,
    ResourceKind,
    StepOutcome,
    deleted_by,
)
from journal.files import read_file
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.wording import counted, told
from projections.fold import Resource, Step, fold
from projections.origin import Origins
from projections.presence import presence
from rollback.compensator import Report, rollback_cluster
from rollback.marks import CLUSTER_KEY, JOURNAL_KEY, Marks
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud, SimulatedOther, SimulatedServer
from rollback.testing.judging import Judge
from rollback.testing.threads import SimulatedThreads

UNSAFE: Final = "1. Nothing unsafe is deleted"
LEAK: Final = "2. Nothing leaks"
NO_END: Final = "3. It ends"
FOREIGN: Final = "6. Nothing foreign is touched"
_ANOTHER: Final = "another-cluster"
_BYSTANDERS: Final = ("bystander-unmarked", "bystander-of-another-cluster", "bystander-copied")


class Unsafe(AssertionError):
    """A history is not safe; the message says where, by which invariant, and what to do next."""


@attrs.frozen
class _Breach:
    invariant: str
    what: str


def assert_safe(history: Path | str | Iterable[Event]) -> None:
    """Check the invariants of the design on every prefix of a history: a file, or events that passed the rules.

    At each prefix nothing, an incomplete and a complete look at the cloud come first; what was in flight has landed or
    has not; and once somebody else has marked the servers as his. Raises Unsafe, an AssertionError; and JournalError for
    a file that the strict reader refuses.
    """
    events = list(read_file(Path(history)) if isinstance(history, Path | str) else history)
    for cluster in dict.fromkeys(event.stream for event in events):
        of_cluster = [event for event in events if event.stream == cluster]
        for version in range(1, len(of_cluster) + 1):
            assert_safe_at(of_cluster, version)


def assert_safe_at(events: Sequence[Event], version: int) -> None:
    """Check the invariants on the first `version` events of one cluster. Raises Unsafe."""
    prefix = events[:version]
    in_flight = any(_is_in_flight(step) for op in fold(prefix).operations.values() for step in op.steps)
    for how, check in (_CHECKS | _IF_LANDED if in_flight else _CHECKS).items():
        breach = next(check(prefix), None)
        if breach is not None:
            raise Unsafe(_message(prefix, how, breach))


def _message(prefix: Sequence[Event], how: str, breach: _Breach) -> str:
    last = prefix[-1]
    intents = {event.data.step: event.data for event in prefix if isinstance(event.data, Intent)}
    said = told(last.data, intents.get(getattr(last.data, "step", None)))  # type: ignore[arg-type]  # no key is None
    return (
        f"cluster {last.stream} is not safe if everything stops at version {last.version} ({said})\n"
        f"  with {how}\n"
        f"  invariant: {breach.invariant}\n"
        f"  {breach.what}\n"
        f"`assert_safe_at(events, {last.version})` checks this version alone, and `provjournal replay` of its first "
        f"{counted(last.version, 'event')} says why it decides so. If the history is what happened, this is a bug of the "
        "library: report it with these events"
    )


def _is_in_flight(step: Step) -> bool:
    """Whether a step may have done something that the journal does not tell."""
    if step.creates is not None:
        return step.named is None and not step.ended_as(StepOutcome.ABSENT)
    return _deletes(step.intent) is not None and step.completion is None


def _deletes(data: Data) -> str | None:
    """Return the id of what a delete deletes."""
    return deleted_by(data) if isinstance(data, DeleteServer | DeleteResource) else None


# ---- the cloud as it may look


class _World:
    """The journal up to a version in a store, and a cloud that looks as it may look then."""

    def __init__(self, prefix: Sequence[Event], *, landed: bool) -> None:
        self.before = fold(prefix)
        self.stream = self.before.stream
        self.landed = landed
        self.maker: dict[str, UUID] = {}
        """By id of what landed: its create."""
        deadlines = (step.intent.deadline for op in self.before.operations.values() for step in op.steps)
        latest = max((*(event.recorded_at for event in prefix), *deadlines))
        self.clock = SimulatedClock(latest + timedelta(hours=2))
        self.journal = Journal(_loaded(prefix, self.clock), conductor="assert_safe", clock=self.clock, threads=SimulatedThreads())
        self.cloud = SimulatedCloud(self.clock, self.before.cloud or "RegionOne/5f0c4d")
        users = (step.user for step in self.before.creates.values() if step.user is not None)
        self.cloud.user_id = next(users, self.cloud.user_id)
        self._add_known()
        self._add_landed()
        self._add_bystanders()

    @property
    def events(self) -> list[Event]:
        return list(self.journal.store.read(self.stream))

    def compensate(self) -> Report:
        return rollback_cluster(self.journal, self.cloud, self.stream, wait=True)

    def _add_known(self) -> None:
        where = Origins(self.before)
        for resource in self.before.resources.values():
            fact = presence(self.before, where, resource)
            in_flight = any(step.completion is None for step in resource.deletes)
            if (fact is None or fact.there) and not (in_flight and self.landed):
                made_by = resource.mark if resource.named_by is None else resource.named_by.id
                self._add(resource.kind, resource.id, made_by, resource)

    def _add_landed(self) -> None:
        where = Origins(self.before)
        for id_, step in self.before.creates.items():
            known = where.original(step) is not None
            if self.landed and not known and not step.ended_as(StepOutcome.ABSENT, StepOutcome.SUCCEEDED):
                kind = step.creates or ResourceKind.SERVER
                landed = f"landed-{step.begun}"
                self.maker[landed] = id_
                self._add(kind, landed, id_, None)

    def _add(self, kind: ResourceKind, id_: str, made_by: UUID | None, resource: Resource | None) -> None:
        step = self.before.creates.get(made_by) if made_by is not None else None
        is_foreign = made_by is None and (resource is None or resource.adopted is None)
        marks = Marks(self.journal.id, self.stream, made_by)
        told_at = None if resource is None else resource.made_at
        made_at = told_at or (self.clock.now() - timedelta(days=1) if step is None else step.recorded_at + timedelta(seconds=1))
        name = "n" if resource is None or resource.name is None else resource.name
        status = _status(resource)
        if kind is ResourceKind.SERVER:
            tags, metadata = ([], {}) if is_foreign else (marks.tags, marks.metadata)
            self.cloud.servers[id_] = SimulatedServer(id_, name, tags, metadata, made_at, status)
            return
        user = step.user if step is not None and kind in OF_A_USER else None
        text, metadata = ("", {}) if is_foreign else (marks.text, marks.metadata)
        self.cloud.others[id_] = SimulatedOther(kind, id_, name, text, metadata, made_at, user=user)

    def attach(self) -> None:
        """Have servers use what they were made or seen with."""
        for id_, other in self.cloud.others.items():
            resource = self.before.resources.get(id_)
            if resource is None:
                continue
            seen = () if resource.last_seen is None else resource.last_seen.attached_to
            made_with = {step.id for step in resource.used_by}
            ours = ((each, server) for each, server in self.cloud.servers.items() if each not in _BYSTANDERS)
            made = [each for each, server in ours if _step_in(server) in made_with]
            users = dict.fromkeys([*seen, *made])
            other.attached_to = [user for user in users if user in self.cloud.servers or user not in self.before.resources]

    def _add_bystanders(self) -> None:
        unmarked, anothers, copied = _BYSTANDERS
        long_ago = self.clock.now() - timedelta(days=30)
        self.cloud.servers[unmarked] = SimulatedServer(unmarked, "n", [], {}, long_ago)
        elses = Marks(self.journal.id, _ANOTHER, uuid5(NAMESPACE_OID, _ANOTHER))
        self.cloud.servers[anothers] = SimulatedServer(anothers, "n", elses.tags, elses.metadata, long_ago)
        step = next((id_ for id_, step in self.before.creates.items() if step.creates is ResourceKind.SERVER), None)
        if step is not None:
            tags = Marks(self.journal.id, self.stream, step).tags
            metadata = Marks(self.journal.id, _ANOTHER, step).metadata
            self.cloud.servers[copied] = SimulatedServer(copied, "n", tags, metadata, long_ago)

    def hide(self) -> None:
        """Have a cell go down: somebody else's server is in it, and what landed, and every second that is known."""
        ours = [server for id_, server in self.cloud.servers.items() if id_ not in _BYSTANDERS]
        for server in (self.cloud.servers[_BYSTANDERS[0]], *ours[::2]):
            server.cell_is_down = True

    def show(self) -> None:
        """Have the cell come back."""
        for server in self.cloud.servers.values():
            server.cell_is_down = False

    def mark_as_anothers(self) -> set[str]:
        """Have somebody mark every server as his, and return which."""
        for server in self.cloud.servers.values():
            server.metadata = {**server.metadata, JOURNAL_KEY: str(self.journal.id), CLUSTER_KEY: _ANOTHER}
        return set(self.cloud.servers)

    def ours(self) -> Iterator[str]:
        """Yield what is there and carries this cluster's marks."""
        mark = str(self.journal.id), self.stream
        for server in self.cloud.servers.values():
            said = server.metadata.get(JOURNAL_KEY), server.metadata.get(CLUSTER_KEY)
            if server.status != "SOFT_DELETED" and said == mark:
                yield server.id
        for other in self.cloud.others.values():
            marks = other.shown().marks
            if marks is not None and (marks.journal, marks.cluster) == mark and other.user in (None, self.cloud.user_id):
                yield other.id


def _loaded(prefix: Sequence[Event], clock: SimulatedClock) -> MemoryStore:
    store = MemoryStore(clock.now, uuid5(NAMESPACE_OID, "assert_safe"))
    previous, epoch = FIRST_HASH, prefix[0].epoch
    for event in prefix:
        store.append([event], previous_hash=previous, expected_epoch=epoch)
        assert event.hash is not None, "events that were read or built are chained"
        previous, epoch = event.hash, event.epoch
    return store


def _status(resource: Resource | None) -> str:
    seen = None if resource is None else resource.last_seen
    return "ACTIVE" if seen is None or seen.status in (*DELETED_STATUSES, "UNKNOWN") else seen.status


def _step_in(server: SimulatedServer) -> UUID | None:
    marks = server.shown().marks
    return None if marks is None else marks.step_id


# ---- what is checked


def _plan_alone(prefix: Sequence[Event]) -> Iterator[_Breach]:
    """Check what the plan of the prefix would delete, without any look at the cloud."""
    judge = Judge(prefix)
    judge.held = False  # a plan says what would be deleted if there were no hold
    made = plan(fold(prefix))
    going = {verdict.id for verdict in made.having(PlanAction.DELETE, PlanAction.NONE)}
    for verdict in made.having(PlanAction.DELETE):
        why = judge.objection(verdict.id or "")
        if why is not None:
            yield _Breach(UNSAFE, f"the plan deletes {verdict.kind} {verdict.name} ({verdict.id}), but {why}")
        staying = [user for user in judge.users_now(verdict.id or "") if user not in going]
        if staying:
            yield _Breach(UNSAFE, f"the plan deletes {verdict.about}, but {staying[0]}, which stays, uses it")


def _incomplete_then_complete(prefix: Sequence[Event], *, landed: bool) -> Iterator[_Breach]:
    """Compensate while a cell is down, and again once it is back."""
    world = _World(prefix, landed=landed)
    world.attach()
    world.hide()
    world.compensate()
    yield from _judged(world)
    world.show()
    yield from _settled(world)


def _complete(prefix: Sequence[Event], *, landed: bool) -> Iterator[_Breach]:
    """Compensate with everything visible."""
    world = _World(prefix, landed=landed)
    world.attach()
    yield from _settled(world)


def _marked_by_another(prefix: Sequence[Event]) -> Iterator[_Breach]:
    """Compensate where the marks of every server contradict the journal: none of them may be touched."""
    world = _World(prefix, landed=False)
    world.attach()
    marked = world.mark_as_anothers()
    world.compensate()
    gone = marked - world.cloud.servers.keys()
    if gone:
        yield _Breach(FOREIGN, f"server {min(gone)} carries the marks of another cluster, and was deleted")


def _settled(world: _World) -> Iterator[_Breach]:
    """Compensate with everything visible, and check that all is accounted for and at rest."""
    report = world.compensate()
    yield from _judged(world)
    events, writes = world.events, len(world.cloud.writes)
    history = fold(events)
    made = plan(history)
    accounted = {verdict.id for verdict in made.verdicts}
    for id_ in world.ours():
        if id_ not in accounted:
            yield _Breach(LEAK, f"{id_} carries this cluster's marks, and neither verdict nor report speaks of it")
    for verdict in made.having(PlanAction.FIND):
        if verdict.kind not in OF_A_USER:
            yield _Breach(LEAK, f"everything could be seen after the deadline, and create {verdict.name} is still in doubt")
    if not report.complete and not report.problems:
        yield _Breach(NO_END, "compensation did not complete, and does not say why")
    if history.hold is None:
        for verdict in made.having(PlanAction.DELETE):
            if not any(verdict.id in problem for problem in report.problems if verdict.id):
                yield _Breach(
                    NO_END, f"{verdict.kind} {verdict.name} ({verdict.id}) is to be deleted, was not, and nobody says why"
                )
    world.compensate()
    if len(world.cloud.writes) != writes or len(world.events) != len(events):
        more = world.events[len(events) :]
        what = told(more[0].data) if more else f"{world.cloud.writes[writes]}"
        yield _Breach(NO_END, f"a second compensation did something that the first did not: {what}")


def _judged(world: _World) -> Iterator[_Breach]:
    """Judge every delete that a compensation began, by the events before it, and what it asked of the cloud."""
    events, before = world.events, world.before
    begun = {_deletes(step.intent) for op in before.operations.values() for step in op.steps if step.completion is None}
    for event in events[before.version :]:
        id_ = _deletes(event.data)
        if id_ is not None:
            begun.add(id_)
            why = Judge(events[: event.version - 1]).objection(id_, world.maker.get(id_))
            if why is not None:
                yield _Breach(UNSAFE, f"{id_} was deleted, but {why}")
    asked = dict.fromkeys(id_ for method, id_ in world.cloud.writes if method == "delete")
    for id_ in asked:
        if id_ in _BYSTANDERS:
            yield _Breach(FOREIGN, f"server {id_} is somebody else's, and was deleted")
        elif id_ not in begun:
            yield _Breach(UNSAFE, f"{id_} was deleted, and no intent of it stands in the journal")
    for id_ in world.cloud.torn:
        yield _Breach(UNSAFE, f"{id_} was deleted while a server that is there used it")


_INCOMPLETE: Final = "an incomplete look at the cloud, and then a complete one"
_WHOLE: Final = "a complete look at the cloud"
_Check = Callable[[Sequence[Event]], Iterator[_Breach]]
_CHECKS: Final[dict[str, _Check]] = {
    "no look at the cloud": _plan_alone,
    _INCOMPLETE: partial(_incomplete_then_complete, landed=False),
    _WHOLE: partial(_complete, landed=False),
    f"{_WHOLE}, where every server was marked as another cluster's": _marked_by_another,
}
_IF_LANDED: Final[dict[str, _Check]] = {
    f"{_INCOMPLETE}, where what was in flight has landed": partial(_incomplete_then_complete, landed=True),
    f"{_WHOLE}, where what was in flight has landed": partial(_complete, landed=True),
}
"""The checks where something was in flight."""
