"""What happened when: the steps of each operation as bars in lanes, and the other events as marks between them."""

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final
from uuid import UUID

import attrs

from journal.events import (
    ClusterStatus,
    Completion,
    Custom,
    Event,
    Intent,
    OperationFinished,
    OperationStarted,
    Stage,
    StepOutcome,
)
from journal.wording import subject, told
from projections.fold import History, Operation, Step
from projections.status import operation_outcome, step_outcome

SILENCE_SECONDS: Final = 3600.0
"""A silence is cut out of a scale from this length on, if it is also long beside all that happened."""
_SILENCE_TIMES: Final = 3.0
_CUT_WIDTH: Final = 0.08
"""How wide a silence that was cut out still is, beside all that happened."""
_ORDER: Final = {stage: number for number, stage in enumerate(Stage)}


@attrs.frozen
class Bar:
    """One step. One without a completion is open: nobody knows its end, and `until` is the last moment it can be told of."""

    step: UUID
    operation: UUID
    stage: Stage
    lane: int
    """Bars of one lane, of one stage of one operation, do not overlap."""
    action: str
    subjects: tuple[str, ...]
    """What it is about, by name where there is one."""
    ids: tuple[str, ...]
    """The ids of what it acts on, as far as it lists them."""
    begun: int
    completed: int | None
    began_at: datetime
    until: datetime
    outcome: str
    reason: str
    made: str | None

    @property
    def subject(self) -> str:
        """What it is about, in one text."""
        return ", ".join(self.subjects)

    @property
    def is_open(self) -> bool:
        """Whether it has no completion."""
        return self.completed is None

    @property
    def lasted(self) -> timedelta:
        """How long it took; of an open one, how long at least it might have."""
        return self.until - self.began_at


@attrs.frozen
class Mark:
    """One event that is no part of a step, in words."""

    version: int
    at: datetime
    type: str
    what: str


@attrs.frozen
class StageBars:
    """The bars of one stage, in the order in which the steps began; `left_out`: those that there is no room for."""

    stage: Stage
    bars: tuple[Bar, ...]
    left_out: tuple[Bar, ...] = ()

    @property
    def lanes(self) -> int:
        """How many lanes the bars take: as many as were at work at the same time, at most."""
        return max((bar.lane for bar in (*self.bars, *self.left_out)), default=-1) + 1


@attrs.frozen
class OperationBars:
    """One operation: its stages in order, and the events beside its steps."""

    id: UUID
    kind: str
    conductor: str
    version: int
    began_at: datetime
    until: datetime
    """When it ended; of one that did not, the last moment that it can be told of."""
    is_finished: bool
    outcome: str
    cluster_status: ClusterStatus | None
    reason: str
    stages: tuple[StageBars, ...]
    marks: tuple[Mark, ...]
    marks_left_out: int = 0

    @property
    def bars(self) -> tuple[Bar, ...]:
        """All bars that are not left out."""
        return tuple(bar for stage in self.stages for bar in stage.bars)

    @property
    def steps(self) -> int:
        """How many steps it has, shown or not."""
        return sum(len(stage.bars) + len(stage.left_out) for stage in self.stages)

    @property
    def lasted(self) -> timedelta:
        """How long it took, or has taken so far."""
        return self.until - self.began_at

    @property
    def scale(self) -> "Scale":
        """Its own scale of time."""
        bars = [bar for stage in self.stages for bar in (*stage.bars, *stage.left_out)]
        times = [time for bar in bars for time in (bar.began_at, bar.until)]
        return scale((self.began_at, self.until, *times, *(mark.at for mark in self.marks)))


@attrs.frozen
class Timeline:
    """All that happened in one cluster: its operations, and the events between them, both in the order of the stream."""

    cluster: str
    operations: tuple[OperationBars, ...]
    between: tuple[Mark, ...]
    operations_left_out: int = 0
    between_left_out: int = 0

    @property
    def parts(self) -> "list[OperationBars | Mark]":
        """Operations and events between them, in order."""
        return sorted((*self.operations, *self.between), key=lambda part: part.version)


@attrs.frozen
class Cut:
    """A silence that a scale leaves out: where it stands on the scale, and how long it was."""

    place: float
    length: timedelta


