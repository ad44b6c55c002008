"""What is said of a resource is so: the reasons of verdicts and the stories, held against what happened."""

from collections.abc import Iterator

import pytest
from histories import history, named

from journal.events import Event, InventoryObserved, OperationOutcome, ResourceKind
from journal.files import read_file
from projections.cases import Case, Reading
from projections.fold import fold
from projections.story import story
from projections.verdicts import TABLE, Verdict, verdicts


def prefixes() -> Iterator[tuple[str, tuple[Event, ...]]]:
    """Yield each golden history as it was at each of its versions."""
    for name in named("plans"):
        events = tuple(read_file(history("plans", name)))
        for version in range(1, len(events) + 1):
            yield f"{name} at version {version}", events[:version]


def judged() -> Iterator[tuple[str, tuple[Event, ...], Case, Verdict]]:
    for where, events in prefixes():
        reading = Reading(fold(events))
        cases = {case.lost.id if case.lost else case.resource.id: case for kind in reading.kinds for case in reading.cases(kind)}
        for verdict in verdicts(reading.history):
            yield where, events, cases[verdict.id or verdict.step], verdict  # type: ignore[index]


def test_what_is_said_to_be_put_to_use_was_used_and_what_was_abandoned_was() -> None:
    used = abandoned = 0
    for where, _, case, verdict in judged():
        if verdict.row == 13 and "put to use" in verdict.because:
            assert case.uses, where
            used += 1
        if verdict.row == 13 and "was abandoned" in verdict.because and case.create is not None and case.unasked:
            assert case.create.operation.outcome is OperationOutcome.ABANDONED, where
            abandoned += 1
    assert (used > 0, abandoned > 0) == (True, True)


@pytest.mark.parametrize("number", [2, 7, 13])
def test_a_row_that_a_history_is_spared_applies_to_nothing_in_it(number: int) -> None:
    (row,) = (row for row in TABLE if row.number == number)
    spared = 0
    for where, events in prefixes():
        reading = Reading(fold(events))
        if not row.when(reading):
            cases = [case for kind in reading.kinds for case in reading.cases(kind) if case.lost is None]
            assert not any(map(row.applies, cases)), where
            spared += len(cases)
    assert spared


def test_a_story_says_of_a_mark_what_the_listing_showed() -> None:
    told = {"nothing": 0, "copy": 0, "not all": 0}
    for where, events, case, verdict in judged():
        if case.lost is None:
            continue
        for chapter in getattr(story(events, str(verdict.step)), "chapters", ()):
            data = events[chapter.version - 1].data
            if not isinstance(data, InventoryObserved):
                continue
            marked = any(row.step == verdict.step for row in (*data.servers, *data.resources))
            whole = data.complete if verdict.kind is ResourceKind.SERVER else verdict.kind in data.kinds
            said = ("nothing carries the mark" in chapter.what, "only somebody's copy carries the mark" in chapter.what)
            assert said == (not marked, marked), where
            assert ("but not all there was could be seen" in chapter.what) == (not whole), where
            told["copy" if marked else "nothing"] += 1
            told["not all"] += not whole
    assert all(told.values()), told
