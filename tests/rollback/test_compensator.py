"""The compensator against a simulated cloud: what it deletes, what it keeps, what it refuses, and that it ends."""

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from journal.errors import DamagedStream, JournalRegressed, OutOfOrder, OwnerAlive
from journal.events import (
    AdoptedServer,
    ClusterStatus,
    DeleteServer,
    InventoryObserved,
    ObservedServer,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    Stage,
    StepOutcome,
    VerdictName,
    Word,
)
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.settings import Settings
from journal.sql.store import open_store
from journal.steps import Refused, Step
from journal.threads import SystemThreads
from projections.fold import History, fold
from rollback.cloud import Found
from rollback.compensator import preview, rollback_cluster
from rollback.errors import CloudError, CloudRefused, UnsuitableCloud, WrongCloud
from rollback.marks import CLUSTER_KEY, JOURNAL_KEY, STEP_KEY, Marks
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads

CLUSTER = "c-1"


@attrs.define
class World:
    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    journal: Journal = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock, threads=SimulatedThreads())

    @property
    def history(self) -> History:
        return fold(self.journal.store.read(CLUSTER))

    @property
    def other(self) -> Journal:
        """The journal as another conductor has it."""
        return Journal(
            self.journal.store, conductor="b", clock=self.clock, threads=self.journal.threads, settings=self.journal.settings
        )

    def crashed_create(self, servers: int = 2, *, lost: bool = False) -> list[Step]:
        """A create whose conductor died; with `lost`, the answer of the last POST never came."""
        op = self.journal.begin(CLUSTER, OperationKind.CREATE, self.cloud.name)
        steps = []
        for number in range(servers):
            try:
                with op.create_server("worker", f"w{number}") as step:
                    steps.append(step)
                    server_id = self.cloud.create_server(step)
                    if lost and number == servers - 1:
                        raise CloudError("the answer was lost")
                    step.created(server_id)
            except CloudError:
                pass
        self.clock.sleep(300)
        return steps

    def repeated_post(self, step: Step) -> str:
        """A second server of a step, made right after the first but seen only now, as when a cell was down."""
        server_id = self.cloud.land(step)
        self.cloud.servers[server_id].created_at = step.deadline
        return server_id

    def active(self) -> None:
        """A cluster of two servers in service."""
        op = self.journal.begin(CLUSTER, OperationKind.CREATE, self.cloud.name)
        for number in range(2):
            with op.create_server("worker", f"w{number}") as step:
                step.created(self.cloud.create_server(step))
        with op.start(["vm-1", "vm-2"]):
            pass
        op.succeed()
        self.clock.sleep(300)

    def rollback(self) -> Any:
        return rollback_cluster(self.other, self.cloud, CLUSTER)


@pytest.fixture
def world() -> World:
    return World()


def test_a_create_whose_answer_was_lost_is_found_by_its_mark_and_deleted(world: World) -> None:
    world.crashed_create(lost=True)
    report = world.rollback()
    assert report.complete
    assert (report.cluster_status, sorted(report.deleted)) == (ClusterStatus.ERROR, ["vm-1", "vm-2"])
    assert world.cloud.servers == {}
    lost = next(step for step in world.history.creates.values() if step.ended_as(StepOutcome.FAILED))
    assert lost.completion is not None
    assert (lost.completion.server_id, lost.completion.reason) == ("vm-2", "found by its mark")
    (operation,) = world.history.operations.values()
    assert (operation.outcome, operation.cluster_status) == (OperationOutcome.ROLLED_BACK, ClusterStatus.ERROR)


def test_two_servers_of_one_step_are_both_deleted(world: World) -> None:
    (step,) = world.crashed_create(1)
    world.clock.sleep(-299)  # the client repeated its POST at once
    world.cloud.land(step)
    world.clock.sleep(299)
    assert sorted(world.rollback().deleted) == ["vm-1", "vm-2"]


def test_a_create_is_absent_only_after_its_deadline_and_two_listings(world: World) -> None:
    op = world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    with pytest.raises(CloudError), op.create_server("worker", "w0") as step:
        raise CloudError("no answer")
    report = rollback_cluster(world.journal, world.cloud, CLUSTER, owned=op.stream)
    assert report.complete
    observed = world.history.last_observed
    assert observed is not None
    assert observed.complete
    assert observed.began_at > step.deadline
    listings = [method for method, _ in world.cloud.calls if method.startswith("list")]
    assert listings == ["list_journal", "list_journal", "list_all", "list_all"]
    assert world.history.creates[step.id].ended_as(StepOutcome.ABSENT)