@attrs.frozen
class Scale:
    """Maps times to places from 0 to 1. Long silences take little room."""

    began_at: datetime
    seconds: tuple[float, ...]
    places: tuple[float, ...]
    cuts: tuple[Cut, ...]

    def place(self, time: datetime) -> float:
        """Return where a time stands."""
        second = (time - self.began_at).total_seconds()
        right = bisect_right(self.seconds, second)
        if right == 0:
            return 0.0
        if right == len(self.seconds):
            return self.places[-1]
        (s0, s1), (p0, p1) = self.seconds[right - 1 : right + 1], self.places[right - 1 : right + 1]
        return p0 + (p1 - p0) * (second - s0) / (s1 - s0)

    def span(self, bar: Bar) -> tuple[float, float]:
        """Return from where to where a bar goes."""
        return self.place(bar.began_at), self.place(bar.until)


def scale(times: Iterable[datetime]) -> Scale:
    """Return a scale from the first to the last of these times, on which what happened has room."""
    ordered = sorted(set(times))
    seconds = tuple((time - ordered[0]).total_seconds() for time in ordered)
    gaps = [after - before for before, after in pairwise(seconds)]
    longest = _longest_kept(gaps)
    width = _CUT_WIDTH * max(1.0, sum(gap for gap in gaps if gap < longest))
    ends = [0.0]
    for gap in gaps:
        ends.append(ends[-1] + (gap if gap < longest else width))
    places = tuple(end / (ends[-1] or 1.0) for end in ends)
    cuts = (
        Cut((before + after) / 2, timedelta(seconds=gap))
        for gap, (before, after) in zip(gaps, pairwise(places), strict=True)
        if gap >= longest
    )
    return Scale(ordered[0], seconds, places, tuple(cuts))


def _longest_kept(gaps: Sequence[float]) -> float:
    """Return the length from which on a silence is cut out."""
    shorter = 0.0
    for gap in sorted(gaps):
        if gap >= SILENCE_SECONDS and gap > _SILENCE_TIMES * shorter > 0:
            return gap
        shorter += gap
    return float("inf")


def timeline(events: Sequence[Event], history: History, *, owner_alive: bool = False, now: datetime | None = None) -> Timeline:
    """Return what happened in a cluster. What is open goes on until `now`, or else until the last event."""
    last = max(event.recorded_at for event in events)
    last = last if now is None else max(last, now)
    completed_at = {event.version: event.recorded_at for event in events if isinstance(event.data, Completion)}
    marks = _marks(events)
    operations = (
        _operation(operation, history, completed_at, marks.get(operation.id, ()), last, owner_alive=owner_alive)
        for operation in history.operations.values()
    )
    return Timeline(history.stream, tuple(operations), tuple(marks.get(None, ())))


def _marks(events: Iterable[Event]) -> dict[UUID | None, list[Mark]]:
    """Return the events that are no part of a step, by the operation that was unfinished when they were appended."""
    found: dict[UUID | None, list[Mark]] = defaultdict(list)
    unfinished: UUID | None = None
    for event in events:
        if isinstance(event.data, OperationStarted):
            unfinished = event.operation
        elif not isinstance(event.data, Intent | Completion):
            found[unfinished].append(Mark(event.version, event.recorded_at, event.type, told(event.data)))
        if isinstance(event.data, OperationFinished):
            unfinished = None
    return found


def _operation(
    operation: Operation,
    history: History,
    completed_at: dict[int, datetime],
    marks: Sequence[Mark],
    last: datetime,
    *,
    owner_alive: bool,
) -> OperationBars:
    until = max(operation.started_at, last if operation.finished_at is None else operation.finished_at)
    by_stage: dict[Stage, list[Step]] = defaultdict(list)
    for step in operation.steps:
        by_stage[step.intent.stage].append(step)
    return OperationBars(
        id=operation.id,
        kind=str(operation.kind),
        conductor=operation.asked.conductor,
        version=operation.started,
        began_at=operation.started_at,
        until=until,
        is_finished=operation.finished is not None,
        outcome=operation_outcome(operation, owner_alive=owner_alive),
        cluster_status=operation.cluster_status,
        reason=operation.reason,
        stages=tuple(
            StageBars(stage, tuple(_bars(by_stage[stage], history, completed_at, until)))
            for stage in sorted(by_stage, key=_ORDER.__getitem__)
        ),
        marks=tuple(marks),
    )


