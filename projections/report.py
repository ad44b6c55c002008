"""All of one cluster as one HTML page, which needs nothing but itself: no script, no font, no picture from elsewhere."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined

from journal.codec import to_document
from journal.events import Completion, Event, PlanAction, VerdictName
from journal.moments import took, written
from journal.wording import counted, escaped, legible, told
from projections.advice import advice
from projections.cases import Reading
from projections.fold import History, Step
from projections.lifecycle import lifecycle
from projections.status import cluster_status, past_status, shown_status
from projections.timeline import Bar, OperationBars, Scale, shortened, timeline
from projections.verdicts import Verdict, verdicts

SIGNS: Final[Mapping[VerdictName, tuple[str, str]]] = {
    VerdictName.UNSAFE: ("!", "may hold data: kept, a person decides"),
    VerdictName.IN_DOUBT: ("?", "may or may not exist: has to be found"),
    VerdictName.NEW: ("+", "made by what failed, never used: to be deleted"),
    VerdictName.UNNEEDED: ("\N{MINUS SIGN}", "no longer needed: to be deleted"),
    VerdictName.FOREIGN: ("\N{NOT EQUAL TO}", "not this cluster's: never touched"),
    VerdictName.IN_SERVICE: ("\N{CHECK MARK}", "at work: kept"),
    VerdictName.GONE: ("\N{MULTIPLICATION SIGN}", "not there any more"),
}
"""Each verdict, the most urgent first: a sign that tells it apart without colour, and what it means."""

_URGENT: Final = (PlanAction.DELETE, PlanAction.FIND, PlanAction.KEEP, PlanAction.NONE)
_ORDER: Final = {name: number for number, name in enumerate(SIGNS)}


@attrs.frozen
class _Page:
    """What the template is given to tell times, events and places with."""

    by_version: Mapping[int, Event]
    steps: Mapping[UUID, Step]
    utc: bool

    def time(self, time: datetime) -> str:
        """Return a time for people."""
        return written(time, utc=self.utc)

    def what(self, event: Event) -> str:
        """Return an event in words; of a completion, with what its step was about."""
        data = event.data
        return told(data, self.steps[data.step].intent if isinstance(data, Completion) else None)

    def events(self, versions: Sequence[int]) -> list[Event]:
        """Return the events of these versions."""
        return [self.by_version[version] for version in versions]

    def data(self, event: Event) -> str:
        """Return what an event holds, as JSON for people."""
        document = to_document(event)
        shown = {key: document[key] for key in ("type", "operation", "epoch", "data")}
        return escaped(json.dumps(shown, ensure_ascii=False, indent=2))


def report(
    events: Sequence[Event], history: History, *, owner_alive: bool, is_past: bool, utc: bool, limit: int | None = None
) -> str:
    """Return the page. The same input gives the same page: nothing in it is of the moment when it is made."""
    found = verdicts(history)
    whole = timeline(events, history, owner_alive=owner_alive)
    shown = shortened(whole, limit)
    told_of = _most_urgent(found, limit)
    page = _Page({event.version: event for event in events}, history.steps, utc)
    status = past_status(history) if is_past else shown_status(history, owner_alive=owner_alive)
    return (
        _environment()
        .get_template("report.html")
        .render(
            page=page,
            history=history,
            status=status,
            mood=_mood(status),
            is_past=is_past,
            next="" if is_past else advice(history, found, owner_alive=owner_alive),
            facts=_facts(events, history, page),
            last=events[-1],
            timeline=shown,
            scales={operation.id: operation.scale for operation in shown.operations},
            unfinished=[
                bar for operation in whole.operations if not operation.is_finished for bar in operation.bars if bar.is_open
            ],
            groups=_groups(told_of),
            counts=_counts(found),
            facts_of=_resource_facts(history, told_of),
            left_out=len(found) - len(told_of),
            plan=sorted(
                (verdict for verdict in told_of if verdict.action is not PlanAction.NONE),
                key=lambda verdict: (_URGENT.index(verdict.action), _ORDER[verdict.verdict]),
            ),
            would_become=cluster_status(history, found),
            events=events if limit is None else events[-limit:],
            signs=SIGNS,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("projections"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "legible": legible,
        "name": _name,
        "took": took,
        "counted": counted,
        "commands": _commands,
        "style": _style,
        "percent": _percent,
        "words": lambda text: str(text).replace("_", " "),
    }
    environment.tests["operation"] = lambda part: isinstance(part, OperationBars)
    return environment


def _mood(status: str) -> str:
    """Return how a status is to look."""
    match status:
        case "Active":
            return "good"
        case "Deleted":
            return "quiet"
        case _ if status.startswith("running"):
            return "busy"
        case _:
            return "bad"


def _facts(events: Sequence[Event], history: History, page: _Page) -> dict[str, str]:
    facts = {
        "Version": f"{history.version}, epoch {history.epoch}",
        "Changed": page.time(events[-1].recorded_at),
        "Began": page.time(events[0].recorded_at),
        "Cloud": history.cloud or "",
        "Owner": history.owner or "nobody",
        "Hold": "" if history.hold is None else f"{history.hold.by}: {history.hold.reason}",
        "Deletion": "" if history.deletion_asked is None else "asked for",
        "Last error": history.errors[-1] if history.errors else "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _most_urgent(found: Sequence[Verdict], limit: int | None) -> list[Verdict]:
    """Return at most so many verdicts: first those that ask something of somebody."""
    ordered = sorted(found, key=lambda verdict: (_ORDER[verdict.verdict], _URGENT.index(verdict.action)))
    return ordered if limit is None else ordered[:limit]


def _groups(found: Sequence[Verdict]) -> dict[VerdictName, list[Verdict]]:
    groups: dict[VerdictName, list[Verdict]] = defaultdict(list)
    for verdict in found:
        groups[verdict.verdict].append(verdict)
    return groups


def _counts(found: Sequence[Verdict]) -> dict[VerdictName, int]:
    counts = Counter(verdict.verdict for verdict in found)
    return {name: counts[name] for name in SIGNS if counts[name]}


def _resource_facts(history: History, found: Sequence[Verdict]) -> dict[Verdict, dict[str, str]]:
    reading = Reading(history)
    return {verdict: dict(_resource(history, reading, verdict)) for verdict in found}


def _resource(history: History, reading: Reading, verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.id is not None:
        resource = history.resources[verdict.id]
        yield "Id", verdict.id
        yield "Lifecycle", str(lifecycle(reading, resource))
        if resource.status is not None:
            yield "Status when last seen", resource.status
        if resource.node_group is not None:
            yield "Node group", resource.node_group
    if verdict.step is not None:
        yield "Created by step", str(verdict.step)
    yield "Decided by", f"row {verdict.row} of the verdict table"


def _name(verdict: Verdict) -> str:
    """Return what people call a resource."""
    return verdict.name or verdict.id or f"create {verdict.step}"


def _commands(text: str) -> list[tuple[bool, str]]:
    """Return a text in parts, and of each whether it is a command: those stand between backticks."""
    return [(bool(number % 2), part) for number, part in enumerate(text.split("`")) if part]


def _style(bar: Bar, scale: Scale) -> str:
    """Return where a bar stands."""
    left, right = scale.span(bar)
    return f"--from:{100 * left:.2f}%;--long:{100 * (right - left):.2f}%"


def _percent(place: float) -> str:
    return f"{100 * place:.2f}%"