def test_an_unfiltered_listing_is_not_made_twice_where_nothing_is_in_doubt(world: World) -> None:
    world.crashed_create(2)
    world.rollback()
    listings = [method for method, _ in world.cloud.calls if method.startswith("list")]
    assert listings.count("list_all") == 1


def test_a_post_that_lands_between_the_listings_is_found(world: World) -> None:
    op = world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    with pytest.raises(CloudError), op.create_server("worker", "w0") as step:
        raise CloudError("no answer")
    world.clock.later(75, lambda: world.cloud.land(step))
    report = rollback_cluster(world.journal, world.cloud, CLUSTER, owned=op.stream)
    assert (report.complete, report.deleted) == (True, ("vm-1",))


def test_a_post_that_lands_after_the_rollback_is_swept_by_the_next(world: World) -> None:
    op = world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    with pytest.raises(CloudError), op.create_server("worker", "w0") as step:
        raise CloudError("no answer")
    rollback_cluster(world.journal, world.cloud, CLUSTER, owned=op.stream)
    world.cloud.land(step)
    report = world.rollback()
    assert (report.complete, report.deleted, report.cluster_status) == (True, ("vm-1",), ClusterStatus.ERROR)
    sweep = list(world.history.operations.values())[-1]
    assert (sweep.kind, sweep.outcome) == (OperationKind.SWEEP, OperationOutcome.SUCCEEDED)


def test_a_refused_create_is_looked_for_all_the_same(world: World) -> None:
    op = world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    with pytest.raises(Refused), op.create_server("worker", "w0") as step:
        world.cloud.land(step)
        raise Refused("HTTP 400, although Nova went on")
    report = rollback_cluster(world.journal, world.cloud, CLUSTER, owned=op.stream)
    assert (report.complete, report.deleted) == (True, ("vm-1",))


def test_a_second_rollback_appends_nothing_and_writes_nothing(world: World) -> None:
    world.crashed_create(lost=True)
    world.rollback()
    version, writes = world.history.version, len(world.cloud.writes)
    report = world.rollback()
    assert not report.changed
    assert (world.history.version, len(world.cloud.writes)) == (version, writes)


def test_a_dry_run_shows_the_plan_and_appends_nothing(world: World) -> None:
    world.crashed_create(lost=True)
    version = world.history.version
    planned = preview(world.other, world.cloud, CLUSTER).plan
    assert {v.id: v.verdict for v in planned.verdicts} == {"vm-1": VerdictName.NEW, "vm-2": VerdictName.NEW}
    assert world.history.version == version
    assert set(world.cloud.servers) == {"vm-1", "vm-2"}
    head = world.journal.store.head(CLUSTER)
    assert head is not None
    assert head.owner == "a"


def test_a_living_owner_is_left_alone_and_can_be_waited_for(world: World) -> None:
    world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    for refused in (world.rollback, lambda: preview(world.other, world.cloud, CLUSTER)):
        with pytest.raises(OwnerAlive, match="owned by a, whose lease lives until"):
            refused()
    assert world.cloud.calls == []
    told: list[str] = []
    report = rollback_cluster(world.other, world.cloud, CLUSTER, wait=True, progress=told.append)
    assert report.complete
    assert sum("waiting for the lease" in line for line in told) == 1


def test_a_hold_keeps_everything_until_it_is_released(world: World) -> None:
    world.crashed_create()
    world.journal.hold(CLUSTER, by="ops", reason="looking into it")
    for _ in range(2):
        report = world.rollback()
        assert not report.complete
        assert "hold stands, placed by ops" in report.problems[0]
        assert world.cloud.writes == [("create_server", "w0"), ("create_server", "w1")]
    version = world.history.version
    world.rollback()
    assert world.history.version == version
    world.clock.sleep(300)
    world.journal.release(CLUSTER, by="ops", reason="done")
    assert world.rollback().complete
    assert world.cloud.servers == {}


def test_a_hold_that_is_placed_while_deleting_stops_what_is_left(world: World) -> None:
    world.crashed_create(3)
    delete = world.cloud.delete

    def delete_then_hold(server_id: str, *kind: Any) -> Any:
        answer = delete(server_id, *kind)
        if server_id == "vm-1":
            world.journal.hold(CLUSTER, by="ops", reason="stop")
        return answer

    world.cloud.delete = delete_then_hold  # type: ignore[method-assign]  # the hold is placed at this very moment
    report = world.rollback()
    assert not report.complete
    assert report.deleted == ("vm-1",)
    assert set(world.cloud.servers) == {"vm-2", "vm-3"}