def _bars(steps: Iterable[Step], history: History, completed_at: dict[int, datetime], until: datetime) -> Iterable[Bar]:
    lanes = _Lanes()
    for step in sorted(steps, key=lambda step: (step.recorded_at, step.begun)):
        end = until if step.completed is None else completed_at[step.completed]
        end = max(end, step.recorded_at)
        intent, completion = step.intent, step.completion
        yield Bar(
            step=step.id,
            operation=step.operation.id,
            stage=intent.stage,
            lane=lanes.take(step, end),
            action=intent.name if isinstance(intent, Custom) else intent.action,
            subjects=tuple(history.resources[id_].name or id_ for id_ in step.listed) or (subject(intent),),
            ids=step.listed,
            begun=step.begun,
            completed=step.completed,
            began_at=step.recorded_at,
            until=end,
            outcome=step_outcome(step),
            reason="" if completion is None else completion.reason or "",
            made=step.named,
        )


class _Lanes:
    """Gives each step, in order of their beginnings, the first lane that is free then. One that never ended keeps its lane."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._taken: list[tuple[datetime, int, int]] = []
        self._count = 0

    def take(self, step: Step, end: datetime) -> int:
        while self._taken and self._taken[0][:2] < (step.recorded_at, step.begun):
            heapq.heappush(self._free, heapq.heappop(self._taken)[2])
        if self._free:
            lane = heapq.heappop(self._free)
        else:
            lane, self._count = self._count, self._count + 1
        if step.completed is not None:
            heapq.heappush(self._taken, (end, step.completed, lane))
        return lane


def only(shown: Timeline, operation: str) -> Timeline:
    """Return the operations whose ids begin so, and nothing else."""
    operations = tuple(bars for bars in shown.operations if str(bars.id).startswith(operation))
    return attrs.evolve(shown, operations=operations, between=())


def shortened(shown: Timeline, limit: int | None) -> Timeline:
    """Return at most so many operations, steps and other events: the latest, of the steps first what did not succeed.

    None leaves nothing out.
    """
    if limit is None:
        return shown
    operations = shown.operations[-limit:]
    kept = {bar.step for bar in sorted((bar for op in operations for bar in op.bars), key=_telling)[:limit]}
    marks = sorted(mark.version for mark in (*(mark for op in operations for mark in op.marks), *shown.between))[-limit:]
    first = marks[0] if marks else 0
    between = tuple(mark for mark in shown.between if mark.version >= first)
    return attrs.evolve(
        shown,
        operations=tuple(_shortened(bars, kept.__contains__, first) for bars in operations),
        between=between,
        operations_left_out=len(shown.operations) - len(operations),
        between_left_out=len(shown.between) - len(between),
    )


def _shortened(shown: OperationBars, is_kept: Callable[[UUID], bool], first: int) -> OperationBars:
    stages = (
        StageBars(
            stage.stage,
            tuple(bar for bar in stage.bars if is_kept(bar.step)),
            tuple(bar for bar in stage.bars if not is_kept(bar.step)),
        )
        for stage in shown.stages
    )
    marks = tuple(mark for mark in shown.marks if mark.version >= first)
    return attrs.evolve(shown, stages=tuple(stages), marks=marks, marks_left_out=len(shown.marks) - len(marks))


def _telling(bar: Bar) -> tuple[int, int]:
    """Return what orders bars by how much they tell: first what did not end, then what did not succeed, the latest first."""
    return (0 if bar.is_open else 2 if bar.outcome == StepOutcome.SUCCEEDED else 1), -bar.begun


def crowd(bars: Iterable[Bar], axis: Scale, cells: int) -> list[int]:
    """Return how many of the bars are at work in each of so many parts of a scale."""
    changes = [0] * (cells + 1)
    for bar in bars:
        first, last = cells_of(axis.span(bar), cells)
        changes[first] += 1
        changes[last + 1] -= 1
    counts, count = [], 0
    for change in changes[:cells]:
        count += change
        counts.append(count)
    return counts


def cells_of(span: tuple[float, float], cells: int) -> tuple[int, int]:
    """Return the first and the last of so many cells that a span takes: at least one."""
    first = min(cells - 1, int(span[0] * cells))
    last = min(cells - 1, max(first, ceil(span[1] * cells) - 1))
    return first, last
