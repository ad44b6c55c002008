"""Adopting: servers that existed before their journal are marked first, and in service from then on."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import attrs
import pytest

from journal.events import ClusterStatus, OperationKind, ServersAdopted, VerdictName
from journal.journal import Journal
from journal.memory import MemoryStore
from projections.fold import fold
from rollback import adopt, adoptable, rollback_cluster
from rollback.adoption import Outcome
from rollback.errors import CloudError, NotAdoptable, WrongCloud
from rollback.marks import CLUSTER_KEY, Agreement, Marks, agreement
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud, SimulatedServer
from rollback.testing.crashing import CLOUD_CALLS, STORE_CALLS, Crashing, CrashPoints, Killed
from rollback.testing.threads import SimulatedThreads


@attrs.define
class World:
    """Two servers that nobody has marked, `old-1` and `old-2`."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: MemoryStore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)
        for id_ in ("old-1", "old-2"):
            self.cloud.servers[id_] = SimulatedServer(id_, f"name of {id_}", ["mine"], {"role": "db"}, self.clock.now())

    def journal(self, store: Any = None) -> Journal:
        return Journal(store or self.store, conductor="a", clock=self.clock, threads=SimulatedThreads())

    def adopt(self, *ids: str, cluster: str = "c-1", cloud: Any = None, store: Any = None, **more: Any) -> list[Outcome]:
        journal, cloud = self.journal(store), cloud or self.cloud
        adoption = adoptable(journal, cloud, cluster, ids or ("old-1", "old-2"), node_group="db", **more)
        adopt(journal, cloud, adoption, by="ops", reason="they were there")
        return [candidate.outcome for candidate in adoption.candidates]

    def verdicts(self, cluster: str = "c-1") -> dict[str | None, VerdictName]:
        return {verdict.id: verdict.verdict for verdict in plan(fold(self.store.read(cluster))).verdicts}

    def agrees(self, id_: str, marks: Marks) -> bool:
        found = self.cloud.get(id_)
        return found is not None and found.marks is not None and agreement(found.marks, marks) is Agreement.BOTH

    @property
    def marks(self) -> Marks:
        return Marks(self.store.journal_id, "c-1", None)


@pytest.fixture
def world() -> World:
    return World()


def test_adopted_servers_are_marked_and_in_service_and_go_with_their_cluster(world: World) -> None:
    assert world.adopt() == [Outcome.ADOPTED, Outcome.ADOPTED]
    assert world.verdicts() == {"old-1": VerdictName.IN_SERVICE, "old-2": VerdictName.IN_SERVICE}
    assert world.agrees("old-1", world.marks)
    assert world.agrees("old-2", world.marks)
    server = world.cloud.servers["old-1"]
    assert ("mine" in server.tags, server.metadata["role"]) == (True, "db"), "what was there stays"
    (event,) = world.store.read("c-1")
    assert isinstance(event.data, ServersAdopted)
    assert (event.data.by, event.data.reason) == ("ops", "they were there")
    assert [(row.name, row.node_group) for row in event.data.servers] == [("name of old-1", "db"), ("name of old-2", "db")]

    world.journal().request_deletion("c-1", by="user")
    report = rollback_cluster(world.journal(), world.cloud, "c-1")
    assert (report.cluster_status, world.cloud.servers) == (ClusterStatus.DELETED, {})


def test_looking_changes_nothing(world: World) -> None:
    adoptable(world.journal(), world.cloud, "c-1", ["old-1"])
    assert list(world.store.read("c-1")) == []
    assert not any(call == "mark" for call, _ in world.cloud.calls)


def test_adopting_again_marks_again_what_lost_its_marks_and_appends_nothing(world: World) -> None:
    world.adopt("old-1")
    world.cloud.servers["old-1"].tags.clear()
    assert world.adopt("old-1") == [Outcome.MARKED_AGAIN]
    assert world.agrees("old-1", world.marks)
    assert world.adopt("old-1") == [Outcome.UNCHANGED]
    assert world.adopt("old-1", "old-2") == [Outcome.UNCHANGED, Outcome.ADOPTED]
    assert len(list(world.store.read("c-1"))) == 2