def test_a_hold_stops_all_but_what_is_under_way_in_other_threads(world: World) -> None:
    world.crashed_create(30)
    world.journal.threads = SystemThreads()
    world.journal.settings = attrs.evolve(world.journal.settings, deletes_at_once=5)
    delete, lock, asked = world.cloud.delete, threading.Lock(), []

    def delete_or_hold(server_id: str, *kind: Any) -> Any:
        with lock:
            asked.append(server_id)
            if len(asked) == 3:
                world.journal.hold(CLUSTER, by="ops", reason="stop")
        return delete(server_id, *kind)

    world.cloud.delete = delete_or_hold  # type: ignore[method-assign]  # the hold is placed at this very moment
    report = world.rollback()
    assert not report.complete
    assert 3 <= len(report.deleted) <= 5
    assert len(world.cloud.servers) == 30 - len(report.deleted)
    world.journal.release(CLUSTER, by="ops", reason="seen")
    assert world.rollback().complete


def test_marks_of_a_step_that_the_journal_does_not_have_hold_everything_until_somebody_looked(world: World) -> None:
    world.crashed_create()
    marks = Marks(world.journal.id, CLUSTER, uuid4())
    world.cloud.land(Step(world.journal.id, CLUSTER, marks.step or uuid4(), world.clock.now(), "forgotten"))
    report = world.rollback()
    assert not report.complete
    assert "lost history" in report.problems[0]
    assert len(world.cloud.servers) == 3
    world.clock.sleep(300)
    world.journal.release(CLUSTER, by="ops", reason="that server is known")
    report = world.rollback()
    assert sorted(report.deleted) == ["vm-1", "vm-2"]
    assert set(world.cloud.servers) == {"vm-3"}


def wrong_metadata(server: Any) -> None:
    server.metadata[STEP_KEY] = str(uuid4())


def no_marks(server: Any) -> None:
    server.tags.clear()
    for key in (JOURNAL_KEY, CLUSTER_KEY, STEP_KEY):
        server.metadata.pop(key)


def no_tags(server: Any) -> None:
    server.tags.clear()


def no_metadata(server: Any) -> None:
    server.metadata.clear()


@pytest.mark.parametrize(
    ("change", "told", "deleted"),
    [
        (no_tags, True, True),
        (no_metadata, True, True),
        (no_marks, True, False),
        (wrong_metadata, True, False),
        (no_metadata, False, False),
        (wrong_metadata, False, False),
    ],
)
def test_a_server_is_deleted_only_if_journal_and_marks_agree(
    world: World, change: Callable[[Any], None], told: bool, deleted: bool
) -> None:
    world.crashed_create(1, lost=not told)
    change(world.cloud.servers["vm-1"])
    report = world.rollback()
    assert report.complete == deleted
    assert ("vm-1" not in world.cloud.servers) == deleted
    if not deleted:
        assert "vm-1" in report.problems[0]
        assert report.cluster_status is ClusterStatus.ERROR
        assert world.history.unfinished is not None


@pytest.mark.parametrize(("change", "deleted"), [(no_marks, True), (wrong_metadata, False)])
def test_a_word_suffices_where_marks_are_gone_but_not_where_they_contradict(
    world: World, change: Callable[[Any], None], deleted: bool
) -> None:
    world.crashed_create(1)
    change(world.cloud.servers["vm-1"])
    world.rollback()
    world.clock.sleep(300)
    world.journal.resolve(CLUSTER, "vm-1", Word.UNNEEDED, by="ops", reason="it is ours")
    assert world.rollback().complete == deleted
    assert ("vm-1" not in world.cloud.servers) == deleted


def test_the_marks_are_read_again_where_the_listing_is_older_than_a_minute(world: World) -> None:
    world.crashed_create(1)
    world.journal.settings = attrs.evolve(world.journal.settings, settle_seconds=61)
    journal = Journal(
        world.journal.store, conductor="b", clock=world.clock, threads=SimulatedThreads(), settings=world.journal.settings
    )
    list_all = world.cloud.list_all

    def list_then_change() -> list[Found]:
        found = list_all()
        wrong_metadata(world.cloud.servers["vm-1"])
        return found

    world.cloud.list_all = list_then_change  # type: ignore[method-assign]  # somebody changes the marks at this very moment
    report = rollback_cluster(journal, world.cloud, CLUSTER)
    assert not report.complete
    assert set(world.cloud.servers) == {"vm-1"}


def test_an_adopted_server_is_deleted_with_the_cluster_if_its_marks_agree(world: World) -> None:
    world.active()
    adopted = world.cloud.land(Step(world.journal.id, CLUSTER, uuid4(), world.clock.now(), "old"))
    server = world.cloud.servers[adopted]
    server.tags, server.metadata = Marks(world.journal.id, CLUSTER, None).tags, Marks(world.journal.id, CLUSTER, None).metadata
    world.journal.adopt(CLUSTER, [AdoptedServer(adopted, "old", "worker")], world.cloud.name, by="ops", reason="")
    world.journal.request_deletion(CLUSTER, by="user")
    report = world.rollback()
    assert (report.complete, report.cluster_status) == (True, ClusterStatus.DELETED)
    assert world.cloud.servers == {}


