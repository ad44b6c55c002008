"""Sweeping: what nobody accounts for is found, and deleted only on request and by its cluster's own verdict."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from journal.events import ClusterStatus, OperationKind, Word
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.steps import Refused, Step
from projections.fold import fold
from rollback import Handler, NoRecord, Sweep, delete_orphans, sweep
from rollback.choice import Most
from rollback.errors import CloudError, UnsuitableCloud
from rollback.marks import CLUSTER_KEY, JOURNAL_KEY, Marks
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads


@attrs.define
class World:
    """A journal with one cluster that is well, `well`, of one server, and whatever a test adds."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: MemoryStore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)
        with self.handler().operation("well", OperationKind.CREATE) as op:
            op.create_server("worker", "well-w").run(self.create)

    def create(self, step: Step) -> None:
        step.created(self.cloud.create_server(step))

    def handler(self, name: str = "a", cloud: SimulatedCloud | None = None) -> Handler:
        journal = Journal(self.store, conductor=name, clock=self.clock, threads=SimulatedThreads())
        return Handler(journal, cloud or self.cloud, NoRecord)

    def failed_create(self, cluster: str = "c-1") -> Step:
        """A create that was refused and ended in Error; its step, for whom a server may still turn up."""
        steps: list[Step] = []
        with self.handler().operation(cluster, OperationKind.CREATE) as op, op.create_server("worker", f"{cluster}-w") as step:
            steps.append(step)
            raise Refused("HTTP 409")
        return steps[0]

    def sweep(self) -> Sweep:
        return sweep(self.handler("sweeper"))

    def found(self) -> dict[str, str]:
        return {orphan.id: orphan.because for orphan in self.sweep().orphans}

    def delete(self, found: Sweep, **more: Any) -> list[str]:
        swept = delete_orphans(self.handler("sweeper"), found, **more)
        return [id_ for each in swept if each.report is not None for id_ in each.report.deleted]

    def version(self, cluster: str) -> int:
        return fold(self.store.read(cluster)).version


@pytest.fixture
def world() -> World:
    return World()


def test_where_all_is_well_nothing_is_found(world: World) -> None:
    found = world.sweep()
    assert (found.orphans, found.marked, found.unreadable) == ((), 1, 0)


def test_a_request_that_landed_after_its_cluster_was_compensated_is_found_and_deleted_on_request(world: World) -> None:
    late = world.cloud.land(world.failed_create())
    version = world.version("c-1")
    found = world.sweep()
    (orphan,) = found.orphans
    assert (orphan.id, orphan.cluster, orphan.name, orphan.is_deletable) == (late, "c-1", "c-1-w", True)
    assert (world.version("c-1"), late in world.cloud.servers) == (version, True), "looking changes nothing"
    assert world.delete(found) == [late]
    assert late not in world.cloud.servers
    kinds = [str(operation.kind) for operation in fold(world.store.read("c-1")).operations.values()]
    assert kinds == ["create", "sweep"]
    assert world.found() == {}
    assert list(world.cloud.servers) == ["vm-1"]


def test_a_second_server_of_a_request_is_found(world: World) -> None:
    with world.handler().operation("c-1", OperationKind.CREATE) as op, op.create_server("worker", "w") as step:
        world.create(step)
        world.clock.sleep(1)
        twin = world.cloud.land(step)
    assert world.delete(world.sweep()) == [twin]


def test_a_server_that_turns_up_late_in_a_deleted_cluster_is_swept(world: World) -> None:
    step = world.failed_create()
    world.handler().delete("c-1", by="user")
    late = world.cloud.land(step)
    assert world.delete(world.sweep()) == [late]
    last = fold(world.store.read("c-1"))
    assert last.deleted is not None
    assert [op.cluster_status for op in last.operations.values()][-1] is ClusterStatus.DELETED


def test_what_was_seen_only_once_is_no_orphan_yet(world: World) -> None:
    step = world.failed_create()
    world.clock.later(1, lambda: world.cloud.land(step))
    assert world.found() == {}
    assert len(world.found()) == 1


def test_a_live_operation_is_left_alone(world: World) -> None:
    op = world.handler("b").journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    op.create_server("worker", "w").run(world.create)
    world.cloud.land(op.create_server("worker", "w2").__enter__())
    assert world.found() == {}


def test_an_operation_that_begins_while_the_cloud_is_listed_is_left_alone(world: World) -> None:
    def begin() -> None:
        op = world.handler("b").journal.begin("new", OperationKind.CREATE, world.cloud.name)
        op.create_server("worker", "w").run(world.create)
        op.release()

    world.clock.later(0, begin)
    assert world.found() == {}


def test_what_is_in_service_is_no_orphan_though_an_operation_is_unfinished(world: World) -> None:
    op = world.handler("b").journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    served = op.create_server("worker", "w").run(world.create).server_id
    op.succeed()
    op = world.handler("b").journal.begin("c-1", OperationKind.SCALE, world.cloud.name)
    added = op.create_server("worker", "w2").run(world.create).server_id
    world.clock.sleep(300)
    (orphan,) = world.sweep().orphans
    assert (orphan.id, orphan.is_deletable) == (added, False)
    assert served != added


