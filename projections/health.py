"""What somebody should look at: pure, from one cluster's events and guard row."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from journal.events import ErrorDuring, ErrorRecorded, Event, PlanAction, VerdictName
from journal.moments import lasting
from journal.store import Head
from projections.fold import History, fold
from projections.verdicts import Verdict, verdicts

UNFINISHED_FOR: Final = timedelta(hours=1)
"""How long an operation may be unfinished, unless somebody says otherwise."""
FAILURES: Final = 3
"""How often the compensation of an operation may fail, unless somebody says otherwise."""


class Ailment(StrEnum):
    """What can be wrong."""

    UNFINISHED = "unfinished_for_long"
    OWNER_GONE = "owner_gone"
    COMPENSATION_FAILED = "compensation_failed"
    ORPHAN = "orphan"
    UNDECIDED = "undecided"
    DAMAGED = "damaged"
    WEAK_DURABILITY = "weak_durability"


@attrs.frozen
class Symptom:
    """One thing that somebody should look at. `cluster` is empty where it is the journal's own; `since`: None if not known."""

    ailment: Ailment
    cluster: str
    since: datetime | None
    told: str
    next: str


@attrs.frozen
class Limits:
    """From when on something is an ailment."""

    unfinished_for: timedelta = UNFINISHED_FOR
    failures: int = FAILURES


def symptoms(head: Head, events: Sequence[Event], limits: Limits) -> Iterator[Symptom]:
    """Yield what somebody should look at in one cluster."""
    history = fold(events)
    operation = history.unfinished
    look = f"provjournal rollback {head.stream} --dry-run"
    if history.hold is not None:
        look = f"provjournal plan show {head.stream}, then provjournal release {head.stream} --reason …"
    held = "" if history.hold is None else f"; a hold stands, placed by {history.hold.by}: {history.hold.reason}"
    if operation is None:
        yield from _at_rest(head, history, events[-1].recorded_at)
        return
    age = head.read_at - operation.started_at
    if age > limits.unfinished_for:
        told = f"the {operation.kind} has been unfinished for {lasting(age)}"
        yield Symptom(Ailment.UNFINISHED, head.stream, operation.started_at, told, f"provjournal cluster show {head.stream}")
    if not head.owner_alive:
        told = f"nobody is at work on the unfinished {operation.kind}{held}"
        last = max((event.recorded_at for event in events if event.operation is not None), default=operation.started_at)
        do = look if history.hold is not None else "provjournal recover"
        yield Symptom(Ailment.OWNER_GONE, head.stream, head.lease_expires_at or last, told, do)
    failures = [event for event in events if event.version > operation.started and _is_failure(event)]
    if len(failures) >= limits.failures:
        assert isinstance(failures[-1].data, ErrorRecorded), "it is a failure"
        told = f"its compensation has failed {len(failures)} times, lastly: {failures[-1].data.reason}"
        yield Symptom(Ailment.COMPENSATION_FAILED, head.stream, failures[0].recorded_at, told, look)


def _at_rest(head: Head, history: History, since: datetime) -> Iterator[Symptom]:
    """Yield what is wrong with a cluster in which nothing is unfinished."""
    found = verdicts(history)
    due = [verdict for verdict in found if verdict.action in (PlanAction.DELETE, PlanAction.FIND)]
    if due and not head.owner_alive:
        told = f"nobody accounts for {_those(due)}"
        yield Symptom(Ailment.ORPHAN, head.stream, since, told, f"provjournal rollback {head.stream} --dry-run")
    unsafe = [verdict for verdict in found if verdict.verdict is VerdictName.UNSAFE]
    if unsafe:
        explain = f"provjournal server explain {unsafe[0].id} --cluster {head.stream}, then provjournal resolve"
        yield Symptom(Ailment.UNDECIDED, head.stream, since, f"a person has to decide about {_those(unsafe)}", explain)


def _those(found: Sequence[Verdict]) -> str:
    first = found[0].about
    return (
        f"{first}: {found[0].because}" if len(found) == 1 else f"{len(found)} resources, {first} among them: {found[0].because}"
    )


def _is_failure(event: Event) -> bool:
    return isinstance(event.data, ErrorRecorded) and event.data.during is ErrorDuring.COMPENSATION
