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
