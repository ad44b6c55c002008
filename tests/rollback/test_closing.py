"""What a compensation records: until when there is doubt, what settles a step, how a delete and an operation end."""

import pytest

from journal.events import FOUND_BY_MARK, SOFTLY_DELETED, Completion, OperationOutcome, ResourceKind, StepOutcome
from projections.fold import fold
from rollback.closing import end_of_delete, latest_doubt, outcome, reason_of_end, settled_steps
from rollback.cloud import Found
from rollback.plan import plan
from rollback.testing.histories import HistoryBuilder


@pytest.fixture
def made() -> HistoryBuilder:
    """A cluster of one server, whose deletion has moved its data off."""
    made = HistoryBuilder().create()
    made.create_server("w1").succeeded()
    made.finish().delete()
    return made.decommission("id-w1").succeeded()


def end(made: HistoryBuilder) -> OperationOutcome:
    history = fold(made.events)
    assert history.unfinished is not None
    return outcome(history, history.unfinished, plan(history))


def test_a_delete_whose_victim_was_deleted_has_succeeded(made: HistoryBuilder) -> None:
    assert end(made.delete_server("id-w1").succeeded()) is OperationOutcome.SUCCEEDED


def test_a_delete_whose_victim_went_by_itself_has_succeeded(made: HistoryBuilder) -> None:
    assert end(made.observe({})) is OperationOutcome.SUCCEEDED


def test_a_delete_has_not_succeeded_where_the_last_delete_of_a_victim_failed(made: HistoryBuilder) -> None:
    """The victim is gone all the same, but the journal refuses such an end."""
    made.delete_server("id-w1").failed()
    assert end(made.observe({})) is OperationOutcome.CANCELLED


def test_what_failed_before_the_last_delete_of_a_victim_does_not_matter(made: HistoryBuilder) -> None:
    made.delete_server("id-w1").failed()
    made.delete_server("id-w1", by_rollback=True).succeeded()
    assert end(made) is OperationOutcome.SUCCEEDED
    made.finish("succeeded")


def test_the_last_delete_is_the_one_that_was_completed_last(made: HistoryBuilder) -> None:
    slow = made.delete_server("id-w1")
    made.delete_server("id-w1", by_rollback=True).succeeded()
    slow.failed()
    assert end(made.observe({})) is OperationOutcome.CANCELLED


def test_a_delete_of_which_something_is_unfinished_has_not_succeeded(made: HistoryBuilder) -> None:
    made.custom("tell the user", may_hold_data=False)
    assert end(made.delete_server("id-w1").succeeded()) is OperationOutcome.CANCELLED


@pytest.fixture
def swept() -> HistoryBuilder:
    """A sweep of what landed late."""
    swept = HistoryBuilder().create()
    swept.create_server("w1").failed()
    return swept.finish("failed").observe({"id-w1": "w1"}).sweep()


def test_a_sweep_whose_deletes_are_done_has_succeeded(swept: HistoryBuilder) -> None:
    swept.delete_server("id-w1", by_rollback=True).succeeded()
    assert end(swept) is OperationOutcome.SUCCEEDED
    history = fold(swept.events)
    assert history.unfinished is not None
    assert reason_of_end(history, history.unfinished) == "what nobody asked for was deleted"
    swept.finish()


def test_a_sweep_whose_delete_was_left_unfinished_because_a_person_wants_the_server_has_failed(swept: HistoryBuilder) -> None:
    swept.delete_server("id-w1", by_rollback=True)
    assert end(swept.resolve("id-w1", "in_service")) is OperationOutcome.FAILED
    swept.finish("failed")


# Steps


def test_there_is_doubt_until_the_deadline_of_the_last_create_of_which_nobody_knows() -> None:
    made = HistoryBuilder().create()
    made.create_server("known")
    absent = made.create_server("absent")
    first, last = made.create_server("first"), made.wait(9).create_server("last")
    named, told = made.wait(9).create_server("named"), made.create_server("told")
    made.observe({"id-known": "known"}, complete=False)
    absent.absent()
    named.succeeded()
    told.failed(made="id-told")
    assert latest_doubt(fold(made.events)) == last.intent.deadline
    last.absent()
    first.failed()
    assert latest_doubt(fold(made.events)) == first.intent.deadline
    assert latest_doubt(fold(made.observe({"id-known": "known", "id-first": "first"}).events)) is None


def test_an_observation_settles_what_it_found_and_what_it_did_not() -> None:
    made = HistoryBuilder().adopt("vm-1").create()
    creates = [made.create_server(name) for name in ("found", "absent", "adopted")]
    made.custom("in flight", may_hold_data=False)
    made.wait(300).observe({"id-found": "found", "vm-1": "adopted"})
    assert [completion for _, completion in settled_steps(fold(made.events))] == [
        Completion(creates[0].id, StepOutcome.FAILED, "id-found", FOUND_BY_MARK),
        Completion(creates[1].id, StepOutcome.ABSENT, None, "nothing carries its mark"),
        Completion(creates[2].id, StepOutcome.FAILED, None, FOUND_BY_MARK),
    ]


SERVER, VOLUME = ResourceKind.SERVER, ResourceKind.VOLUME


@pytest.mark.parametrize(
    ("status", "kind", "is_deleting", "ended"),
    [
        ("DELETED", SERVER, False, (StepOutcome.SUCCEEDED, None)),
        ("SOFT_DELETED", SERVER, False, (StepOutcome.SUCCEEDED, SOFTLY_DELETED)),
        ("ACTIVE", SERVER, True, None),
        ("ERROR", SERVER, True, None),
        ("ERROR", SERVER, False, (StepOutcome.FAILED, "the server went to ERROR while it was deleted")),
        ("ERROR", VOLUME, False, None),
    ],
)
def test_what_the_cloud_shows_ends_a_delete(
    status: str, kind: ResourceKind, ended: tuple[StepOutcome, str | None] | None, *, is_deleting: bool
) -> None:
    assert end_of_delete(Found("x", None, status, None, None, is_deleting, kind)) == ended
