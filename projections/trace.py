"""A timeline in the Trace Event Format, which Perfetto and other viewers of traces open.

Each operation is a process: what it did itself is its first thread, every lane of a stage another.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from journal.events import StepOutcome
from projections.timeline import Bar, Mark, OperationBars, Timeline

TraceEvent = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BETWEEN: Final = 0
"""The process of what happened between operations."""
_COLOURS: Final = {StepOutcome.SUCCEEDED: "good", StepOutcome.FAILED: "terrible", StepOutcome.ABSENT: "grey"}
_COLOUR_OF_OPEN: Final = "bad"


def trace(shown: Timeline) -> dict[str, Any]:
    """Return a timeline as the JSON object of the Trace Event Format. Times are microseconds since 1970, in UTC."""
    events = [*_between(shown)]
    for number, operation in enumerate(shown.operations, start=1):
        events += _operation(shown, operation, number)
    named = [event for event in events if event["ph"] == "M"]
    timed = sorted((event for event in events if event["ph"] != "M"), key=lambda event: (event["ts"], event["args"]["version"]))
    return {"traceEvents": named + timed, "displayTimeUnit": "ms", "otherData": {"cluster": shown.cluster}}


def _between(shown: Timeline) -> Iterator[TraceEvent]:
    if shown.between:
        yield from _process(_BETWEEN, f"{shown.cluster}: between operations")
        yield from _thread(_BETWEEN, 0, "events")
    for mark in shown.between:
        yield _instant(mark, _BETWEEN)


def _operation(shown: Timeline, operation: OperationBars, process: int) -> Iterator[TraceEvent]:
    yield from _process(process, f"{shown.cluster}: {operation.kind} {operation.id}")
    yield from _thread(process, 0, "the operation")
    args = {
        "operation": str(operation.id),
        "conductor": operation.conductor,
        "outcome": operation.outcome,
        "cluster_status": None if operation.cluster_status is None else str(operation.cluster_status),
        "reason": operation.reason,
        "version": operation.version,
    }
    begun = {
        "name": operation.kind,
        "cat": "operation",
        "pid": process,
        "tid": 0,
        "ts": _micros(operation.began_at),
        "args": args,
    }
    yield {**begun, **_length(operation.lasted, goes_on=not operation.is_finished)}
    for mark in operation.marks:
        yield _instant(mark, process)
    thread = 0
    for stage in operation.stages:
        for lane in range(stage.lanes):
            yield from _thread(process, thread + 1 + lane, f"{stage.stage} {lane + 1}")
        for bar in stage.bars:
            yield _bar(bar, process, thread + 1 + bar.lane, goes_on=bar.is_open and not operation.is_finished)
        thread += stage.lanes


def _bar(bar: Bar, process: int, thread: int, *, goes_on: bool) -> TraceEvent:
    args = {
        "step": str(bar.step),
        "operation": str(bar.operation),
        "action": bar.action,
        "subject": bar.subject,
        "ids": list(bar.ids),
        "outcome": bar.outcome,
        "unfinished": bar.is_open,
        "reason": bar.reason,
        "made": bar.made,
        "version": bar.begun,
        "completed": bar.completed,
    }
    return {
        "name": f"{bar.action} {bar.subject}",
        "cat": str(bar.stage),
        "pid": process,
        "tid": thread,
        "ts": _micros(bar.began_at),
        "cname": _COLOUR_OF_OPEN if bar.is_open else _COLOURS[StepOutcome(bar.outcome)],
        "args": args,
        **_length(bar.lasted, goes_on=goes_on),
    }


def _length(length: timedelta, *, goes_on: bool) -> TraceEvent:
    """Return what tells how long something took: what goes on has a beginning and no end."""
    return {"ph": "B"} if goes_on else {"ph": "X", "dur": length // timedelta(microseconds=1)}


def _instant(mark: Mark, process: int) -> TraceEvent:
    args = {"version": mark.version, "type": mark.type}
    return {
        "name": mark.what,
        "cat": mark.type,
        "ph": "i",
        "s": "p",
        "pid": process,
        "tid": 0,
        "ts": _micros(mark.at),
        "args": args,
    }


def _process(number: int, name: str) -> Iterator[TraceEvent]:
    yield _told("process_name", number, 0, {"name": name})
    yield _told("process_sort_index", number, 0, {"sort_index": number})


def _thread(process: int, number: int, name: str) -> Iterator[TraceEvent]:
    yield _told("thread_name", process, number, {"name": name})
    yield _told("thread_sort_index", process, number, {"sort_index": number})


def _told(what: str, process: int, thread: int, args: dict[str, Any]) -> TraceEvent:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": args}


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
