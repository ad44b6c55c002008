"""What a person chooses for one rollback: how many servers, which ones, and by which plan."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.events import ClusterStatus, OperationKind, OperatorResolved, PlanAction, Word
from journal.files import read_file
from journal.journal import Journal
from journal.memory import MemoryStore
from projections.fold import History, fold
from rollback.choice import Choice, Most, differences, expected
from rollback.compensator import Report, preview, rollback_cluster
from rollback.errors import ChoiceRefused
from rollback.plan import Plan, plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.histories import HistoryBuilder
from rollback.testing.threads import SimulatedThreads

GOLDEN = Path(__file__).parent.parent / "golden" / "plans"


@attrs.define
class World:
    """A create of some servers whose conductor died."""

    servers: int = 4
    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    journal: Journal = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock, threads=SimulatedThreads())
        op = self.journal.begin("c-1", OperationKind.CREATE, self.cloud.name)
        for number in range(self.servers):
            op.create_server("worker", f"w{number}").run(lambda step: step.created(self.cloud.create_server(step)))
        self.clock.sleep(300)

    def rollback(self, **choice: Any) -> Report:
        return rollback_cluster(self.journal, self.cloud, "c-1", choice=Choice(**choice, by="ops", reason="let me look"))

    def preview(self, **choice: Any) -> Plan:
        return preview(self.journal, self.cloud, "c-1", choice=Choice(**choice, by="ops")).plan

    @property
    def version(self) -> int:
        return self.journal.stream("c-1").version

    @property
    def there(self) -> set[str]:
        return set(self.cloud.servers)

    @property
    def words(self) -> list[OperatorResolved]:
        return [event.data for event in self.journal.store.read("c-1") if isinstance(event.data, OperatorResolved)]


@pytest.fixture
def world() -> World:
    return World()


# How many


@pytest.mark.parametrize(("most", "number"), [("0", 0), ("3", 3), ("25%", 1), ("74%", 2), ("100%", 4), ("0%", 0)], ids=str)
def test_a_limit_is_a_number_or_a_share(most: str, number: int) -> None:
    assert Most.read(most).of(4) == number
    assert str(Most.read(most)) == most


@pytest.mark.parametrize("text", ["", "x", "1.5", "%"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="could not|invalid|convert"):
        Most.read(text)


@pytest.mark.parametrize("text", ["-1", "-1%", "101%", "nan%"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^expected a number, or a share of at most 100%$"):
        Most.read(text)


@pytest.mark.parametrize("most", ["3", "75%", "0"])
def test_a_plan_that_deletes_more_than_it_may_deletes_nothing(world: World, most: str) -> None:
    report = world.rollback(most=Most.read(most))
    assert not report.complete
    assert f"4 servers are to be deleted, more than the {Most.read(most).of(4)} that --max-deletions {most}" in report.problems[0]
    assert len(report.problems) == 1
    assert len(world.there) == 4
    version = world.version
    assert world.rollback(most=Most.read(most)).problems == report.problems
    assert world.version == version, "saying it once is enough"
    assert world.rollback(most=Most(4)).complete
    assert world.there == set()


def test_what_was_deleted_before_somebody_appended_counts(world: World) -> None:
    world.journal.settings = attrs.evolve(world.journal.settings, deletes_at_once=1)
    delete = world.cloud.delete

    def delete_and_say(server_id: str, *kind: Any) -> Any:
        answer = delete(server_id, *kind)
        if server_id == "vm-1":
            world.journal.resolve("c-1", "vm-4", Word.UNSAFE, by="ops", reason="mine")
        if server_id == "vm-2":
            world.journal.resolve("c-1", "vm-4", Word.UNNEEDED, by="ops", reason="not mine")
        return answer

    world.journal.resolve("c-1", "vm-4", Word.UNSAFE, by="ops", reason="mine")
    world.cloud.delete = delete_and_say  # type: ignore[method-assign]  # as another process would
    report = world.rollback(most=Most(3))
    assert sorted(report.deleted) == ["vm-1", "vm-2"]
    assert "4 servers are to be deleted, more than the 3" in report.problems[0]
    assert world.there == {"vm-3", "vm-4"}


def test_by_default_as_many_are_deleted_as_the_operation_created_and_declared() -> None:
    world = World(2)
    op = world.journal.begin("c-2", OperationKind.CREATE, world.cloud.name)
    made = [op.create_server("w", name).run(lambda step: step.created(world.cloud.create_server(step))) for name in "abc"]
    op.succeed()
    op.release()
    assert expected(fold(world.journal.store.read("c-2"))) == 0
    victim = str(made[0].server_id)
    op = world.journal.begin("c-2", OperationKind.SCALE, world.cloud.name, victims=[victim])
    with op.decommission([victim]):
        pass
    world.clock.sleep(300)
    report = rollback_cluster(world.journal, world.cloud, "c-2")
    assert (report.complete, report.deleted) == (True, (victim,))


def test_what_no_create_made_and_nobody_spoke_of_is_not_expected_to_be_deleted() -> None:
    made = HistoryBuilder().adopt("vm-1", "vm-2")
    assert expected(fold(made.events)) == 0
    assert expected(fold(made.resolve("vm-1", "unneeded").events)) == 1


def test_what_was_deleted_already_counts_against_what_the_operation_created() -> None:
    made = HistoryBuilder().create()
    made.create_server("w").succeeded()
    history = fold(made.events)
    assert Choice().objection(history, plan(history), ["id-w"]) is None
    assert Choice().objection(history, plan(history), ["id-v"]) == (
        "2 servers are to be deleted, more than the 1 that the operation created or declared. To allow it: --max-deletions 2"
    )


def test_a_share_is_of_what_is_there() -> None:
    made = HistoryBuilder().create()
    for name in "abcd":
        made.create_server(name).succeeded()
    for name in "ab":
        made.delete_server(f"id-{name}").succeeded()
    history = fold(made.events)
    for most, refused in ((Most(percent=100), False), (Most(percent=99), True), (Most(percent=50), True)):
        assert (Choice(most).objection(history, plan(history), ()) is not None) is refused


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl")), ids=lambda path: path.stem)
def test_by_default_no_right_plan_is_refused(path: Path) -> None:
    histories: dict[str, History] = {}
    for event in read_file(path):
        histories.setdefault(event.stream, History()).apply(event)
    for history in histories.values():
        assert Choice().objection(history, plan(history), ()) is None


# Which ones


def test_what_is_to_be_kept_is_kept_and_recorded_as_an_operators_word(world: World) -> None:
    assert [verdict.id for verdict in world.preview(keep=["vm-2"]).kept] == ["vm-2"]
    assert world.words == []
    report = world.rollback(keep=["vm-2"])
    assert (report.complete, world.there) == (True, {"vm-2"})
    assert [(word.server_id, word.verdict, word.by, word.reason) for word in world.words] == [
        ("vm-2", Word.UNSAFE, "ops", "let me look")
    ]
    assert world.rollback().complete
    assert world.there == {"vm-2"}


def test_only_what_was_named_is_deleted(world: World) -> None:
    report = world.rollback(only=["vm-3"])
    assert (report.complete, report.deleted) == (True, ("vm-3",))
    assert {word.server_id for word in world.words} == world.there == {"vm-1", "vm-2", "vm-4"}


def test_what_is_kept_stands_against_a_deletion(world: World) -> None:
    world.journal.request_deletion("c-1", by="user")
    report = world.rollback(keep=["vm-2"])
    assert (report.cluster_status, world.there) == (ClusterStatus.ERROR, {"vm-2"})


def test_a_server_that_turns_up_meanwhile_is_not_deleted_where_others_were_named(world: World) -> None:
    server = world.cloud.servers["vm-1"]
    twin = attrs.evolve(server, id="vm-9", created_at=server.created_at)
    world.clock.later(29, lambda: world.cloud.servers.update({"vm-9": twin}))
    assert world.rollback(only=["vm-3"]).deleted == ("vm-3",)
    assert "vm-9" in world.there


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"only": ["vm-7"]}, r"the plan says nothing of vm-7\. Nothing was changed\.$"),
        ({"keep": ["vm-7", "vm-8"]}, r"the plan says nothing of vm-7, vm-8\. Nothing was changed\.$"),
        ({"only": ["vm-1"]}, "the plan does not delete all of what was named.*\n  server vm-1: keep .unsafe., because"),
    ],
)
def test_a_choice_that_does_not_fit_the_plan_changes_nothing(world: World, choice: dict[str, Any], said: str) -> None:
    world.journal.resolve("c-1", "vm-1", Word.UNSAFE, by="ops", reason="mine")
    version = world.version
    for attempt in (world.preview, world.rollback):
        with pytest.raises(ChoiceRefused, match=f"^Cluster 'c-1': {said}") as refused:
            attempt(**choice)
        assert refused.value.cluster == "c-1"
    assert (world.version, len(world.there)) == (version, 4)


def test_somebody_must_have_chosen() -> None:
    with pytest.raises(ValueError, match="^say who chose .*person's word$"):
        Choice(keep=["vm-1"])


# By which plan


def test_the_plan_that_was_looked_at_is_what_is_done(world: World) -> None:
    looked_at = world.preview().as_event()
    report = world.rollback(plan=looked_at)
    assert (report.complete, len(report.deleted)) == (True, 4)


def test_a_plan_that_was_looked_at_can_hold_what_is_to_be_kept(world: World) -> None:
    looked_at = world.preview(keep=["vm-2"]).as_event()
    with pytest.raises(ChoiceRefused, match=r"server vm-2: keep \(unsafe\) → delete \(new\)"):
        world.rollback(plan=looked_at)
    assert world.rollback(plan=looked_at, keep=["vm-2"]).complete
    assert world.there == {"vm-2"}


def test_another_plan_is_refused_and_the_difference_shown(world: World) -> None:
    looked_at = world.preview().as_event()
    world.journal.resolve("c-1", "vm-2", Word.UNSAFE, by="ops", reason="mine")
    del world.cloud.servers["vm-4"]
    version = world.version
    with pytest.raises(ChoiceRefused) as refused:
        world.rollback(plan=looked_at)
    assert str(refused.value).splitlines() == [
        "Cluster 'c-1': the plan is not the one that was looked at. Nothing was changed.",
        "  server vm-2: delete (new) → keep (unsafe)",
        "  server vm-4: delete (new) → none (gone)",
    ]
    assert (world.version, world.there) == (version, {"vm-1", "vm-2", "vm-3"})


def test_all_that_was_not_looked_at_is_named() -> None:
    made = HistoryBuilder().create()
    looked_at = plan(fold(made.events)).as_event()
    for name in "ba":
        made.create_server(name).succeeded()
    history = fold(made.events)
    objection = Choice(plan=looked_at).objection(history, plan(history), ())
    assert objection == "the plan that was looked at does not delete id-a, id-b"


@pytest.mark.parametrize(("confirmed", "left"), [(None, ""), ([], "ab"), (["id-a"], "b"), (["id-a", "id-b", "id-c"], "")])
def test_where_somebody_was_asked_what_he_did_not_confirm_is_not_deleted(confirmed: list[str] | None, left: str) -> None:
    made = HistoryBuilder().create()
    for name in "ab":
        made.create_server(name).succeeded()
    due = plan(fold(made.events)).having(PlanAction.DELETE)
    assert Choice(confirmed=confirmed).unconfirmed(due) == {f"id-{name}" for name in left}


def test_what_only_one_of_two_plans_has_is_a_difference_too() -> None:
    made = HistoryBuilder().create()
    found = made.create_server("found")
    made.create_server("in flight")
    before = plan(fold(made.events))
    after = plan(fold(made.observe({"id-found": "found"}, complete=False).events))
    assert sorted(differences(before.as_event(), after)) == [
        f"create {found.id}: find (in_doubt) → not in the plan",
        "server id-found: not in the plan → delete (new)",
    ]


def test_what_the_plan_came_to_meanwhile_is_not_carried_out(world: World) -> None:
    world.journal.resolve("c-1", "vm-2", Word.UNSAFE, by="ops", reason="mine")
    looked_at = world.preview().as_event()
    world.journal.settings = attrs.evolve(world.journal.settings, deletes_at_once=1)
    delete = world.cloud.delete

    def delete_and_say(server_id: str, *kind: Any) -> Any:
        if server_id == "vm-1":
            world.journal.resolve("c-1", "vm-2", Word.UNNEEDED, by="ops", reason="not mine")
        return delete(server_id, *kind)

    world.cloud.delete = delete_and_say  # type: ignore[method-assign]  # as another process would
    report = world.rollback(plan=looked_at)
    assert report.problems == ("the plan that was looked at does not delete vm-2",)
    assert "vm-2" in world.there


@given(
    servers=st.integers(0, 6),
    most=st.one_of(st.none(), st.builds(Most, st.integers(0, 8)), st.builds(Most, percent=st.integers(0, 100))),
    keep=st.sets(st.integers(1, 6)),
    only=st.sets(st.integers(1, 6)),
)
def test_no_choice_ever_deletes_more_or_others_than_it_says(
    servers: int, most: Most | None, keep: set[int], only: set[int]
) -> None:
    world = World(servers)
    before = world.there
    named = {f"vm-{number}" for number in only}
    kept = {f"vm-{number}" for number in keep}
    try:
        world.rollback(most=most, keep=kept, only=named)
    except ChoiceRefused:
        assert world.there == before
        assert not (named | kept) <= before
        return
    deleted = before - world.there
    assert not deleted & kept
    assert not named or deleted <= named
    assert deleted in (set(), (named or before) - kept)
    assert most is None or len(deleted) <= most.of(servers)
