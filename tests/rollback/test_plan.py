"""What a plan says of itself, and whether it decides anything else than one that was recorded."""

from journal.codec import plain
from projections.fold import fold
from rollback.plan import Plan, plan
from rollback.testing.histories import HistoryBuilder


def planned(made: HistoryBuilder) -> Plan:
    return plan(fold(made.events))


def test_a_plan_document_says_what_the_plan_was_made_from() -> None:
    made = HistoryBuilder().create()
    made.create_server("w").succeeded()
    during = planned(made)
    named = {"stream": "c-1", "operation": str(during.operation), "version": 3}
    assert during.document() == {**named, **plain(during.as_event())}
    assert during.operation in fold(made.events).operations
    after = planned(made.finish())
    assert after.document() == {"stream": "c-1", "operation": None, "version": 4, **plain(after.as_event())}


def test_a_plan_differs_where_there_is_none_yet_and_where_it_decides_otherwise() -> None:
    made = HistoryBuilder().create()
    nothing = planned(made)
    assert nothing.differs_from(None)
    recorded = nothing.as_event()
    assert not nothing.differs_from(recorded)
    made.create_server("w")
    in_doubt = planned(made)
    assert in_doubt.differs_from(recorded)
    assert not planned(made.error("HTTP 503")).differs_from(in_doubt.as_event())


def test_a_plan_differs_where_the_cluster_alone_becomes_another() -> None:
    made = HistoryBuilder().create()
    recorded = planned(made).as_event()
    assert planned(made.request_deletion()).differs_from(recorded)
