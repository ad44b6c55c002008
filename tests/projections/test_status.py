"""What people are shown of a cluster, of its operations and of its steps."""

import attrs

from journal.events import Configure
from projections.fold import History, fold
from projections.status import operation_outcome, past_status, shown_status, step_outcome
from projections.users import named
from projections.verdicts import verdicts
from rollback.testing import HistoryBuilder


def running() -> HistoryBuilder:
    """A cluster is being made: one server is known, of the other nothing."""
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    history.create_server("w2")
    return history


def active() -> HistoryBuilder:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    return history.finish()


def shown(history: History) -> tuple[str, str, str]:
    """With a living owner, without one, and as it was at a point of the past."""
    return shown_status(history, owner_alive=True), shown_status(history, owner_alive=False), past_status(history)


def test_an_unfinished_operation_runs_under_a_living_owner_and_is_an_error_without_one() -> None:
    assert shown(fold(running().events)) == ("running (create)", "Error", "unfinished (create)")


def test_a_cluster_at_rest_is_what_it_ended_as_whoever_owns_it() -> None:
    assert shown(fold(active().events)) == ("Active", "Active", "Active")


def test_a_cluster_at_rest_with_something_left_to_do_is_an_error() -> None:
    assert shown(fold(active().resolve("id-w1", "unneeded").events)) == ("Error", "Error", "Error")


def test_a_cluster_without_anything_is_deleted_once_that_was_asked_for() -> None:
    assert shown(fold(HistoryBuilder().create().finish().request_deletion().events)) == ("Deleted", "Deleted", "Deleted")


def test_what_has_no_name_is_told_by_its_id() -> None:
    history = HistoryBuilder().create().finish()
    history.observe({"vm-9": None})
    (verdict,) = verdicts(fold(history.events))
    assert attrs.evolve(verdict, name="").about == "server vm-9"


def test_a_scale_that_failed_at_work_is_why_what_it_made_is_kept() -> None:
    """The first step at work is the evidence, where none of them covered what was made."""
    history = active().scale()
    history.create_server("w2").succeeded()
    history.configure("id-w1").succeeded()
    history.start("id-w1")
    kept = next(verdict for verdict in verdicts(fold(history.events)) if verdict.id == "id-w2")
    at_work = next(event.version for event in history.events if isinstance(event.data, Configure))
    assert (kept.row, at_work in kept.evidence, history.events[-1].version in kept.evidence) == (11, True, False)


def test_an_operation_ended_was_taken_over_runs_or_does_not() -> None:
    unfinished = next(iter(fold(running().events).operations.values()))
    assert operation_outcome(unfinished, owner_alive=True) == "running"
    assert operation_outcome(unfinished, owner_alive=False) == "unfinished"
    ended = next(iter(fold(active().events).operations.values()))
    assert operation_outcome(ended, owner_alive=True) == "succeeded"
    taken = fold(running().delete().finish("failed").events)
    assert [operation_outcome(op, owner_alive=True) for op in taken.operations.values()] == ["taken over", "failed"]


def test_a_step_ended_is_unfinished_or_never_finished() -> None:
    steps = fold(running().events).steps.values()
    assert [step_outcome(step) for step in steps] == ["succeeded", "unfinished"]
    steps = fold(running().delete().finish("failed").events).steps.values()
    assert [step_outcome(step) for step in steps] == ["succeeded", "never finished"]


def test_a_user_is_named_by_what_it_is() -> None:
    assert named("id-w1") == "server id-w1"
    assert named("host h1") == "host h1"
