"""Timelines: every step once, in lanes in which nothing overlaps, on scales that keep their order; and traces of them."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

import attrs
import pytest
from builders import T0
from histories import history, named
from hypothesis import given
from hypothesis import strategies as st
from pictured import large, troubled

from journal.events import Event, Intent, OperationStarted, Stage
from journal.files import read_file
from journal.moments import took
from projections.fold import fold
from projections.timeline import OperationBars, Timeline, cells_of, crowd, only, scale, shortened, timeline
from projections.trace import trace

PLANS = named("plans")


def of_golden(name: str) -> list[Event]:
    events = list(read_file(history("plans", name)))
    return [event for event in events if event.stream == events[0].stream]


def drawn(events: Sequence[Event]) -> Timeline:
    return timeline(events, fold(events))


def shaken(events: Sequence[Event], seed: int) -> list[Event]:
    """Return the events at random times: some together, some long after, and now and then by a clock that goes after."""
    random, at, found = Random(seed), T0, []
    for event in events:
        at += timedelta(seconds=random.choice([0, 0, 0, 0.5, 3, 3, 90, 40000, -2]))
        found.append(attrs.evolve(event, recorded_at=at))
    return found


def check_lanes(shown: Timeline) -> None:
    for operation in shown.operations:
        for stage in operation.stages:
            lanes: dict[int, list[tuple[object, ...]]] = {}
            for bar in stage.bars:
                assert bar.until >= bar.began_at
                end = (bar.until, bar.completed) if bar.completed is not None else None
                lanes.setdefault(bar.lane, []).append(((bar.began_at, bar.begun), end))
            assert sorted(lanes) == list(range(stage.lanes))
            for bars in lanes.values():
                for (_, end), (begin, _) in pairwise(bars):
                    assert end is not None, "what never ended leaves its lane to nobody"
                    assert end < begin


@pytest.mark.parametrize("name", PLANS)
def test_every_step_is_one_bar_and_every_other_event_one_mark_or_one_operation(name: str) -> None:
    events = of_golden(name)
    for seed in range(3):
        shown = drawn(shaken(events, seed) if seed else events)
        bars = Counter(bar.begun for operation in shown.operations for bar in operation.bars)
        assert bars == Counter(event.version for event in events if isinstance(event.data, Intent))
        marks = [mark.version for part in (*shown.operations, shown) for mark in getattr(part, "marks", shown.between)]
        began = [operation.version for operation in shown.operations]
        assert began == [event.version for event in events if isinstance(event.data, OperationStarted)]
        completions = [event.version for event in events if event.type == "completion"]
        assert sorted([*marks, *began, *bars, *completions]) == list(range(1, len(events) + 1))
        check_lanes(shown)


def test_lanes_are_as_many_as_were_at_work_at_the_same_time() -> None:
    shown = drawn(large(500, at_once=10))
    check_lanes(shown)
    (stage,) = shown.operations[0].stages
    assert stage.lanes == 11


def test_what_is_open_goes_on_until_the_end_of_its_operation_or_until_now() -> None:
    events = troubled()
    create, scaled, delete = drawn(events).operations
    assert (create.is_finished, scaled.is_finished, delete.is_finished) == (True, False, False)
    last = events[-1].recorded_at
    assert {bar.until for bar in (*scaled.bars, *delete.bars) if bar.is_open} == {last}
    later = last + timedelta(hours=1)
    running = timeline(events, fold(events), owner_alive=True, now=later)
    assert {bar.until for bar in running.operations[2].bars if bar.is_open} == {later}
    assert [operation.outcome for operation in running.operations] == ["succeeded", "running", "running"]


def test_subjects_are_names_where_there_are_any() -> None:
    _, scaled, _ = drawn(troubled()).operations
    assert [bar.subject for bar in scaled.bars][:3] == ["analytics-7-worker-4", "analytics-7-worker-5", "analytics-7-worker-4"]


def test_stages_stand_in_their_order() -> None:
    for name in PLANS:
        for operation in drawn(of_golden(name)).operations:
            stages = [stage.stage for stage in operation.stages]
            assert stages == sorted(stages, key=list(Stage).index)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=30))
def test_a_scale_keeps_the_order_of_times_and_stays_within_its_ends(seconds: list[float]) -> None:
    times = sorted(T0 + timedelta(seconds=second) for second in seconds)
    axis = scale(times)
    places = [axis.place(time) for time in times]
    assert places == sorted(places)
    assert places[0] == 0
    assert all(0 <= place <= 1 for place in places)
    assert axis.place(times[-1]) == (1 if times[0] != times[-1] else 0)
    assert all(0 < cut.place < 1 for cut in axis.cuts)


def test_a_long_silence_is_cut_out_and_told() -> None:
    _, scaled, _ = drawn(troubled()).operations
    (cut,) = scaled.scale.cuts
    assert took(cut.length) == "1d23h"
    steps = [bar for bar in scaled.bars if not bar.is_open]
    assert max(scaled.scale.span(bar)[1] for bar in steps) > 0.3, "the steps before it have room"


def test_steps_that_take_hours_are_not_silences() -> None:
    axis = scale([T0 + timedelta(hours=hours) for hours in (0, 1, 2.5, 4, 5)])
    assert not axis.cuts


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 100))
def test_a_bar_has_at_least_one_cell(one: float, two: float, cells: int) -> None:
    begin, end = sorted((one, two))
    first, last = cells_of((begin, end), cells)
    assert 0 <= first <= last < cells


def test_a_crowd_counts_who_is_at_work() -> None:
    (operation,) = drawn(large(500, at_once=10)).operations
    counts = crowd(operation.bars, operation.scale, 20)
    assert len(counts) == 20
    assert min(counts[2:-2]) >= 10
    assert sum(counts) >= 500


def test_shortening_keeps_what_tells_most() -> None:
    whole = drawn(large(3000))
    (short,) = shortened(whole, 100).operations
    assert (len(short.bars), short.steps) == (100, 3000)
    assert sum(bar.is_open for bar in short.bars) == 64
    assert [bar.outcome for bar in short.bars].count("failed") == 3
    assert shortened(whole, None) is whole
    none_left = shortened(drawn(troubled()), 1)
    assert (none_left.operations_left_out, none_left.between_left_out, len(none_left.operations)) == (2, 2, 1)
    assert none_left.operations[0].marks_left_out == 1


def test_one_operation_is_found_by_the_beginning_of_its_id() -> None:
    whole = drawn(troubled())
    (found,) = only(whole, str(whole.operations[1].id)[:6]).operations
    assert found is whole.operations[1]
    assert not only(whole, "nope").operations


def check_trace(document: dict[str, object], shown: Timeline) -> None:
    """Check what the Trace Event Format asks for, and that nothing is lost."""
    events = json.loads(json.dumps(document))["traceEvents"]
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    timed = [event for event in events if event["ph"] != "M"]
    assert [event["ts"] for event in timed] == sorted(event["ts"] for event in timed)
    until: dict[tuple[int, int], float] = {}
    for event in timed:
        thread = (event["pid"], event["tid"])
        assert thread in named
        assert event["pid"] in processes
        assert isinstance(event["ts"], int)
        match event["ph"]:
            case "X":
                assert event["dur"] >= 0
                assert until.get(thread, 0) <= event["ts"], "slices of one thread overlap"
                until[thread] = event["ts"] + event["dur"]
            case "B":
                assert "dur" not in event
                assert event["tid"] == 0 or event["args"]["unfinished"]
                assert until.get(thread, 0) <= event["ts"]
                until[thread] = float("inf")
            case phase:
                assert (phase, event["s"]) == ("i", "p")
    steps = [event for event in timed if event["tid"] != 0]
    assert len({event["args"]["step"] for event in steps}) == len(steps)
    assert len(steps) == sum(operation.steps for operation in shown.operations)
    instants = [event for event in timed if event["ph"] == "i"]
    assert len(instants) == len(shown.between) + sum(len(operation.marks) for operation in shown.operations)


@pytest.mark.parametrize("name", PLANS)
def test_a_trace_is_of_the_trace_event_format_and_tells_all(name: str) -> None:
    for seed in range(3):
        events = of_golden(name)
        shown = drawn(shaken(events, seed) if seed else events)
        check_trace(trace(shown), shown)


def test_a_trace_tells_of_each_step_how_it_ended() -> None:
    shown = drawn(troubled())
    check_trace(trace(shown), shown)
    failed = [event for event in trace(shown)["traceEvents"] if event.get("args", {}).get("outcome") == "failed"]
    assert [event["args"]["reason"] for event in failed] == [
        "No valid host was found. There are not enough hosts available.",
        "Nova answers 409: the server is locked",
    ]
    assert all(isinstance(part, OperationBars) or part in shown.between for part in shown.parts)