def test_another_cloud_is_refused(world: World) -> None:
    world.crashed_create()
    elsewhere = SimulatedCloud(world.clock, name="RegionTwo/5f0c4d")
    with pytest.raises(WrongCloud, match="RegionOne/5f0c4d.*RegionTwo/5f0c4d"):
        rollback_cluster(world.other, elsewhere, CLUSTER)


def test_clocks_that_disagree_are_refused(world: World) -> None:
    world.crashed_create()
    version = world.history.version
    world.cloud.skew = timedelta(seconds=31)
    with pytest.raises(UnsuitableCloud, match="more than 30 seconds apart"):
        world.rollback()
    world.cloud.skew = timedelta(seconds=29)
    assert world.rollback().complete
    assert world.history.version > version


def test_a_cell_that_is_down_proves_nothing_and_the_operation_stays_open(world: World) -> None:
    world.crashed_create(2, lost=True)
    world.cloud.servers["vm-2"].cell_is_down = True
    report = world.rollback()
    assert not report.complete
    assert "in doubt" in report.problems[0]
    assert report.deleted == ("vm-1",)
    assert world.history.unfinished is not None
    world.cloud.servers["vm-2"].cell_is_down = False
    assert world.rollback().complete
    assert world.cloud.servers == {}


def test_an_unfiltered_listing_that_misses_what_a_down_cell_hides_from_the_others_proves_nothing(world: World) -> None:
    missed = iter([{"vm-2"}])
    world.cloud.on_listing = lambda: setattr(world.cloud, "hidden", next(missed, set()))
    world.crashed_create(2, lost=True)
    world.cloud.servers["vm-2"].cell_is_down = True
    assert "in doubt" in world.rollback().problems[0]
    world.cloud.servers["vm-2"].cell_is_down = False
    assert world.rollback().complete
    assert world.cloud.servers == {}


def test_a_project_of_several_pages_proves_nothing_absent_while_a_cell_may_be_down(world: World) -> None:
    world.crashed_create(3, lost=True)
    world.cloud.servers["vm-3"].cell_is_down = True
    world.cloud.page = 2
    report = world.rollback()
    assert not report.complete
    assert "is still in doubt: the cloud could not be seen whole" in report.problems[0]
    world.cloud.servers["vm-3"].cell_is_down = False
    assert world.rollback().deleted == ("vm-3",)
    assert world.rollback().complete


def test_an_operator_can_say_that_a_create_in_doubt_made_nothing(world: World) -> None:
    world.cloud.fails["create_server"] = [None, CloudError("it never arrived")]
    _, step = world.crashed_create(2)
    world.cloud.page = 0
    assert not world.rollback().complete
    world.journal.resolve_gone(CLUSTER, step.id, by="ops", reason="nobody has it")
    assert world.rollback().complete
    assert world.cloud.servers == {}


def test_a_delete_that_goes_to_error_is_recorded_and_tried_again(world: World) -> None:
    world.crashed_create(1)
    world.cloud.delete_goes_to_error = 1
    assert world.rollback().complete
    deletes = [step for step in world.history.steps.values() if isinstance(step.intent, DeleteServer)]
    assert [step.completion.outcome for step in deletes if step.completion] == [StepOutcome.FAILED, StepOutcome.SUCCEEDED]


def test_a_server_that_cannot_be_deleted_ends_the_attempt_and_the_operation_stays_open(world: World) -> None:
    world.crashed_create(2)
    world.cloud.fails["delete"] = [CloudRefused("HTTP 409: locked") for _ in range(6)]
    report = world.rollback()
    assert not report.complete
    assert len([call for call in world.cloud.calls if call[0] == "delete"]) == 6
    assert report.problems[0].endswith(": not deleted in 3 attempts: the cloud refused: HTTP 409: locked")
    assert world.history.errors[-1] == "; ".join(report.problems)
    assert world.rollback().complete


def test_a_server_that_stays_is_not_called_deleted(world: World) -> None:
    world.crashed_create(1)
    world.cloud.delete_seconds = 10_000
    report = world.rollback()
    assert not report.complete
    assert "still there 300 s after its delete" in report.problems[0]
    assert not [step for step in world.history.steps.values() if step.is_done_delete]
    world.clock.sleep(20_000)
    assert world.rollback().complete


def test_an_unknown_outcome_of_a_delete_is_settled_by_looking(world: World) -> None:
    world.crashed_create(1)
    world.cloud.fails["delete"] = [CloudError("HTTP 500")]
    world.cloud.delete_seconds = 1
    report = world.rollback()
    assert not report.complete, "the request never arrived"
    assert world.rollback().complete


