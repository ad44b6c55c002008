"""The conductor dies at every call of a port, then the compensator dies at every call of its own: the invariants hold."""

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from journal.events import OF_A_USER, ClusterStatus, OperationKind, PlanAction, ResourceKind, VerdictName
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.recorder import Operation
from journal.rules import StreamRules
from projections.fold import fold
from rollback.compensator import rollback_cluster
from rollback.handler import Handler
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.crashing import CLOUD_CALLS, POLLS, STORE_CALLS, Crashing, CrashPoints, Killed
from rollback.testing.threads import SimulatedThreads


@attrs.define
class World:
    """A clock, a cloud, a journal, and an oracle that knows which server holds data and which deletion was the user's."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: MemoryStore = attrs.field(init=False)
    ids: dict[str, str] = attrs.field(factory=dict)
    """What its conductors know by name."""
    holds_data: set[str] = attrs.field(factory=set)
    may_be_lost: bool = False
    statuses: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)

    def conductor(self, name: str, points: CrashPoints | None = None) -> tuple[Journal, Any]:
        """Return a journal and a cloud as one process has them."""
        if points is None:
            return Journal(self.store, conductor=name, clock=self.clock, threads=SimulatedThreads()), self.cloud
        store: Any = Crashing(self.store, points, STORE_CALLS)
        journal = Journal(store, conductor=name, clock=self.clock, threads=SimulatedThreads(self.clock))
        return journal, Crashing(self.cloud, points, CLOUD_CALLS | POLLS)

    def handler(self, journal: Journal, cloud: Any) -> Handler:
        return Handler(journal, cloud, lambda _: self)

    # the conductor's own record of the cluster

    def exists(self) -> bool:
        return True

    def set_status(self, status: ClusterStatus, reason: str) -> None:
        self.statuses.append(f"{status} {reason}".strip())


def create(world: World, journal: Journal, cloud: Any, *, fail: str = "") -> None:
    with world.handler(journal, cloud).operation("c-1", OperationKind.CREATE) as op:
        ids = add_servers(op, cloud, "w0", "w1")
        put_to_work(world, op, ids, fail)


def add_servers(op: Operation, cloud: Any, *names: str) -> list[str]:
    steps = op.run_all(
        [op.create_server("worker", name, key=name) for name in names],
        lambda step: step.created(cloud.create_server(step)),
        at_once=2,
    )
    for step in steps:
        op.wait_until(lambda step=step: cloud.is_active(step.server_id), f"{step.name} is active", timeout_seconds=1)
    return [str(step.server_id) for step in steps]


def put_to_work(world: World, op: Any, ids: list[str], fail: str) -> None:
    with op.configure(ids):
        fail_in("configure", fail)
    with op.start(ids):
        world.holds_data.update(ids)
        fail_in("start", fail)


def fail_in(stage: str, fail: str) -> None:
    if stage == fail:
        msg = f"the plugin failed in {stage}"
        raise RuntimeError(msg)


def scale(world: World, journal: Journal, cloud: Any, *, fail: str = "") -> None:
    victim = "vm-1"
    with world.handler(journal, cloud).operation("c-1", OperationKind.SCALE, victims=[victim]) as op:
        with op.decommission([victim]):
            fail_in("decommission", fail)
            world.holds_data.discard(victim)
        with op.delete_server(victim):
            fail_in("delete", fail)
            cloud.delete_server(victim)
            op.wait_until(lambda: cloud.is_gone(victim), f"{victim} is gone", timeout_seconds=1)
        put_to_work(world, op, add_servers(op, cloud, "w8", "w9"), fail)


def deletion(world: World, journal: Journal, cloud: Any) -> None:
    world.may_be_lost = True
    world.handler(journal, cloud).delete("c-1", by="user")


SHARED = (ResourceKind.SECURITY_GROUP, ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR)
OWN = (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.FLOATING_IP)


def bring(world: World, op: Operation, cloud: Any, kinds: tuple[ResourceKind, ...], name: str) -> list[str]:
    """Create one of each kind."""
    names = {kind: f"{name}-{kind}" for kind in kinds}
    users = dict.fromkeys(OF_A_USER, cloud.user_id)
    steps = [op.create_resource(kind, names[kind], user=users.get(kind), key=names[kind]) for kind in kinds]
    made = op.run_all(steps, lambda step: step.created(cloud.create_resource(step)), at_once=2)
    world.ids |= {step.name: str(step.resource_id) for step in made}
    return [str(step.resource_id) for step in made]


def add_whole_server(world: World, op: Operation, cloud: Any, name: str, shared: list[str]) -> str:
    """Create a server with what it brings along."""
    ids = [*bring(world, op, cloud, OWN, name), *shared]
    step = op.create_server("worker", name, ids, key=name).run(lambda step: step.created(cloud.create_server(step, uses=ids)))
    world.ids[name] = str(step.server_id)
    return world.ids[name]


def put_whole_to_work(world: World, op: Any, name: str, fail: str) -> None:
    with op.configure([world.ids[name]]):
        fail_in("configure", fail)
        world.holds_data.update((world.ids[name], world.ids[f"{name}-volume"]))


def create_whole(world: World, journal: Journal, cloud: Any, *, fail: str = "") -> None:
    with world.handler(journal, cloud).operation("c-1", OperationKind.CREATE) as op:
        shared = bring(world, op, cloud, SHARED, "shared")
        add_whole_server(world, op, cloud, "w0", shared)
        put_whole_to_work(world, op, "w0", fail)


def scale_whole(world: World, journal: Journal, cloud: Any, *, fail: str = "") -> None:
    """Remove the server with what it brought along, and add another; the groups stay."""
    own = [(kind, world.ids[f"w0-{kind}"]) for kind in (ResourceKind.FLOATING_IP, ResourceKind.PORT, ResourceKind.VOLUME)]
    shared = [world.ids[f"shared-{kind}"] for kind in SHARED]
    victims = [world.ids["w0"], *(id_ for _, id_ in own)]
    with world.handler(journal, cloud).operation("c-1", OperationKind.SCALE, victims=victims) as op:
        with op.decommission(victims[:1]):
            fail_in("decommission", fail)
            world.holds_data.difference_update(victims)
        with op.delete_server(victims[0]):
            cloud.delete_server(victims[0])
        for kind, id_ in own:
            with op.delete_resource(kind, id_):
                fail_in("delete", fail)
                cloud.delete_resource(kind, id_)
        add_whole_server(world, op, cloud, "w1", shared)
        put_whole_to_work(world, op, "w1", fail)


def failing(run: Callable[..., None], stage: str) -> Callable[[World, Journal, Any], None]:
    return lambda world, journal, cloud: run(world, journal, cloud, fail=stage)


def scale_with_deletion(world: World, journal: Journal, cloud: Any) -> None:
    """A user asks for the deletion while the cluster is being scaled."""
    with world.handler(journal, cloud).operation("c-1", OperationKind.SCALE, victims=["vm-1"]) as op:
        with op.decommission(["vm-1"]):
            world.may_be_lost = True
            world.conductor("api")[0].request_deletion("c-1", by="user")
        add_servers(op, cloud, "w9")


Scene = Callable[[World, Journal, Any], None]
CREATES: dict[str, Scene] = {"create": create, **{f"create, {s} fails": failing(create, s) for s in ("configure", "start")}}
SCALES: dict[str, Scene] = {
    "scale": scale,
    **{f"scale, {s} fails": failing(scale, s) for s in ("decommission", "delete", "configure", "start")},
    "scale, deleted meanwhile": scale_with_deletion,
    "delete": deletion,
}
WHOLE_CREATES: dict[str, Scene] = {
    "create all": create_whole,
    "create all, configure fails": failing(create_whole, "configure"),
}
WHOLE_SCALES: dict[str, Scene] = {
    "scale all": scale_whole,
    **{f"scale all, {s} fails": failing(scale_whole, s) for s in ("decommission", "delete", "configure")},
    "delete all": deletion,
}
SCENES = {**CREATES, **SCALES, **WHOLE_CREATES, **WHOLE_SCALES}


def prepared(scene: str) -> World:
    """Return a world in which the scene can begin."""
    world = World()
    if scene in SCALES or scene in WHOLE_SCALES:
        (create if scene in SCALES else create_whole)(world, *world.conductor("first"))
        world.clock.sleep(200)
    else:
        world.may_be_lost = True  # the data of a cluster whose creation failed never was the user's
    return world


def points_of(scene: str) -> list[str]:
    """Return the crash points of an undisturbed run."""
    world, points = prepared(scene), CrashPoints()
    SCENES[scene](world, *world.conductor("a", points))
    return points.seen


def crash(world: World, scene: str, at: int) -> None:
    with pytest.raises(Killed):
        SCENES[scene](world, *world.conductor("a", CrashPoints(at)))
    world.clock.sleep(300)


def compensate(world: World, points: CrashPoints | None = None) -> Any:
    journal, cloud = world.conductor("b", points)
    return rollback_cluster(journal, cloud, "c-1", wait=True)


def check(world: World, deletes_before: int) -> None:
    """The invariants, as an oracle sees them that knows the world."""
    if world.store.head("c-1") is None:
        assert not world.cloud.servers, "nothing is made before it stands in the journal"
        assert not world.cloud.others
        return
    report = compensate(world)
    assert report.complete, report.problems
    for method, server_id in world.cloud.writes[deletes_before:]:
        lost = method == "delete" and server_id in world.holds_data
        assert not lost or world.may_be_lost, f"{server_id} held data and was deleted"
    events = list(world.store.read("c-1"))
    rules = StreamRules()
    for event in events:
        rules.admit(event)
    final = plan(fold(events))
    accounted = {v.id for v in final.verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
    assert set(world.cloud.servers) <= accounted, "every server is accounted for or deleted"
    assert set(world.cloud.others) <= accounted, "so is all that servers bring along"
    users = {id_ for other in world.cloud.others.values() for id_ in other.attached_to}
    assert users <= set(world.cloud.servers)
    assert not final.having(PlanAction.DELETE)
    assert not final.having(PlanAction.FIND)
    assert fold(events).unfinished is None
    assert list(world.store.unfinished_steps()) == []
    writes, version = len(world.cloud.writes), len(events)
    again = compensate(world)
    assert again.complete
    assert (len(world.cloud.writes), world.store.head("c-1").version) == (writes, version), "a second rollback changes nothing"


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_leaks_and_nothing_unsafe_is_deleted_wherever_the_conductor_dies(scene: str) -> None:
    points = points_of(scene)
    assert len(points) >= 5
    for at in range(len(points)):
        world = prepared(scene)
        crash(world, scene, at)
        check(world, len(world.cloud.writes))


def both(scene: str) -> Iterator[tuple[int, int]]:
    """Yield each pair of a crash of the conductor and one of the compensator after it."""
    for first in range(len(points_of(scene))):
        world, points = prepared(scene), CrashPoints()
        crash(world, scene, first)
        if world.store.head("c-1") is not None:
            compensate(world, points)
        yield from ((first, second) for second in range(len(points.seen)))


@pytest.mark.parametrize("scene", ["create", "scale", "delete", "create all", "scale all", "delete all"])
def test_a_compensator_that_dies_is_resumed_by_the_next(scene: str) -> None:
    pairs = list(both(scene))
    assert len(pairs) > 100
    for first, second in pairs[:: max(1, len(pairs) // 400)]:
        world = prepared(scene)
        crash(world, scene, first)
        writes = len(world.cloud.writes)
        with pytest.raises(Killed):
            compensate(world, CrashPoints(second))
        world.clock.sleep(300)
        check(world, writes)
