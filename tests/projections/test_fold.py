"""What a history keeps of its events, beside what verdicts ask."""

import pytest

from journal.events import InventoryObserved, ObservedResource, ObservedServer, OperationOutcome, ResourceKind
from projections.fold import fold
from rollback.testing import HistoryBuilder


def test_a_sighting_has_the_name_and_the_status_that_were_shown() -> None:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    port = ObservedResource(ResourceKind.PORT, "port-1", "p", "DOWN", None, None, ("id-w1",))
    found = fold(history.observe({"id-w1": "w1"}, status={"id-w1": "BUILD"}, others=[port]).events)
    shown = {id_: [(seen.row.name, seen.status) for seen in found.sightings(each)] for id_, each in found.resources.items()}
    assert shown == {"id-w1": [("w1", "BUILD")], "port-1": [("p", "DOWN")]}


@pytest.mark.parametrize("statuses", [("DELETED", "ERROR"), ("ERROR", "DELETED"), ("ERROR", "ACTIVE")])
def test_what_one_listing_shows_twice_is_there_if_it_says_so_once(statuses: tuple[str, str]) -> None:
    history = HistoryBuilder().create()
    servers = tuple(ObservedServer("id-w1", "w1", status, None, None) for status in statuses)
    ports = [ObservedResource(ResourceKind.PORT, "port-1", "p", status, None, None, (f"used-{status}",)) for status in statuses]
    history.append(InventoryObserved(servers, True, 1, history.now, history.cloud, tuple(ports)))
    found = fold(history.events)
    seen = {id_: resource.last_seen for id_, resource in found.resources.items()}
    assert {id_: sighting and sighting.status for id_, sighting in seen.items()} == {"id-w1": "ERROR", "port-1": "ERROR"}
    assert seen["port-1"] is not None
    assert seen["port-1"].attached_to == tuple(f"used-{status}" for status in statuses)


def test_what_was_seen_last_is_what_the_listing_of_the_latest_moment_shows() -> None:
    history = HistoryBuilder().create().observe({"id-w1": None}).observe({"id-w1": None}, status={"id-w1": "ERROR"})
    late = InventoryObserved((ObservedServer("id-w1", "w1", "BUILD", None, None),), True, 1, history.now, history.cloud)
    assert fold(history.append(late).events).resources["id-w1"].status == "ERROR"


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


def test_a_server_is_a_victim_of_each_scale_that_was_to_remove_it() -> None:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    history.finish().scale(victims=["id-w1"]).finish("failed").scale()
    history.decommission("id-w1").succeeded()
    found = fold(history.events)
    assert found.resources["id-w1"].victim_of == [*found.operations.values()][1:]


def test_all_words_on_a_resource_are_kept_in_order() -> None:
    history = HistoryBuilder().create()
    history.create_server("w1").succeeded()
    history.finish().resolve("id-w1", "unsafe").resolve("id-w1", "in_service")
    assert [word.word for word in fold(history.events).resources["id-w1"].words] == ["unsafe", "in_service"]