def test_a_server_that_is_already_gone_is_recorded_as_absent(world: World) -> None:
    world.crashed_create(1)
    delete = world.cloud.delete

    def gone_before(server_id: str, *kind: Any) -> Any:
        world.cloud.servers.pop(server_id)
        return delete(server_id, *kind)

    world.cloud.delete = gone_before  # type: ignore[method-assign]  # somebody else deletes it at this very moment
    assert world.rollback().complete
    (step,) = (step for step in world.history.steps.values() if isinstance(step.intent, DeleteServer))
    assert step.ended_as(StepOutcome.ABSENT)


def test_a_known_server_that_no_listing_shows_is_looked_for_by_its_id(world: World) -> None:
    world.active()
    world.cloud.hidden = {"vm-2"}
    world.journal.request_deletion(CLUSTER, by="user")
    report = world.rollback()
    assert (report.complete, sorted(report.deleted), world.cloud.servers) == (True, ["vm-1", "vm-2"], {})


def test_a_delete_that_was_under_way_is_completed_as_absent_once_its_server_is_gone(world: World) -> None:
    world.active()
    op = world.journal.begin(CLUSTER, OperationKind.SCALE, world.cloud.name, victims=["vm-1"])
    with op.decommission(["vm-1"]):
        pass
    world.clock.sleep(1)
    step = DeleteServer(uuid4(), Stage.INFRASTRUCTURE, world.clock.now(), "vm-1")
    op.append(step)  # and the conductor dies once the cloud has it
    del world.cloud.servers["vm-1"]
    world.clock.sleep(300)
    report = world.rollback()
    assert (report.complete, report.deleted, report.cluster_status) == (True, (), ClusterStatus.ACTIVE)
    completion = world.history.steps[step.step].completion
    assert completion is not None
    assert (completion.outcome, completion.reason) == (StepOutcome.ABSENT, "the server is gone")


def test_a_users_deletion_of_a_quiet_cluster_is_carried_out_by_a_delete(world: World) -> None:
    world.active()
    world.journal.request_deletion(CLUSTER, by="user")
    report = world.rollback()
    assert (report.complete, report.cluster_status) == (True, ClusterStatus.DELETED)
    operation = list(world.history.operations.values())[-1]
    assert (operation.kind, operation.outcome) == (OperationKind.DELETE, OperationOutcome.SUCCEEDED)
    assert world.cloud.servers == {}


def test_an_operation_that_a_deletion_ended_says_so(world: World) -> None:
    world.journal.begin("c-1", OperationKind.CREATE, world.cloud.name)
    world.journal.request_deletion("c-1", by="user")
    world.rollback()
    assert [str(op.outcome) for op in world.history.operations.values()] == ["cancelled"]
    assert [op.reason for op in world.history.operations.values()] == ["the cluster's deletion was asked for"]


def test_a_word_to_keep_a_server_stands_against_the_deletion(world: World) -> None:
    world.active()
    world.journal.resolve(CLUSTER, "vm-1", Word.IN_SERVICE, by="ops", reason="the only copy")
    world.journal.request_deletion(CLUSTER, by="user")
    report = world.rollback()
    assert set(world.cloud.servers) == {"vm-1"}
    assert report.cluster_status is ClusterStatus.ERROR
    assert list(world.history.operations.values())[-1].outcome is OperationOutcome.FAILED
    version = world.history.version
    assert not world.rollback().changed
    assert world.history.version == version


def test_what_cannot_be_deleted_is_said_once_in_the_journal_and_each_time_in_the_report(world: World) -> None:
    world.crashed_create(1)
    world.cloud.servers["vm-1"].metadata[CLUSTER_KEY] = "another"
    first = world.rollback()
    assert (first.complete, first.cluster_status, world.cloud.writes) == (False, ClusterStatus.ERROR, [("create_server", "w0")])
    version = world.history.version
    again = world.rollback()
    assert (again.problems, world.history.version, again.changed) == (first.problems, version, False)
    world.cloud.servers["vm-1"].metadata[CLUSTER_KEY] = CLUSTER
    assert (world.rollback().complete, world.cloud.servers) == (True, {})


def test_a_sweep_that_cannot_delete_anything_is_not_begun(world: World) -> None:
    (step,) = world.crashed_create(1)
    world.rollback()
    world.repeated_post(step)
    world.cloud.servers["vm-2"].metadata.clear()
    assert not world.rollback().complete
    assert [operation.kind for operation in world.history.operations.values()] == [OperationKind.CREATE]


