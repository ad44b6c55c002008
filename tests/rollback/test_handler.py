"""The handler at the top: the errors of an operation end there, and decide by replay."""

import logging
from typing import Any

import attrs
import pytest
from simulated import SimulatedClock, SimulatedCloud

from journal.errors import OutOfOrder, OwnerAlive
from journal.events import ClusterStatus, DeletionRequested, HoldPlaced, OperationKind, OperationOutcome, OwnershipTaken
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.store import Claim
from projections.fold import History, fold
from rollback.compensator import rollback_cluster
from rollback.errors import CloudError
from rollback.handler import delete_cluster, operation


@attrs.define
class World:
    """A conductor with one cluster, and its record of it."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    journal: Journal = attrs.field(init=False)
    there: bool = True
    statuses: list[tuple[ClusterStatus, str]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock)

    def exists(self) -> bool:
        return self.there

    def set_status(self, status: ClusterStatus, reason: str) -> None:
        self.statuses.append((status, reason))

    def running(self, kind: OperationKind = OperationKind.CREATE, **more: Any) -> Any:
        return operation(self.journal, self.cloud, "c-1", kind, self, **more)

    def add_server(self, op: Any) -> str:
        with op.create_server("worker", "w") as step:
            step.created(self.cloud.create_server(step))
        return str(step.server_id)

    @property
    def history(self) -> History:
        return fold(self.journal.store.read("c-1"))

    @property
    def last(self) -> Any:
        return list(self.history.operations.values())[-1]


@pytest.fixture
def world() -> World:
    return World()


def test_an_operation_that_succeeds_makes_the_cluster_active_and_gives_the_stream_up(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    assert world.statuses == [(ClusterStatus.ACTIVE, "")]
    assert world.last.outcome is OperationOutcome.SUCCEEDED
    head = world.journal.store.head("c-1")
    assert head is not None
    assert head.owner is None


def test_a_failed_create_deletes_its_servers_and_says_why(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    assert world.statuses == [(ClusterStatus.ERROR, "RuntimeError: the plugin failed")]
    assert world.cloud.servers == {}
    assert (world.last.outcome, world.last.reason) == (OperationOutcome.ROLLED_BACK, "RuntimeError: the plugin failed")
    assert [record.message for record in caplog.records] == ["cluster c-1: create operation failed"]


def test_a_failed_scale_keeps_what_may_hold_data(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    with world.running(OperationKind.SCALE, victims=["vm-1"]) as op, op.decommission(["vm-1"]):
        raise RuntimeError("the data did not move")
    assert world.statuses[-1] == (ClusterStatus.ERROR, "RuntimeError: the data did not move")
    assert set(world.cloud.servers) == {"vm-1"}
    assert world.last.outcome is OperationOutcome.FAILED


def test_a_user_who_deletes_the_cluster_meanwhile_ends_the_operation_quietly(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), world.running() as op:
        world.add_server(op)
        Journal(world.journal.store, conductor="api", clock=world.clock).request_deletion("c-1", by="user")
        calls = list(world.cloud.calls)
        world.add_server(op)
    assert world.statuses == []
    assert world.cloud.calls == calls, "the intent was refused, so nothing was sent"
    assert caplog.records == []
    assert rollback_cluster(world.journal, world.cloud, "c-1").cluster_status is ClusterStatus.DELETED
    assert world.cloud.servers == {}
    assert world.last.outcome is OperationOutcome.CANCELLED


def test_an_operation_that_was_taken_over_touches_nothing_more(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
        world.clock.sleep(300)
        other = Journal(world.journal.store, conductor="b", clock=world.clock)
        assert rollback_cluster(other, world.cloud, "c-1").complete
        world.add_server(op)
    assert world.statuses == []
    assert world.cloud.servers == {}


def test_a_record_that_is_gone_counts_as_a_request_for_deletion(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
        world.there = False
        raise RuntimeError("the plugin did not find the cluster")
    assert world.statuses == []
    assert world.cloud.servers == {}
    assert any(isinstance(event.data, DeletionRequested) for event in world.journal.store.read("c-1"))
    assert (world.last.outcome, world.last.cluster_status) == (OperationOutcome.CANCELLED, ClusterStatus.DELETED)


def test_if_compensation_fails_too_the_status_has_both_reasons_and_the_operation_stays_open(world: World) -> None:
    world.cloud.fails["list_all"] = [CloudError("HTTP 503")]
    with world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    ((status, reason),) = world.statuses
    assert status is ClusterStatus.ERROR
    assert reason == "RuntimeError: the plugin failed; then compensation failed: CloudError: HTTP 503"
    assert world.last.outcome is None
    assert world.history.errors == ["RuntimeError: the plugin failed", "CloudError: HTTP 503"]
    assert rollback_cluster(world.journal, world.cloud, "c-1").complete
    assert world.cloud.servers == {}


def test_an_incomplete_compensation_says_what_is_left(world: World) -> None:
    world.cloud.delete_seconds = 10_000
    with world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    ((status, reason),) = world.statuses
    assert status is ClusterStatus.ERROR
    assert reason.startswith("RuntimeError: the plugin failed; server vm-1: still there")


def test_an_interrupt_gives_the_lease_up_and_is_raised_again(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), world.running() as op:
        world.add_server(op)
        raise KeyboardInterrupt
    assert world.statuses == []
    assert set(world.cloud.servers) == {"vm-1"}
    other = Journal(world.journal.store, conductor="b", clock=world.clock)
    assert rollback_cluster(other, world.cloud, "c-1").complete, "no lease had to run out"


def test_deleting_a_cluster_leaves_nothing_and_is_final(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    report = delete_cluster(world.journal, world.cloud, "c-1", world, by="user")
    assert (report.complete, world.statuses[-1]) == (True, (ClusterStatus.DELETED, ""))
    with pytest.raises(OutOfOrder, match="after the cluster ended as Deleted"), world.running(OperationKind.SCALE):
        pass


def test_an_operation_does_not_begin_while_another_conductor_is_at_work(world: World) -> None:
    other = Journal(world.journal.store, conductor="b", clock=world.clock)
    other.begin("c-1", OperationKind.CREATE, world.cloud.name)
    with pytest.raises(OwnerAlive), world.running(OperationKind.SCALE):
        pass
    assert world.statuses == []


def test_a_refused_start_leaves_ownership_as_it_was(world: World) -> None:
    world.journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    version = world.history.version
    with pytest.raises(OutOfOrder, match="a scale starts while the create"):
        world.journal.begin("c-1", OperationKind.SCALE, world.cloud.name)
    assert world.history.version == version


def test_a_body_that_never_says_what_it_created_leaves_the_create_in_doubt(world: World) -> None:
    op = world.journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    with pytest.raises(TypeError, match="step.created"), op.create_server("worker", "w") as step:
        world.cloud.create_server(step)
    assert [found.subject for found in world.journal.store.unfinished_steps()] == ["w"]


def test_others_may_append_under_the_owners_epoch(world: World) -> None:
    with world.running() as op:
        world.journal.stream("c-1").append(HoldPlaced("ops", "looking into it"))
        world.add_server(op)
    assert world.last.outcome is OperationOutcome.SUCCEEDED


def test_a_stale_owner_is_refused_before_it_acts(world: World) -> None:
    op = world.journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    world.clock.sleep(300)
    stream = world.journal.stream("c-1")
    taken = stream.take("the owner is gone", Claim("b", 100), operation=op.id)
    assert isinstance(taken[0].data, OwnershipTaken)
    entered = False
    with pytest.raises(Exception, match="is at epoch 2, now owned by b"), op.create_server("worker", "w"):
        entered = True
    assert not entered


def test_a_deletion_is_recorded_even_if_another_conductor_has_ended_the_operation(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
        world.clock.sleep(300)
        rollback_cluster(Journal(world.journal.store, conductor="b", clock=world.clock), world.cloud, "c-1")
        world.there = False
        raise RuntimeError("the plugin failed")
    assert world.history.deleted is not None
    assert world.statuses == []
