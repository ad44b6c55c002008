"""The handler at the top: the errors of an operation end there, and decide by replay."""

import logging
import queue
from contextlib import suppress
from typing import Any

import attrs
import pytest

from journal.errors import AppendOutcomeUnknown, OutOfOrder, OwnerAlive
from journal.events import (
    ClusterStatus,
    DeletionRequested,
    HoldPlaced,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OwnershipTaken,
)
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.steps import Refused
from journal.store import Claim
from journal.threads import SystemThreads
from projections.fold import History, fold
from rollback.compensator import rollback_cluster
from rollback.errors import CloudError
from rollback.handler import Handler, handled
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads


@attrs.define
class World:
    """A conductor with one cluster, and its record of it."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    journal: Journal = attrs.field(init=False)
    there: bool = True
    statuses: list[tuple[ClusterStatus, str]] = attrs.field(factory=list)
    record_fails: bool = False

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock, threads=SimulatedThreads())

    @property
    def handler(self) -> Handler:
        return Handler(self.journal, self.cloud, lambda _: self)

    def exists(self) -> bool:
        if self.record_fails:
            raise ConnectionError("the conductor's database is away")
        return self.there

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        assert version > 0
        self.statuses.append((status, reason))

    def running(self, kind: OperationKind = OperationKind.CREATE, **more: Any) -> Any:
        return self.handler.operation("c-1", kind, **more)

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
    report = world.handler.delete("c-1", by="user")
    assert report is not None
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


def test_nothing_begins_while_a_users_deletion_stands(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    world.cloud.fails["list_all"] = [CloudError("HTTP 503")]
    assert world.handler.delete("c-1", by="user") is None
    with pytest.raises(OutOfOrder, match="somebody asked for the cluster's deletion.*provjournal rollback c-1"):
        world.running(OperationKind.SCALE).__enter__()
    with world.handler.operation("c-1", "delete"):  # type: ignore[arg-type]  # callers without types name it so
        pass
    assert (world.statuses[-1][0], world.cloud.servers) == (ClusterStatus.DELETED, {})


def test_a_cluster_goes_on_where_its_deletion_was_abandoned(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    op = world.journal.begin("c-1", OperationKind.DELETE, world.cloud.name)
    op.append(OperationFinished(OperationOutcome.ABANDONED, ClusterStatus.ACTIVE, "it was a mistake"))
    with world.running(OperationKind.SCALE) as op:
        world.add_server(op)
    assert world.statuses[-1] == (ClusterStatus.ACTIVE, "")


def test_a_server_that_a_successful_operation_could_not_use_is_swept_at_once(world: World) -> None:
    with world.running() as op:
        with suppress(Refused), op.create_server("worker", "w") as step:
            step.created(world.cloud.create_server(step))
            raise Refused("the server went to ERROR")
        world.add_server(op)
    assert set(world.cloud.servers) == {"vm-2"}
    assert world.statuses[-1] == (ClusterStatus.ACTIVE, "")
    head = world.journal.store.head("c-1")
    assert head is not None
    assert head.is_settled
    assert head.owner is None
    assert [str(op.kind) for op in world.history.operations.values()] == ["create", "sweep"]


def test_a_sweep_that_fails_leaves_the_cluster_active_and_is_left_to_the_next(world: World) -> None:
    with world.running() as op, suppress(Refused), op.create_server("worker", "w") as step:
        step.created(world.cloud.create_server(step))
        world.cloud.fails["list_all"] = [CloudError("HTTP 503")]
        raise Refused("the server went to ERROR")
    assert world.statuses == [(ClusterStatus.ACTIVE, "")]
    head = world.journal.store.head("c-1")
    assert head is not None
    assert (head.is_settled, head.owner) == (False, None)
    world.handler.compensate("c-1")
    assert world.cloud.servers == {}


def test_what_the_body_of_a_delete_leaves_is_deleted_all_the_same(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with world.running() as op:
        world.add_server(op)
    with caplog.at_level(logging.ERROR), world.running(OperationKind.DELETE):
        pass
    assert world.cloud.servers == {}
    assert world.statuses[-1] == (ClusterStatus.DELETED, "NotEmpty: the delete of 'c-1' left vm-1")
    assert world.last.outcome is OperationOutcome.SUCCEEDED


def test_an_end_that_was_recorded_although_its_answer_was_lost_is_told_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.running() as op:
        world.add_server(op)
        append = world.journal.store.append

        def lose_answer(*args: Any, **kwargs: Any) -> Any:
            append(*args, **kwargs)
            monkeypatch.setattr(world.journal.store, "append", append)
            raise AppendOutcomeUnknown("c-1", 5, "The connection was lost.")

        monkeypatch.setattr(world.journal.store, "append", lose_answer)
    assert world.statuses == [(ClusterStatus.ACTIVE, "")]
    assert set(world.cloud.servers) == {"vm-1"}


def test_why_an_earlier_operation_failed_is_not_why_this_one_did(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    with world.running(OperationKind.SCALE):
        raise RuntimeError("the first time")
    world.journal.begin("c-1", OperationKind.SCALE, world.cloud.name)
    world.clock.sleep(300)
    report = world.handler.compensate("c-1")
    assert report.reason == ""
    assert world.last.reason == "its conductor did not finish it"


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


def test_an_error_that_a_users_deletion_caused_ends_quietly(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), world.running() as op:
        world.add_server(op)
        assert Handler(Journal(world.journal.store, conductor="api", clock=world.clock), world.cloud, lambda _: world).delete(
            "c-1", by="user"
        )
        raise CloudError("the server is not there")
    assert world.statuses == [(ClusterStatus.DELETED, "")]
    assert caplog.records == []


def test_a_record_that_was_deleted_during_a_successful_operation_leaks_nothing(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
        world.there = False
    assert world.statuses == []
    assert world.cloud.servers == {}
    assert (world.last.outcome, world.last.cluster_status) == (OperationOutcome.CANCELLED, ClusterStatus.DELETED)


def test_a_record_that_cannot_be_asked_is_there_and_deletes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.record_fails = True
    with world.running() as op:
        world.add_server(op)
    assert set(world.cloud.servers) == {"vm-1"}
    assert world.last.outcome is OperationOutcome.SUCCEEDED
    head = world.journal.store.head("c-1")
    assert head is not None
    assert not head.is_settled, "recover tells the record again"
    assert "is taken to be there" in caplog.text


def test_what_was_told_and_done_is_settled(world: World) -> None:
    with world.running() as op:
        world.add_server(op)
    head = world.journal.store.head("c-1")
    assert head is not None
    assert head.is_settled


def test_a_bug_in_compensation_ends_in_the_handler_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollback.handler.rollback_cluster", lambda *_, **__: 1 / 0)
    with world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    ((status, reason),) = world.statuses
    assert status is ClusterStatus.ERROR
    assert reason.startswith("RuntimeError: the plugin failed; then compensation failed: ZeroDivisionError")


def test_a_compensation_that_fails_while_another_takes_over_says_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Journal(world.journal.store, conductor="b", clock=world.clock)

    def stand_still_and_fail(*_: object, **__: object) -> None:
        world.clock.sleep(300)
        assert rollback_cluster(other, world.cloud, "c-1").complete
        raise CloudError("HTTP 503")

    monkeypatch.setattr("rollback.handler.rollback_cluster", stand_still_and_fail)
    with world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    assert world.statuses == []


def test_an_interrupt_of_the_compensation_gives_the_lease_up_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.cloud, "list_journal", interrupt)
    with pytest.raises(KeyboardInterrupt), world.running() as op:
        world.add_server(op)
        raise RuntimeError("the plugin failed")
    head = world.journal.store.head("c-1")
    assert head is not None
    assert head.owner is None


def test_a_running_operation_keeps_its_lease_by_its_heartbeat(world: World) -> None:
    world.journal.threads = SimulatedThreads(world.clock)
    other = Journal(world.journal.store, conductor="b", clock=world.clock)
    with world.running() as op:
        for _ in range(10):
            world.clock.sleep(100)
            with pytest.raises(OwnerAlive):
                other.refuse_live_owner("c-1")
        world.add_server(op)
    assert world.last.outcome is OperationOutcome.SUCCEEDED


def test_the_heart_stops_with_the_operation(world: World) -> None:
    world.journal.threads = SimulatedThreads(world.clock)
    with pytest.raises(KeyboardInterrupt), world.running():
        raise KeyboardInterrupt
    world.clock.sleep(1000)
    head = world.journal.store.head("c-1")
    assert head is not None
    assert not head.owner_alive


def test_the_threads_of_a_process_beat_and_stop() -> None:
    beats: queue.SimpleQueue[int] = queue.SimpleQueue()
    with SystemThreads().repeated(0.001, lambda: beats.put(1)):
        assert [beats.get(timeout=30) for _ in range(3)] == [1, 1, 1]
    while not beats.empty():
        beats.get()
    with pytest.raises(queue.Empty):
        beats.get(timeout=0.02)


def test_a_function_runs_under_the_handler(world: World) -> None:
    @handled(OperationKind.CREATE)
    def create(op: Any, servers: int, *, fail: bool = False) -> None:
        """Create some servers."""
        for _ in range(servers):
            world.add_server(op)
        if fail:
            raise RuntimeError("the plugin failed")

    create(world.handler, "c-1", 2, request={"servers": 2})
    assert world.statuses == [(ClusterStatus.ACTIVE, "")]
    assert len(world.cloud.servers) == 2
    assert world.last.asked.request == {"servers": 2}
    assert (create.__name__, create.__doc__) == ("create", "Create some servers.")
    world.handler.delete("c-1", by="user")
    create(attrs.evolve(world.handler), "c-2", 1, fail=True)
    assert world.statuses[-1] == (ClusterStatus.ERROR, "RuntimeError: the plugin failed")
    assert world.cloud.servers == {}
