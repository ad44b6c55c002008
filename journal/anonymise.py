"""Events without what tells whose they are: ids, names and texts become numbered words, structure and times stay. Pure.

What a plan rests on stays as it is: which event speaks of what, when, how it ended, and the order of ids (of two
servers made at one moment, the one with the lower id is the original). Words are numbered, not made from what they
stand for, so nobody finds an original by trying.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Self
from uuid import UUID

import attrs

from journal.events import READ_REASONS, Event


class Treatment(Enum):
    """What becomes of a field, by what stands in it."""

    KEPT = "a word of the format, a number or a time: it stays"
    ROWS = "rows with fields of their own"
    STEP = "the id of a step: another UUID"
    ID = "ids of servers and other resources: words in the same order"
    NAME = "what a server, a resource or a custom step is called"
    GROUP = "a node group"
    CLOUD = "a cloud: region and project"
    CONDUCTOR = "a conductor"
    USER = "who said or owns something"
    TEXT = "what was written for people"
    DROPPED = "an object that no replay reads: an empty one"


TREATMENTS: Final[Mapping[str, Treatment]] = {
    "action": Treatment.KEPT,
    "as_of": Treatment.KEPT,
    "attached_to": Treatment.ID,
    "because": Treatment.TEXT,
    "began_at": Treatment.KEPT,
    "by": Treatment.USER,
    "cause": Treatment.TEXT,
    "cloud": Treatment.CLOUD,
    "cluster_status": Treatment.KEPT,
    "complete": Treatment.KEPT,
    "conductor": Treatment.CONDUCTOR,
    "created_at": Treatment.KEPT,
    "deadline": Treatment.KEPT,
    "during": Treatment.KEPT,
    "evidence": Treatment.KEPT,
    "kind": Treatment.KEPT,
    "kinds": Treatment.KEPT,
    "may_hold_data": Treatment.KEPT,
    "name": Treatment.NAME,
    "node_group": Treatment.GROUP,
    "outcome": Treatment.KEPT,
    "reason": Treatment.TEXT,
    "request": Treatment.DROPPED,
    "resource_id": Treatment.ID,
    "resource_ids": Treatment.ID,
    "resources": Treatment.ROWS,
    "server_id": Treatment.ID,
    "server_ids": Treatment.ID,
    "servers": Treatment.ROWS,
    "stage": Treatment.KEPT,
    "status": Treatment.KEPT,
    "step": Treatment.STEP,
    "user": Treatment.USER,
    "verdict": Treatment.KEPT,
    "verdicts": Treatment.ROWS,
    "victims": Treatment.ID,
}
"""What becomes of each field of an event's data, by its name. One that nobody has decided about is refused."""

_WORDS: Final[Mapping[Treatment, str]] = {
    Treatment.NAME: "name",
    Treatment.GROUP: "group",
    Treatment.CLOUD: "cloud",
    Treatment.CONDUCTOR: "conductor",
    Treatment.USER: "user",
    Treatment.TEXT: "text",
}
_SAME: Final[Mapping[Treatment, Treatment]] = {Treatment.CONDUCTOR: Treatment.USER}
"""What shares its words: a conductor can be who asks for something."""
_NO_SERVER: Final = " (no server)"
"""What uses something and is no server is told by a space in it: `host h1`."""


@attrs.frozen
class Anonymiser:
    """Gives each id and name its word, the same one wherever it stands. Made by `of` from all events of an export."""

    _clusters: Mapping[str, str]
    _ids: Mapping[str, str]
    _uuids: dict[UUID, UUID] = attrs.field(factory=dict, init=False)
    _words: dict[tuple[Treatment, str], str] = attrs.field(factory=dict, init=False)
    _counts: dict[Treatment, int] = attrs.field(factory=dict, init=False)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """Take in which clusters and which resources there are: their words keep their order."""
        clusters: set[str] = set()
        ids: set[str] = set()
        for event in events:
            clusters.add(event.stream)
            ids.update(_ids_in(event.data))
        return cls(
            {cluster: f"cluster-{number}" for cluster, number in _numbered(clusters)},
            {id_: f"id-{number}{_NO_SERVER if ' ' in id_ else ''}" for id_, number in _numbered(ids)},
        )

    def anonymised(self, event: Event) -> Event:
        """Return an event without what tells whose it is, and without its hash, which would be another.

        Raises KeyError for a cluster or an id that `of` has not seen, and for a field that nobody has decided about.
        """
        return Event(
            stream=self._clusters[event.stream],
            version=event.version,
            id=self._uuid(event.id),
            recorded_at=event.recorded_at,
            epoch=event.epoch,
            operation=None if event.operation is None else self._uuid(event.operation),
            data=self._row(event.data),
        )

    def _row(self, row: Any) -> Any:
        return attrs.evolve(row, **{name: self._value(how, value) for name, how, value in _fields(row)})

    def _value(self, how: Treatment, value: Any) -> Any:  # noqa: PLR0911 (one return for each treatment)
        if how is Treatment.KEPT or value in (None, ""):
            return value
        if isinstance(value, tuple):
            return tuple(self._value(how, item) for item in value)
        match how:
            case Treatment.ROWS:
                return self._row(value)
            case Treatment.STEP:
                return self._uuid(value)
            case Treatment.ID:
                return self._ids[value]
            case Treatment.DROPPED:
                return {}
            case Treatment.NAME if value in self._ids:
                return self._ids[value]  # a keypair's name is its id
            case Treatment.TEXT if value in READ_REASONS:
                return value
            case _:
                return self._word(how, value)

    def _uuid(self, id_: UUID) -> UUID:
        return self._uuids.setdefault(id_, UUID(f"00000000-0000-4000-8000-{len(self._uuids) + 1:012}"))

    def _word(self, how: Treatment, original: str) -> str:
        key = _SAME.get(how, how), original
        if key not in self._words:
            self._counts[how] = self._counts.get(how, 0) + 1
            self._words[key] = f"{_WORDS[how]}-{self._counts[how]}"
        return self._words[key]


def _fields(row: Any) -> Iterator[tuple[str, Treatment, Any]]:
    for field in attrs.fields(type(row)):
        yield field.name, TREATMENTS[field.name], getattr(row, field.name)


def _ids_in(row: Any) -> Iterator[str]:
    for _, how, value in _fields(row):
        if how is Treatment.ROWS:
            for inner in value:
                yield from _ids_in(inner)
        elif how is Treatment.ID and value is not None:
            yield from (value,) if isinstance(value, str) else value


def _numbered(originals: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each with its number, in an order that is that of the numbers as texts, too."""
    width = len(str(len(originals)))
    for number, original in enumerate(sorted(originals), start=1):
        yield original, f"{number:0{width}}"
