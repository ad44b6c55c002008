"""How far a resource has come in its life, in a word."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from journal.events import Configure, Custom, Decommission, Delete, DeleteResource, DeleteServer, Intent, Start, StepOutcome
from projections.cases import Reading
from projections.fold import Resource, Step
from projections.origin import Kind
from projections.presence import presence


class Lifecycle(StrEnum):
    """The last thing that is known to have begun with a resource."""

    FOUND = "found"
    CREATED = "created"
    ADOPTED = "adopted"
    CONFIGURED = "configured"
    STARTED = "started"
    WORKED_ON = "worked on"
    DECOMMISSIONED = "decommissioned"
    DELETING = "deleting"
    GONE = "gone"


_AFTER: Final[Mapping[type[Intent], Lifecycle]] = {
    Configure: Lifecycle.CONFIGURED,
    Start: Lifecycle.STARTED,
    Custom: Lifecycle.WORKED_ON,
    Decommission: Lifecycle.DECOMMISSIONED,
    DeleteServer: Lifecycle.DELETING,
    DeleteResource: Lifecycle.DELETING,
}
"""By the last step that covers it. A create covers nothing."""


def lifecycle(reading: Reading, resource: Resource) -> Lifecycle:
    """Return how far a resource has come: by the last step that covers it, unless it is gone."""
    last_fact = presence(reading.history, reading.origins, resource)
    if last_fact is not None and not last_fact.there:
        return Lifecycle.GONE
    begun = [step for step in reading.covering(resource) if not _has_failed(step)]
    last = max(begun, key=lambda step: step.begun, default=None)
    return _first(reading, resource) if last is None else _AFTER[type(last.intent)]


def _has_failed(step: Step) -> bool:
    return step.ended_as(StepOutcome.FAILED) and isinstance(step.intent, Delete | Decommission)


def _first(reading: Reading, resource: Resource) -> Lifecycle:
    match reading.origins.of(resource).kind:
        case Kind.ADOPTED:
            return Lifecycle.ADOPTED
        case Kind.ORIGINAL | Kind.REPEATED:
            return Lifecycle.CREATED
        case _:
            return Lifecycle.FOUND