def test_a_sweep_that_meets_a_deletion_stays_open_until_everything_is_gone(world: World) -> None:
    (step,) = world.crashed_create(1)
    world.rollback()
    world.journal.settings = attrs.evolve(world.journal.settings, deletes_at_once=1)
    lost = [world.repeated_post(step), world.repeated_post(step)]
    world.cloud.fails["delete"] = [ConnectionAbortedError("the conductor that sweeps dies")]
    with pytest.raises(ConnectionAbortedError):
        world.rollback()
    world.clock.sleep(300)
    world.journal.request_deletion(CLUSTER, by="user")
    world.cloud.servers[lost[1]].metadata.clear()
    assert not world.rollback().complete
    sweep = list(world.history.operations.values())[-1]
    assert (sweep.kind, sweep.outcome) == (OperationKind.SWEEP, None)
    del world.cloud.servers[lost[1]]
    report = world.rollback()
    assert (report.complete, report.cluster_status, world.cloud.servers) == (True, ClusterStatus.DELETED, {})


# What arrives while a rollback is under way


def interposed(world: World, on: str, what: Callable[[], Any]) -> None:
    """Have something happen right before the cloud deletes a server, once."""
    delete, done = world.cloud.delete, []

    def intercepted(server_id: str, *kind: Any) -> Any:
        if server_id == on and not done:
            done.append(server_id)
            what()
        return delete(server_id, *kind)

    world.cloud.delete = intercepted  # type: ignore[method-assign]  # as another process would


def refuse() -> None:
    raise CloudRefused("409")


def test_a_hold_stops_what_is_left_even_if_the_delete_under_way_is_refused(world: World) -> None:
    world.crashed_create(3)
    interposed(world, "vm-1", lambda: [world.journal.hold(CLUSTER, by="ops", reason="stop"), refuse()])
    report = world.rollback()
    assert (report.complete, sorted(world.cloud.servers)) == (False, ["vm-1", "vm-2", "vm-3"])
    assert "a hold stands, placed by ops: stop" in report.problems[0]


def test_a_word_is_heeded_even_if_the_delete_under_way_found_nothing(world: World) -> None:
    world.crashed_create(2)

    def gone_and_told() -> None:
        del world.cloud.servers["vm-1"]
        world.journal.resolve(CLUSTER, "vm-2", Word.UNSAFE, by="ops", reason="data!")

    interposed(world, "vm-1", gone_and_told)
    world.rollback()
    assert list(world.cloud.servers) == ["vm-2"]


def test_a_thread_of_the_same_conductor_that_starts_a_server_is_heeded(world: World) -> None:
    world.active()
    op = world.journal.begin(CLUSTER, OperationKind.SCALE, world.cloud.name)
    for number in (3, 4):
        with op.create_server("worker", f"w{number}") as step:
            step.created(world.cloud.create_server(step))

    def start() -> None:
        with op.start(["vm-4"]):
            pass

    interposed(world, "vm-3", start)
    rollback_cluster(world.journal, world.cloud, CLUSTER, owned=op.stream)
    assert "vm-4" in world.cloud.servers


def test_a_hold_that_another_thread_has_read_already_is_heeded(world: World) -> None:
    world.crashed_create(3)
    stream = world.journal.stream(CLUSTER)

    def hold() -> None:
        world.other.hold(CLUSTER, by="ops", reason="stop")
        stream.refresh()

    interposed(world, "vm-1", hold)
    rollback_cluster(world.journal, world.cloud, CLUSTER, owned=stream)
    assert sorted(world.cloud.servers) == ["vm-2", "vm-3"]


@pytest.mark.parametrize("server_is_there", [True, False])
def test_what_is_appended_while_the_cloud_is_listed_is_read_before_anything_is_said(world: World, server_is_there: bool) -> None:
    world.active()
    world.rollback()
    if not server_is_there:
        world.cloud.servers.clear()
    world.clock.later(10, lambda: world.journal.request_deletion(CLUSTER, by="user"))
    report = world.rollback()
    assert (report.complete, report.cluster_status, world.cloud.servers) == (True, ClusterStatus.DELETED, {})


def test_a_hold_that_comes_while_the_cloud_is_listed_is_told(world: World) -> None:
    world.active()
    world.rollback()
    world.clock.later(10, lambda: world.journal.hold(CLUSTER, by="ops", reason="stop"))
    report = world.rollback()
    assert (report.complete, len(report.problems)) == (False, 1)


def test_a_word_that_comes_while_the_cloud_is_listed_does_not_end_the_rollback(world: World) -> None:
    world.crashed_create(2)
    world.clock.later(10, lambda: world.journal.resolve(CLUSTER, "vm-1", Word.UNSAFE, by="ops", reason="data"))
    assert world.rollback().deleted == ("vm-2",)


