"""What an event says, in words. What a number of events amounts to is told elsewhere."""

import json
from typing import assert_never

from journal.events import (
    Completion,
    Configure,
    Create,
    CreateResource,
    CreateServer,
    Custom,
    Data,
    Decommission,
    DeleteResource,
    DeleteServer,
    DeletionRequested,
    ErrorRecorded,
    HoldPlaced,
    HoldReleased,
    Intent,
    InventoryObserved,
    OperationFinished,
    OperationStarted,
    OperatorResolved,
    OwnershipTaken,
    PlanAction,
    PlanMade,
    ServersAdopted,
    Start,
    StepOutcome,
    listed_in,
)


def subject(intent: Intent) -> str:
    """Return what a step is about: the name of what it creates, else the ids of what it acts on."""
    if isinstance(intent, Create):
        return intent.name
    return ", ".join(listed_in(intent)) or "the whole cluster"


def told(data: Data, intent: Intent | None = None) -> str:  # noqa: C901, PLR0911, PLR0912 (one arm for each type of event)
    """Return an event in words; `intent`: of a completion, that of its step, if the reader has it."""
    match data:
        case OperationStarted():
            removing = f", which will remove {', '.join(data.victims)}" if data.victims else ""
            return f"{data.conductor} began a {data.kind} in cloud {data.cloud}{removing}"
        case (
            CreateServer()
            | CreateResource()
            | DeleteServer()
            | DeleteResource()
            | Decommission()
            | Configure()
            | Start()
            | Custom()
        ):
            return f"{_action(data)} of {subject(data)} began"
        case Completion():
            return _completed(data, intent)
        case OperationFinished():
            return f"the operation ended as {data.outcome}, the cluster as {data.cluster_status}{_because(data.reason)}"
        case DeletionRequested():
            return f"{data.by} asked for the cluster's deletion{_because(data.reason)}"
        case OwnershipTaken():
            return f"{data.conductor} took the cluster over: it {data.cause}"
        case InventoryObserved():
            seen = len(data.servers) + len(data.resources)
            whole = "all there was" if data.complete else "perhaps not all there was"
            return f"the cloud was listed: {seen} seen, {whole}"
        case ServersAdopted():
            return f"{data.by} adopted {', '.join(row.server_id for row in data.servers)}{_because(data.reason)}"
        case PlanMade():
            due = sum(row.action is PlanAction.DELETE for row in data.verdicts)
            return f"a plan was made: {due} to delete, the cluster becomes {data.cluster_status}"
        case OperatorResolved():
            about = f"create {data.step}" if data.about is None else data.about
            return f"{data.by} said that {about} is {data.verdict}{_because(data.reason)}"
        case ErrorRecorded():
            return f"an error in the {data.during}: {data.reason}"
        case HoldPlaced():
            return f"{data.by} placed a hold{_because(data.reason)}"
        case HoldReleased():
            return f"{data.by} released the hold{_because(data.reason)}"
        case _:
            assert_never(data)


def _action(intent: Intent) -> str:
    return intent.name if isinstance(intent, Custom) else intent.action


def _completed(data: Completion, intent: Intent | None) -> str:
    what = f"step {data.step}" if intent is None else f"{_action(intent)} of {subject(intent)}"
    made = "" if data.made is None else f": it made {data.made}"
    how = "found nothing" if data.outcome is StepOutcome.ABSENT else str(data.outcome)
    return f"{what} {how}{made}{_because(data.reason or '')}"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def legible(text: str, replacement: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Return a text in one line, without what could steer a terminal or turn the direction of what is around it."""
    return "".join(char if char.isprintable() else " " if char.isspace() else replacement for char in text)


def escaped(document: str) -> str:
    """Return a JSON document that says the same, with escapes for what could steer a terminal or turn the direction."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in document)


def counted(count: int, noun: str) -> str:
    """Return a number of things as a person says it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