def test_a_created_server_is_marked_again_with_its_step(world: World) -> None:
    op = world.journal().begin("c-1", OperationKind.CREATE, world.cloud.name)
    step = op.create_server("worker", "w").run(lambda step: step.created(world.cloud.create_server(step)))
    server = world.cloud.servers["vm-1"]
    server.tags, server.metadata = [], {CLUSTER_KEY: "another"}
    world.clock.sleep(300)
    assert not rollback_cluster(world.journal(), world.cloud, "c-1").complete, "its marks contradict"
    with pytest.raises(NotAdoptable, match="its marks say that it is another's: cluster 'another'"):
        world.adopt("vm-1")
    assert world.adopt("vm-1", replace_marks=True) == [Outcome.MARKED_AGAIN]
    assert world.agrees("vm-1", Marks(world.store.journal_id, "c-1", step.id))
    assert rollback_cluster(world.journal(), world.cloud, "c-1").deleted == ("vm-1",)


def not_there(world: World) -> None:
    del world.cloud.servers["old-2"]


def in_a_cell_that_is_down(world: World) -> None:
    world.cloud.servers["old-2"].cell_is_down = True


def of_another_cluster(world: World) -> None:
    world.adopt("old-2", cluster="c-2")


def of_another_journal(world: World) -> None:
    world.cloud.mark("old-2", Marks(uuid4(), "c-1", None))


def of_another_create(world: World) -> None:
    world.cloud.mark("old-2", Marks(world.store.journal_id, "c-1", uuid4()))


def unfinished(world: World) -> None:
    world.journal().begin("c-1", OperationKind.CREATE, world.cloud.name)


def deleted(world: World) -> None:
    with_one = world.journal().begin("c-1", OperationKind.DELETE, world.cloud.name)
    with_one.succeed()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (not_there, "server old-2 cannot be adopted: there is no such server in RegionOne/5f0c4d"),
        (in_a_cell_that_is_down, "its cell is down"),
        (of_another_cluster, "its marks say that it is another's: cluster 'c-2' of journal"),
        (of_another_journal, "another's: cluster 'c-1' of journal"),
        (of_another_create, "another's"),
        (unfinished, "its create operation is unfinished"),
        (deleted, "it is Deleted"),
    ],
)
def test_what_cannot_be_adopted_is_refused_before_anything_is_changed(
    world: World, make: Callable[[World], None], said: str
) -> None:
    make(world)
    version = fold(world.store.read("c-1")).version
    world.cloud.calls.clear()
    with pytest.raises(NotAdoptable, match=f"Cluster 'c-1': .*{said}.*Nothing was changed"):
        world.adopt()
    assert fold(world.store.read("c-1")).version == version
    assert not any(call == "mark" for call, _ in world.cloud.calls)


def test_a_server_that_a_create_of_the_cluster_made_is_not_adopted(world: World) -> None:
    op = world.journal().begin("c-1", OperationKind.CREATE, world.cloud.name)
    world.cloud.land(op.create_server("worker", "w").__enter__())
    for replace in (False, True):
        with pytest.raises(NotAdoptable, match="it carries the mark of create .* of this very cluster"):
            world.adopt("vm-1", replace_marks=replace)


def test_another_cloud_is_refused(world: World) -> None:
    world.adopt("old-1")
    with pytest.raises(WrongCloud):
        world.adopt("old-2", cloud=SimulatedCloud(world.clock, name="RegionTwo/5f0c4d"))


def test_a_mark_that_fails_leaves_the_journal_as_it_was(world: World) -> None:
    world.cloud.fails["mark"] = [None, CloudError("HTTP 503")]
    with pytest.raises(CloudError):
        world.adopt()
    assert list(world.store.read("c-1")) == []
    assert world.adopt() == [Outcome.ADOPTED, Outcome.ADOPTED]


def test_killed_anywhere_it_can_be_done_again() -> None:
    world, points = World(), CrashPoints()
    world.adopt(cloud=Crashing(world.cloud, points, CLOUD_CALLS), store=Crashing(world.store, points, STORE_CALLS))
    assert len(points.seen) > 4
    for at in range(len(points.seen)):
        world, points = World(), CrashPoints(at)
        with pytest.raises(Killed):
            world.adopt(cloud=Crashing(world.cloud, points, CLOUD_CALLS), store=Crashing(world.store, points, STORE_CALLS))
        world.adopt()
        assert world.verdicts() == {"old-1": VerdictName.IN_SERVICE, "old-2": VerdictName.IN_SERVICE}
        assert world.agrees("old-1", world.marks)
        assert world.agrees("old-2", world.marks)
        assert len(list(world.store.read("c-1"))) == 1