def test_a_living_lease_is_respected_even_if_it_is_ones_own(world: World) -> None:
    op = world.journal.begin(CLUSTER, OperationKind.CREATE, world.cloud.name)
    with op.create_server("worker", "w0") as step:
        step.created(world.cloud.create_server(step))
    with pytest.raises(OwnerAlive):
        rollback_cluster(world.journal, world.cloud, CLUSTER)
    assert list(world.cloud.servers) == ["vm-1"]


def test_an_interrupt_is_not_kept_waiting_for_deletes(world: World) -> None:
    world.crashed_create(2)
    world.cloud.delete_seconds = 200

    def interrupt() -> None:
        raise KeyboardInterrupt

    interposed(world, "vm-2", interrupt)
    before = world.clock.now()
    with pytest.raises(KeyboardInterrupt):
        world.rollback()
    assert (world.clock.now() - before).total_seconds() < 60


# What is left is told


def test_marks_that_could_not_be_read_leave_the_rollback_incomplete(world: World) -> None:
    world.crashed_create(1)
    world.cloud.fails["list_journal"] = [None, None, CloudError("502")]
    journal = Journal(
        world.journal.store, conductor="b", clock=world.clock, threads=SimulatedThreads(), settings=Settings(settle_seconds=61)
    )
    report = rollback_cluster(journal, world.cloud, CLUSTER)
    assert (report.complete, report.problems) == (False, ("server vm-1: its marks cannot be read",))
    assert world.history.errors[-1] == report.problems[0]


def test_errors_with_changing_texts_are_told_once_in_the_journal(world: World) -> None:
    world.crashed_create(1)
    journal = Journal(
        world.journal.store, conductor="b", clock=world.clock, threads=SimulatedThreads(), settings=Settings(settle_seconds=61)
    )
    versions = []
    for number in range(3):
        world.cloud.fails["list_journal"] = [None, None, *[CloudError(f"HTTP 500 (req-{number})")] * 5]
        assert not rollback_cluster(journal, world.cloud, CLUSTER).complete
        versions.append(world.history.version)
    assert versions[1:] == versions[:1] * 2


def test_lost_history_is_told_even_while_another_hold_stands(world: World) -> None:
    world.crashed_create()
    world.cloud.land(Step(world.journal.id, CLUSTER, uuid4(), world.clock.now(), "forgotten"))
    world.journal.hold(CLUSTER, by="ops", reason="maintenance")
    assert "lost history" in world.rollback().problems[0]
    world.clock.sleep(300)
    world.journal.release(CLUSTER, by="ops", reason="looked")
    assert world.rollback().complete


def test_lost_history_holds_even_if_the_first_rollback_died_before_it_could(world: World) -> None:
    world.active()
    world.rollback()
    world.cloud.land(Step(world.journal.id, CLUSTER, uuid4(), world.clock.now(), "forgotten"))
    observed = InventoryObserved(
        tuple(
            ObservedServer(s.id, s.name, s.status, s.created_at, None if s.marks is None else s.marks.step_id)
            for s in world.cloud.list_all()
        ),
        True,
        world.history.version,
        world.clock.now(),
        world.cloud.name,
    )
    world.journal.stream(CLUSTER).append(observed)
    assert not world.rollback().complete
    assert world.history.hold is not None


@pytest.mark.parametrize("left", ["metadata", "tag"])
def test_a_server_with_half_of_its_marks_is_told_and_not_called_absent(world: World, left: str) -> None:
    world.crashed_create(1, lost=True)
    server = world.cloud.servers["vm-1"]
    if left == "metadata":
        server.tags.clear()
        del server.metadata[JOURNAL_KEY]
    else:
        server.metadata.clear()
        server.tags.pop(0)
    report = world.rollback()
    assert (report.complete, list(world.cloud.servers)) == (False, ["vm-1"])
    assert report.problems[0].startswith("server vm-1: its marks are gone, or some of them")
    assert report.problems[0].endswith("; mark it again: `provjournal adopt c-1 --server vm-1`")


def test_of_a_server_with_anothers_marks_it_is_told_how_to_replace_them(world: World) -> None:
    world.crashed_create(1)
    world.cloud.servers["vm-1"].metadata[JOURNAL_KEY] = str(uuid4())
    report = world.rollback()
    assert (report.complete, list(world.cloud.servers)) == (False, ["vm-1"])
    assert report.problems[0].startswith("server vm-1: its marks contradict the journal")
    assert report.problems[0].endswith("; mark it again: `provjournal adopt c-1 --server vm-1 --replace-marks`")


