"""The golden histories fold to the same verdicts for ever."""

import re
from collections import defaultdict
from collections.abc import Iterator

import attrs
import pytest
from histories import GOLDEN, expected, history, named

from journal.codec import from_document, to_document
from journal.events import Event, PlanAction, PlanMade, VerdictName
from journal.files import read_file
from projections.fold import fold
from projections.verdicts import Verdict
from rollback.plan import Plan, plan

ROWS = range(1, 17)
TOLD = GOLDEN / "told.txt"

CAUSES = {
    "deleted, yet there": r"^it was deleted",
    "ended as Deleted, yet there": r"^the cluster ended as Deleted",
    "repeated or landed late": r"^it (is a repeated request|landed after)",
    "operation ended other than succeeded": r"^operation \w+ ended as",
    "abandoned while deletion stood": r"^an operation was abandoned",
}

OUTCOMES = {
    4: {("new", "delete"), ("unneeded", "delete"), ("unsafe", "keep"), ("in_service", "keep")},
    5: {("new", "delete"), ("unneeded", "delete")},
    8: {("unneeded", "delete"), ("unsafe", "keep")},
    9: {("new", "delete"), ("unsafe", "keep")},
    10: {("unneeded", "delete"), ("unsafe", "keep")},
    11: {("new", "delete"), ("unsafe", "keep")},
    12: {("unneeded", "delete"), ("unsafe", "keep")},
}
"""Rows that can come out in more than one way."""


def events_of(name: str) -> list[Event]:
    return list(read_file(history("plans", name)))


def plan_of(name: str) -> Plan:
    return plan(fold(events_of(name)))


def key(verdict: Verdict) -> str:
    return verdict.id if verdict.id is not None else str(verdict.step)


@pytest.mark.parametrize("name", named("plans"))
def test_a_golden_history_replays_to_its_plan(name: str) -> None:
    found = plan_of(name)

    assert {
        "stream": found.stream,
        "cluster_status": found.cluster_status,
        "verdicts": {key(v): {"verdict": v.verdict, "action": v.action} for v in found.verdicts},
    } == expected("plans", name)
    assert len({key(v) for v in found.verdicts}) == len(found.verdicts)


def test_each_verdict_says_why_as_it_did(request: pytest.FixtureRequest) -> None:
    """`--update-plans` writes the file anew, to be read before it is kept."""
    told = "\n".join(line for name in named("plans") for line in told_of(name)) + "\n"
    if request.config.getoption("--update-plans"):
        TOLD.write_text(told)
    assert told == TOLD.read_text()


def told_of(name: str) -> Iterator[str]:
    """Yield what a plan says of the cluster and of each resource: row, verdict, what it is of, by which events, and why."""
    found = plan_of(name)
    document = found.document()
    yield f"\n{name}: {document['cluster_status']} at version {document['version']} in operation {document['operation']}"
    for verdict in found.verdicts:
        evidence = " ".join(map(str, verdict.evidence))
        yield f"  {verdict.row} {verdict.verdict} {verdict.about} [{evidence}] {verdict.because}"


@pytest.mark.parametrize("name", named("plans"))
def test_every_prefix_of_a_golden_history_has_a_plan_that_says_why(name: str) -> None:
    events = events_of(name)
    running = fold([])

    for length, event in enumerate(events, start=1):
        found = plan(fold(events[:length]))

        assert found == plan(running.apply(event))
        assert found.version == length
        for verdict in found.verdicts:
            check_reasons(verdict, length)


def check_reasons(verdict: Verdict, version: int) -> None:
    assert verdict.row in ROWS
    assert verdict.evidence
    assert list(verdict.evidence) == sorted(set(verdict.evidence))
    assert 1 <= verdict.evidence[0] <= verdict.evidence[-1] <= version
    assert verdict.because
    assert verdict.because == verdict.because.strip(" .\n")
    assert "\n" not in verdict.because
    if verdict.id is None:
        assert verdict.step is not None
        assert verdict.verdict in (VerdictName.GONE, VerdictName.IN_DOUBT)


@pytest.mark.parametrize("name", named("plans"))
def test_a_plan_can_be_recorded_as_it_is_shown(name: str) -> None:
    found = plan_of(name)
    event = Event("c-1", 1, events_of(name)[0].id, events_of(name)[0].recorded_at, 1, None, found.as_event())
    recorded = to_document(event)["data"]

    assert found.document() == {
        "stream": "c-1",
        "operation": None if found.operation is None else str(found.operation),
        "version": found.version,
        **recorded,
    }
    assert recorded.keys() == {field.name for field in attrs.fields(PlanMade)}
    assert from_document(to_document(event)) == event


def test_every_row_of_the_verdict_table_decides_somewhere_in_every_way() -> None:
    decided = defaultdict(set)
    for name in named("plans"):
        for verdict in plan_of(name).verdicts:
            decided[verdict.row].add((verdict.verdict, verdict.action))

    assert sorted(decided) == list(ROWS)
    assert {row: decided[row] for row in OUTCOMES} == OUTCOMES


def test_every_cause_of_left_over_decides_somewhere() -> None:
    reasons = [v.because for name in named("plans") for v in plan_of(name).verdicts if v.row == 13]

    for cause, pattern in CAUSES.items():
        assert any(re.search(pattern, because) for because in reasons), cause
    assert all(any(re.search(pattern, because) for pattern in CAUSES.values()) for because in reasons)


def test_an_empty_journal_has_an_empty_plan() -> None:
    found = plan(fold([]))

    assert (found.version, found.operation, found.cluster_status, found.verdicts) == (0, None, "Active", ())


def test_verdicts_decide_actions() -> None:
    actions = {
        VerdictName.NEW: PlanAction.DELETE,
        VerdictName.UNNEEDED: PlanAction.DELETE,
        VerdictName.UNSAFE: PlanAction.KEEP,
        VerdictName.IN_SERVICE: PlanAction.KEEP,
        VerdictName.FOREIGN: PlanAction.KEEP,
        VerdictName.IN_DOUBT: PlanAction.FIND,
        VerdictName.GONE: PlanAction.NONE,
    }
    for name in named("plans"):
        for verdict in plan_of(name).verdicts:
            assert verdict.action is actions[verdict.verdict], name
