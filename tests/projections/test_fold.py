"""What a history keeps of its events, beside what verdicts ask."""

from journal.events import ObservedResource, OperationOutcome, ResourceKind
from projections.fold import fold
from rollback.testing import HistoryBuilder


def test_a_sighting_has_the_name_and_the_status_that_were_shown() -> None:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    port = ObservedResource(ResourceKind.PORT, "port-1", "p", "DOWN", None, None, ("id-w1",))
    resources = fold(history.observe({"id-w1": "w1"}, status={"id-w1": "BUILD"}, others=[port]).events).resources
    shown = {id_: (resource.sightings[-1].name, resource.sightings[-1].status) for id_, resource in resources.items()}
    assert shown == {"id-w1": ("w1", "BUILD"), "port-1": ("p", "DOWN")}


def test_what_a_delete_took_over_is_cancelled_with_its_end() -> None:
    history = HistoryBuilder().create().delete().finish("failed")
    assert [operation.outcome for operation in fold(history.events).operations.values()] == [
        OperationOutcome.CANCELLED,
        OperationOutcome.FAILED,
    ]


def test_a_server_has_the_node_group_that_it_was_created_in() -> None:
    history = HistoryBuilder().create()
    history.create_server("m1", node_group="master").succeeded()
    assert fold(history.events).resources["id-m1"].node_group == "master"


def test_an_operation_began_when_its_first_event_was_recorded() -> None:
    history = HistoryBuilder().create()
    (began,) = history.events
    (operation,) = fold(history.events).operations.values()
    assert operation.started_at == began.recorded_at


def test_a_cluster_belongs_to_who_took_it_last_and_to_nobody_once_its_deletion_was_asked_for() -> None:
    history = HistoryBuilder().create()
    assert fold(history.events).owner == "conductor-a"
    assert fold(history.take("conductor-b").events).owner == "conductor-b"
    assert fold(history.request_deletion().events).owner is None


def test_errors_are_told_until_something_else_than_a_sweep_begins_anew() -> None:
    history = HistoryBuilder().create().error("no quota")
    assert fold(history.delete().events).errors == ["no quota"]
    assert fold(history.finish("failed", "Error").sweep().events).errors == ["no quota"]
    assert fold(history.finish().delete().events).errors == []


def test_a_step_is_open_until_it_is_completed_or_its_operation_ends() -> None:
    history = HistoryBuilder().create()
    done, lost = history.create_server("w1"), history.create_server("w2")
    history.delete()
    done.succeeded()
    assert list(fold(history.events).open_steps) == [lost.id]
    ended = fold(history.finish("failed").events)
    assert (list(ended.open_steps), list(ended.steps)) == ([], [done.id, lost.id])
    assert [ended.step(step.id).id for step in (done, lost)] == [done.id, lost.id]
