"""The story of one resource: every event that says something of it, in words, up to its verdict."""

from datetime import datetime

import attrs

from journal.events import (
    DeletionRequested,
    Event,
    HoldPlaced,
    HoldReleased,
    InventoryObserved,
    OperationFinished,
    OperationStarted,
    OperatorResolved,
    ResourceKind,
    ServersAdopted,
)
from journal.wording import subject, told
from projections.cases import Case, Reading
from projections.fold import History, Resource, Step, fold
from projections.verdicts import Verdict, verdicts


@attrs.frozen
class Chapter:
    """One event of a story; `is_evidence`: whether the verdict rests on it."""

    version: int
    recorded_at: datetime
    what: str
    is_evidence: bool


@attrs.frozen
class Story:
    """What is known of one resource, and what replay says of it, if anything."""

    id: str
    chapters: tuple[Chapter, ...]
    verdict: Verdict | None
    last_version: int
    """The version that the verdict is of."""


def story(events: tuple[Event, ...], id_: str) -> Story | None:
    """Return the story of the resource with this id, or that a create of this step would have made; None if there is none."""
    reading = Reading(fold(events))
    found = verdicts(reading.history)
    case = next((case for kind in reading.kinds for case in reading.cases(kind) if _is_of(case, id_)), None)
    if case is None:
        return None
    verdict = next((v for v in found if id_ in (v.id, str(v.step) if v.id is None else None)), None)
    evidence = frozenset(() if verdict is None else verdict.evidence)
    telling = _Telling(reading, case)
    chapters = (
        Chapter(event.version, event.recorded_at, what, event.version in evidence)
        for event in events
        if (what := telling.what(event, is_evidence=event.version in evidence)) is not None
    )
    return Story(id_, tuple(chapters), verdict, reading.history.version)


def meant(history: History, text: str) -> tuple[str, ...]:
    """Return what can be meant by a text: the ids of resources, or of the steps of creates in doubt, by id, name or beginning."""
    known = {id_: resource.name for id_, resource in history.resources.items()}
    creates = {str(step.id): subject(step.intent) for step in history.creates.values()}
    for is_it in (lambda id_, _: id_ == text, lambda _, name: name == text, lambda id_, _: id_.startswith(text)):
        found = [id_ for id_, name in (*known.items(), *creates.items()) if is_it(id_, name)]
        if found:
            return tuple(found)
    return ()


def _is_of(case: Case, id_: str) -> bool:
    return str(case.lost.id) == id_ if case.lost is not None else case.resource.id == id_


class _Telling:
    """Tells of each event, one after the other, what it says of one resource."""

    def __init__(self, reading: Reading, case: Case) -> None:
        self._history = reading.history
        self._create = case.create
        self._resource: Resource | None = None if case.lost is not None else case.resource
        steps = [] if case.create is None else [case.create]
        if self._resource is not None:
            steps += [*reading.covering(self._resource), *self._resource.used_by]
        self._begun = {step.begun: step for step in steps}
        self._completed = {step.completed: step for step in steps if step.completed is not None}
        operations = [step.operation for step in steps]
        operations += [] if self._resource is None else list(self._resource.victim_of)
        self._operations = {operation.id for operation in operations}
        self._seen: object = self  # what no listing shows

    def what(self, event: Event, *, is_evidence: bool) -> str | None:  # noqa: PLR0911 (one arm for each way to be about it)
        """Return what an event says of the resource, or None if it says nothing."""
        data = event.data
        match data:
            case OperationStarted() | OperationFinished():
                about = event.operation in self._operations or is_evidence
                return told(data) if about else None
            case InventoryObserved():
                return self._observed(data, event.version)
            case ServersAdopted(servers=rows):
                mine = self._resource is not None and any(row.server_id == self._resource.id for row in rows)
                return told(data) if mine else None
            case OperatorResolved():
                return told(data) if self._is_said_of_it(data) else None
            case DeletionRequested() | HoldPlaced() | HoldReleased():
                return told(data)
            case _ if event.version in self._begun:
                step = self._begun[event.version]
                whole = " (this one among them)" if step.covers_all else ""
                return f"{told(step.intent)}{whole}"
            case _ if event.version in self._completed:
                return told(data, self._completed[event.version].intent)
            case _:
                return told(data) if is_evidence else None

    def _is_said_of_it(self, data: OperatorResolved) -> bool:
        if data.about is not None:
            return self._resource is not None and data.about == self._resource.id
        return self._create is not None and data.step == self._create.id

    def _observed(self, data: InventoryObserved, version: int) -> str | None:
        """Return what a listing shows of it, unless that is what the listing before showed."""
        if self._resource is None:
            assert self._create is not None, "what has no id is a create"
            return None if version < self._create.begun else self._looked_for(data, self._create)
        sighting = next((seen for seen in self._history.sightings(self._resource) if seen.listing.version == version), None)
        if sighting is None and version < self._resource.known:
            return None
        shown = None if sighting is None else (sighting.status, sighting.attached_to)
        if shown == self._seen:
            return None
        self._seen = shown
        if sighting is None:
            return f"the cloud was listed: it was not seen{_limits(data, self._resource.kind)}"
        used = f", used by {', '.join(sighting.attached_to)}" if sighting.attached_to else ""
        return f"the cloud was listed: it was there, {sighting.status}{used}"

    @staticmethod
    def _looked_for(data: InventoryObserved, create: Step) -> str:
        """Return what a listing shows of a create of which nothing is known: a row with its mark is no work of it."""
        marks = {*(row.step for row in data.servers), *(row.step for row in data.resources)}
        what = "only somebody's copy carries" if create.id in marks else "nothing carries"
        return f"the cloud was listed: {what} the mark {create.id}{_limits(data, create.creates)}"


def _limits(data: InventoryObserved, kind: ResourceKind | None) -> str:
    """Return what stands against taking a listing for all that there is of a kind."""
    whole = data.complete if kind in (None, ResourceKind.SERVER) else kind in data.kinds
    return "" if whole else ", but not all there was could be seen"
