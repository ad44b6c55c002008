"""How a compensated operation ends, by what became of its victims."""

import pytest

from journal.events import OperationOutcome
from projections.fold import fold
from rollback.closing import outcome
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
