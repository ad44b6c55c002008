"""Resuming: a new process carries an interrupted operation forward, and nothing that was done is done again."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest

from journal.errors import OwnerAlive, UnknownStream
from journal.events import ClusterStatus, Completion, CreateServer, OperationKind, OperationOutcome, StepOutcome
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.recorder import Operation
from journal.steps import Step
from projections.fold import History, fold
from rollback import Handler, NoRecord, rollback_cluster
from rollback.errors import NotResumable
from rollback.resume import resume
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.crashing import CLOUD_CALLS, POLLS, STORE_CALLS, Crashing, CrashPoints, Killed
from rollback.testing.threads import SimulatedThreads

GROUPS = {"master": ["m0"], "worker": ["w0", "w1"]}


@attrs.define
class World:
    """A conductor whose work can be carried on by any other; `moved`, `worked` and `made` count what was done for real."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: MemoryStore = attrs.field(init=False)
    done: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)

    def handler(self, name: str, points: CrashPoints | None = None) -> Handler:
        store: Any = self.store if points is None else Crashing(self.store, points, STORE_CALLS)
        cloud: Any = self.cloud if points is None else Crashing(self.cloud, points, CLOUD_CALLS | POLLS)
        return Handler(Journal(store, conductor=name, clock=self.clock, threads=SimulatedThreads()), cloud, NoRecord)

    def carry_out(self, handler: Handler, op: Operation) -> None:
        """Do what was asked for: the same code for an operation that begins and for one that is resumed."""
        cloud: Any = handler.cloud
        victims = op.started.victims
        if victims:
            op.decommission(victims, key="decommission").run(lambda _: self.done.append("decommissioned"))
            op.run_all([op.delete_server(id_, key=id_) for id_ in victims], lambda step: self.delete(op, cloud, step))
        for group, names in op.started.request["groups"].items():
            made = op.run_all(
                [op.create_server(group, name, key=name) for name in names],
                lambda step: step.created(cloud.create_server(step)),
            )
            for step in made:
                op.wait_until(lambda step=step: cloud.is_active(step.server_id), step.name, timeout_seconds=5)  # type: ignore[misc]
            ids = [str(step.server_id) for step in made]
            op.start(ids, key=f"start {group}").run(lambda _, group=group: self.done.append(f"started {group}"))

    def delete(self, op: Operation, cloud: Any, step: Step) -> None:
        (server_id,) = step.server_ids
        cloud.delete_server(server_id)
        op.wait_until(lambda: cloud.is_gone(server_id), "it is gone", timeout_seconds=5)

    def create(self, handler: Handler) -> None:
        with handler.operation("c-1", OperationKind.CREATE, request={"groups": GROUPS}) as op:
            self.carry_out(handler, op)

    def scale(self, handler: Handler) -> None:
        (victim, *_) = self.cloud.servers
        with handler.operation("c-1", OperationKind.SCALE, victims=[victim], request={"groups": {"worker": ["w9"]}}) as op:
            self.carry_out(handler, op)

    def resume(self, name: str = "b", points: CrashPoints | None = None) -> None:
        handler = self.handler(name, points)
        with handler.resume("c-1") as op:
            self.carry_out(handler, op)

    @property
    def history(self) -> History:
        return fold(self.store.read("c-1"))

    @property
    def names(self) -> list[str]:
        return sorted(server.name for server in self.cloud.servers.values())


@pytest.fixture
def world() -> World:
    return World()


def points_of(kind: str) -> int:
    world, points = World(), CrashPoints()
    if kind == "scale":
        world.create(world.handler("first"))
    getattr(world, kind)(world.handler("a", points))
    return len(points.seen)


def died(kind: str, at: int) -> World:
    """Return a world in which a conductor died at one call of a port."""
    world = World()
    if kind == "scale":
        world.create(world.handler("first"))
        world.done.clear()
    with pytest.raises(Killed):
        getattr(world, kind)(world.handler("a", CrashPoints(at)))
    world.clock.sleep(300)
    return world


def expect_done(world: World, kind: str) -> None:
    """Everything is as if nobody had died: each server was made once, and the cluster is Active."""
    expected = ["m0", "w0", "w1"] if kind == "create" else ["w0", "w1", "w9"]
    assert world.names == expected
    history = world.history
    assert history.unfinished is None
    last = history.last_end
    assert last is not None
    assert (last.outcome, last.cluster_status) == (OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE)
    assert len(set(world.done)) == 2
    created = [step for step in history.creates.values() if step.operation is last]
    assert len([step for step in created if step.ended_as(StepOutcome.SUCCEEDED)]) == (3 if kind == "create" else 1)
    assert rollback_cluster(world.handler("c").journal, world.cloud, "c-1", wait=True).complete
    assert world.names == expected, "nothing is left over for a rollback"


@pytest.mark.parametrize("kind", ["create", "scale"])
def test_wherever_the_conductor_dies_another_carries_its_operation_forward(kind: str) -> None:
    resumed = 0
    for at in range(points_of(kind)):
        world = died(kind, at)
        if world.store.head("c-1") is None or world.history.unfinished is None:
            continue
        world.resume()
        expect_done(world, kind)
        resumed += 1
    assert resumed > 15


@pytest.mark.parametrize("kind", ["create", "scale"])
def test_a_resumer_that_dies_is_resumed_by_the_next(kind: str) -> None:
    pairs = 0
    for at in range(0, points_of(kind), 3):
        for second in second_points(kind, at):
            world = died(kind, at)
            with pytest.raises(Killed):
                world.resume("b", CrashPoints(second))
            world.clock.sleep(300)
            if world.history.unfinished is not None:
                world.resume("c")
            expect_done(world, kind)
            pairs += 1
    assert pairs > 100