def test_a_deletion_with_nothing_left_to_delete_ends_too(world: World) -> None:
    world.active()
    world.cloud.servers.clear()
    world.journal.request_deletion(CLUSTER, by="user")
    assert world.rollback().cluster_status is ClusterStatus.DELETED
    assert world.history.deleted is not None
    with pytest.raises(OutOfOrder):
        world.other.begin(CLUSTER, OperationKind.SCALE, world.cloud.name)
    version = world.history.version
    assert (world.rollback().complete, world.history.version) == (True, version)


def test_a_server_of_another_cluster_that_was_adopted_by_mistake_is_not_deleted(world: World) -> None:
    world.active()
    world.cloud.servers["vm-1"].metadata.clear()
    adopted = AdoptedServer("vm-1", "w0", "worker")
    world.journal.adopt("c-2", [adopted], world.cloud.name, by="ops", reason="by mistake")
    world.journal.request_deletion("c-2", by="user")
    report = rollback_cluster(world.other, world.cloud, "c-2")
    assert (report.complete, sorted(world.cloud.servers)) == (False, ["vm-1", "vm-2"])


def test_observations_that_teach_nothing_are_not_appended(world: World) -> None:
    world.active()
    world.rollback()
    observed = [e for e in world.journal.store.read(CLUSTER) if isinstance(e.data, InventoryObserved)]
    world.rollback()
    assert [e for e in world.journal.store.read(CLUSTER) if isinstance(e.data, InventoryObserved)] == observed
    world.cloud.servers.pop("vm-2")
    world.rollback()
    assert len([e for e in world.journal.store.read(CLUSTER) if isinstance(e.data, InventoryObserved)]) == len(observed) + 1


def test_every_compensated_operation_ends_once(world: World) -> None:
    world.crashed_create()
    world.rollback()
    ends = [e for e in world.journal.store.read(CLUSTER) if isinstance(e.data, OperationFinished)]
    assert len(ends) == 1
    head = world.journal.store.head(CLUSTER)
    assert head is not None
    assert head.owner is None


def test_a_journal_restored_from_an_old_backup_deletes_nothing_and_says_what_it_lacks(tmp_path: Path) -> None:
    world, file = World(SimulatedClock(datetime.now(UTC) - timedelta(seconds=300))), tmp_path / "journal.db"
    url = f"sqlite:///{file}"
    world.journal = Journal(open_store(url, upgrade=True), conductor="a", clock=world.clock, threads=SimulatedThreads())
    world.active()
    world.journal.store.close()
    backup = file.read_bytes()
    world.journal = Journal(open_store(url), conductor="a", clock=world.clock, threads=SimulatedThreads())
    op = world.journal.begin(CLUSTER, OperationKind.SCALE, world.cloud.name)
    with op.create_server("worker", "w9") as step:
        step.created(world.cloud.create_server(step))
    world.journal.store.close()
    file.write_bytes(backup)
    world.journal = Journal(open_store(url), conductor="a", clock=world.clock, threads=SimulatedThreads())
    with pytest.raises(JournalRegressed, match="delete nothing"):
        op.succeed()
    world.journal.request_deletion(CLUSTER, by="user")
    report = world.rollback()
    assert (report.complete, sorted(world.cloud.servers)) == (False, ["vm-1", "vm-2", "vm-3"])
    assert f"server vm-3 carries this cluster's mark with step {step.id}, which the journal does not have" in report.problems[0]
    world.journal.store.close()


@pytest.mark.parametrize("look", [rollback_cluster, preview])
def test_nothing_is_deleted_on_the_word_of_an_event_that_was_changed(tmp_path: Path, look: Callable[..., Any]) -> None:
    world, file = World(SimulatedClock(datetime.now(UTC) - timedelta(seconds=300))), tmp_path / "journal.db"
    store = open_store(f"sqlite:///{file}", upgrade=True)
    world.journal = Journal(
        store, conductor="a", clock=world.clock, threads=SimulatedThreads(), settings=Settings(lease_seconds=0)
    )
    world.active()
    op = world.journal.begin(CLUSTER, OperationKind.SCALE, world.cloud.name)
    with op.create_server("worker", "w9") as step:
        step.created(world.cloud.create_server(step))
    connection = sqlite3.connect(file)
    connection.executescript(
        """DROP TRIGGER events_refuse_UPDATE;
        UPDATE events SET data = replace(data, '"kind":"scale"', '"kind":"create"') WHERE type = 'operation_started'"""
    )
    connection.close()
    world.clock.sleep(300)
    before = world.journal.stream(CLUSTER).version
    with pytest.raises(DamagedStream, match="the event was changed"):
        look(world.other, world.cloud, CLUSTER)
    assert sorted(world.cloud.servers) == ["vm-1", "vm-2", "vm-3"]
    assert world.journal.stream(CLUSTER).version == before
    store.close()