def test_what_a_dead_conductor_left_is_the_recoverys(world: World) -> None:
    op = world.handler("b").journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    op.create_server("worker", "w").run(world.create)
    world.clock.sleep(300)
    found = world.sweep()
    (orphan,) = found.orphans
    assert orphan.because == "the create of its cluster is unfinished: `provjournal recover` ends it"
    assert world.delete(found) == []


def unknown_cluster(world: World) -> str:
    server = world.cloud.servers[world.cloud.land(Step(world.store.journal_id, "lost", uuid4(), world.clock.now(), "x"))]
    return server.id


def no_cluster(world: World) -> str:
    id_ = unknown_cluster(world)
    del world.cloud.servers[id_].metadata[CLUSTER_KEY]
    return id_


def unknown_step(world: World) -> str:
    return world.cloud.land(Step(world.store.journal_id, "well", uuid4(), world.clock.now(), "x"))


def copied(world: World) -> str:
    step = Step(world.store.journal_id, "well", next(iter(fold(world.store.read("well")).creates)), world.clock.now(), "x")
    world.clock.sleep(100_000)
    return world.cloud.land(step)


@pytest.mark.parametrize(
    ("make", "because"),
    [
        (unknown_cluster, "the journal does not know its cluster (was an old backup restored?)"),
        (no_cluster, "its marks do not say of which cluster it is"),
        (unknown_step, "is no create of this journal"),
        (copied, "somebody's copy"),
    ],
)
def test_what_cannot_be_judged_is_reported_and_kept(world: World, make: Callable[[World], str], because: str) -> None:
    server_id = make(world)
    found = world.sweep()
    assert [(orphan.id, orphan.is_deletable) for orphan in found.orphans] == [(server_id, False)]
    assert because in found.orphans[0].because
    assert world.delete(found) == []
    assert server_id in world.cloud.servers


def test_a_server_of_another_journal_or_without_marks_is_none_of_ours(world: World) -> None:
    other = Marks(uuid4(), "well", uuid4())
    for marks in (other.tags, []):
        id_ = world.cloud.land(Step(uuid4(), "well", uuid4(), world.clock.now(), "x"))
        world.cloud.servers[id_].tags, world.cloud.servers[id_].metadata = marks, {}
    assert world.found() == {}


def test_a_server_whose_tags_were_removed_is_found_by_its_metadata(world: World) -> None:
    late = world.cloud.land(world.failed_create())
    world.cloud.servers[late].tags.clear()
    assert list(world.found()) == [late]
    world.cloud.servers[late].metadata.pop(JOURNAL_KEY)
    assert world.found() == {}


def test_an_archived_cluster_is_reported(world: World, tmp_path: Path) -> None:
    step = world.failed_create()
    world.handler().delete("c-1", by="user")
    head = world.store.head("c-1")
    assert head is not None
    world.store.archive(head, str(tmp_path / "c-1.jsonl"))
    world.cloud.land(step)
    assert list(world.found().values()) == [f"its cluster was archived, to {tmp_path / 'c-1.jsonl'}"]


def test_what_lives_in_another_cloud_is_reported(world: World) -> None:
    elsewhere = SimulatedCloud(world.clock, name="RegionTwo/5f0c4d")
    elsewhere.land(Step(world.store.journal_id, "well", uuid4(), world.clock.now(), "x"))
    (orphan,) = sweep(world.handler(cloud=elsewhere)).orphans
    assert (orphan.because, orphan.is_deletable) == (f"its cluster lives in another cloud, {world.cloud.name}", False)


def test_servers_in_a_cell_that_is_down_are_counted(world: World) -> None:
    world.cloud.servers["vm-1"].cell_is_down = True
    found = world.sweep()
    assert (found.orphans, found.unreadable) == ((), 1)


def test_a_held_cluster_keeps_its_orphan(world: World) -> None:
    late = world.cloud.land(world.failed_create())
    world.handler().journal.hold("c-1", by="ops", reason="stop")
    found = world.sweep()
    assert world.delete(found) == []
    assert late in world.cloud.servers


def test_an_operators_word_keeps_an_orphan_and_it_is_still_told(world: World) -> None:
    late = world.cloud.land(world.failed_create())
    world.delete(world.sweep(), most=Most(0))
    assert late in world.cloud.servers
    world.handler().journal.resolve("c-1", late, Word.UNSAFE, by="ops", reason="mine")
    found = world.sweep()
    assert [(orphan.id, orphan.is_deletable) for orphan in found.orphans] == [(late, False)]


def test_one_cluster_that_cannot_be_swept_does_not_stop_the_others(world: World) -> None:
    late = [world.cloud.land(world.failed_create(cluster)) for cluster in ("c-1", "c-2", "c-3")]
    found = world.sweep()
    world.cloud.fails["list_journal"] = [None, None, CloudError("HTTP 503")]
    swept = sorted(delete_orphans(world.handler(), found), key=lambda each: each.cluster)
    assert [each.problem for each in swept] == ["", "CloudError: HTTP 503", ""]
    assert set(world.cloud.servers) == {"vm-1", late[1]}


def test_clocks_that_disagree_are_refused(world: World) -> None:
    world.cloud.skew = timedelta(seconds=31)
    with pytest.raises(UnsuitableCloud):
        world.sweep()