def second_points(kind: str, at: int) -> Iterator[int]:
    world, points = died(kind, at), CrashPoints()
    if world.store.head("c-1") is not None and world.history.unfinished is not None:
        world.resume("b", points)
        yield from range(len(points.seen))


def in_flight(world: World, *, lands: bool) -> Operation:
    """Have a conductor die while the create of m0 is in flight."""
    op = world.handler("a").journal.begin("c-1", OperationKind.CREATE, world.cloud.name, request={"groups": GROUPS})
    step = op.create_server("master", "m0", key="m0").__enter__()
    if lands:
        world.clock.later(50, lambda: world.cloud.land(step))
    world.clock.sleep(121)
    return op


def test_a_create_in_flight_that_landed_is_found_and_counts_as_succeeded(world: World) -> None:
    in_flight(world, lands=True)
    world.resume()
    expect_done(world, "create")
    (found,) = [s for s in world.history.creates.values() if isinstance(s.intent, CreateServer) and s.intent.name == "m0"]
    assert found.completion == Completion(found.id, StepOutcome.SUCCEEDED, "vm-1")


def test_a_create_in_flight_that_never_landed_is_made_anew(world: World) -> None:
    in_flight(world, lands=False)
    world.resume()
    expect_done(world, "create")


def test_a_create_that_landed_and_was_deleted_since_is_made_anew(world: World) -> None:
    in_flight(world, lands=True)
    with suppress(NotResumable):
        world.cloud.servers["vm-1"].cell_is_down = True
        world.resume()
    world.cloud.servers.clear()
    world.resume()
    expect_done(world, "create")


def test_a_create_in_doubt_is_not_resumed_while_the_cloud_cannot_be_seen_whole(world: World) -> None:
    in_flight(world, lands=False)
    world.cloud.land(Step(world.store.journal_id, "other", world.store.journal_id, world.clock.now(), "other"))
    world.cloud.servers["vm-1"].cell_is_down = True
    version = world.history.version
    with pytest.raises(NotResumable, match="the create of 'm0' is in doubt: the cloud could not be seen whole"):
        world.resume()
    assert world.history.version == version
    assert world.store.head("c-1").owner == "a", "it was not taken over"  # type: ignore[union-attr]


def test_what_is_being_run_is_not_resumed(world: World) -> None:
    world.handler("a").journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    with pytest.raises(OwnerAlive):
        world.resume()


def test_an_unknown_cluster_is_not_resumed(world: World) -> None:
    with pytest.raises(UnknownStream):
        world.resume()


def compensated_halfway(world: World) -> None:
    world.cloud.delete_seconds = 10_000
    rollback_cluster(world.handler("b").journal, world.cloud, "c-1", wait=True)


OBSTACLES = {
    "no operation of it is unfinished": lambda world: rollback_cluster(world.handler("b").journal, world.cloud, "c-1", wait=True),
    "its deletion was asked for": lambda world: world.handler("b").journal.request_deletion("c-1", by="user"),
    "a hold stands, placed by ops: wait": lambda world: world.handler("b").journal.hold("c-1", by="ops", reason="wait"),
    "its compensation has begun": compensated_halfway,
}


@pytest.mark.parametrize("reason", OBSTACLES)
def test_what_cannot_be_resumed_says_why_and_changes_nothing(world: World, reason: str) -> None:
    in_flight(world, lands=True)
    OBSTACLES[reason](world)
    version = world.history.version
    with pytest.raises(NotResumable, match=f"'c-1' cannot be resumed: {reason}"):
        world.resume()
    assert world.history.version == version


def test_a_resumed_operation_that_fails_is_compensated_like_any_other(world: World) -> None:
    in_flight(world, lands=True)
    with world.handler("b").resume("c-1"):
        raise RuntimeError("the plugin failed")
    assert world.names == []
    assert world.history.last_end is not None
    assert world.history.last_end.outcome is OperationOutcome.ROLLED_BACK


def test_two_that_resume_at_once_are_not_both_at_work_even_under_one_name(world: World) -> None:
    op = world.handler("a").journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    world.cloud.land(op.create_server("worker", "w0", key="w0").__enter__())
    world.clock.sleep(300)
    winner: list[Operation] = []
    list_all = world.cloud.list_all

    def resume_meanwhile() -> Any:
        world.cloud.list_all = list_all  # type: ignore[method-assign]
        winner.append(resume(world.handler("b").journal, world.cloud, "c-1"))
        return list_all()

    world.cloud.list_all = resume_meanwhile  # type: ignore[method-assign]
    with pytest.raises(OwnerAlive), world.handler("b").resume("c-1"):
        pytest.fail("two are at work")
    winner[0].stream.refuse_fenced()


def test_a_second_server_of_a_resumed_create_is_swept_once_the_operation_succeeded(world: World) -> None:
    op = world.handler("a").journal.begin("c-1", OperationKind.CREATE, world.cloud.name, request={"groups": {"worker": ["w0"]}})
    step = op.create_server("worker", "w0", key="w0").__enter__()
    world.cloud.land(step)
    world.clock.sleep(2)
    world.cloud.land(step)
    world.clock.sleep(300)
    world.resume()
    assert set(world.cloud.servers) == {"vm-1"}
    assert world.history.last_end is not None
    assert world.history.last_end.cluster_status is ClusterStatus.ACTIVE
