"""Which create made which resource: the original, a repeated POST, or a copy that somebody made."""

from collections import defaultdict
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

import attrs

from journal.events import ResourceKind
from projections.fold import History, Resource, Step

BEFORE_INTENT: Final = timedelta(minutes=1)
"""How much earlier than its intent something may seem made: clocks differ."""
AFTER_DEADLINE: Final = timedelta(hours=1)
"""How long after the deadline of its intent a request can have landed."""
REPEATED_AFTER_DEADLINE: Final = timedelta(minutes=1)
"""The same for a second server of one intent: a client repeats a POST at once or never."""


TIMELESS: Final = frozenset({ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR})
"""The kinds of which no listing tells when they were made: what is known of that is when they were first seen."""


class Kind(Enum):
    """Where a resource comes from."""

    ADOPTED = "adopted"
    ORIGINAL = "original"
    REPEATED = "repeated POST"
    COPY = "copy"
    UNMARKED = "unmarked"


@attrs.frozen(eq=False)
class Origin:
    """Where one resource comes from; `create` is the step that made it, or whose mark a copy carries."""

    kind: Kind
    create: Step | None = None

    @property
    def created_by(self) -> Step | None:
        """The create step that made it, if one of this journal did."""
        return self.create if self.kind in (Kind.ORIGINAL, Kind.REPEATED) else None


@attrs.frozen(eq=False)
class Origins:
    """The origin of every resource of a history, the creates whose original is known, and all that each create made."""

    of: dict[str, Origin]
    originals: dict[UUID, Resource]
    made: dict[UUID, list[Resource]]


def origins(history: History) -> Origins:
    """Work out where each resource comes from, for the journal as read to its end."""
    marked: defaultdict[UUID, list[Resource]] = defaultdict(list)
    for resource in history.resources.values():
        create = history.creates.get(resource.mark) if resource.mark else None
        if create is not None and resource.named_by is None and create.creates is resource.kind:
            marked[create.id].append(resource)
    known = {
        step_id: original for step_id, step in history.creates.items() if (original := _original(history, step, marked[step_id]))
    }
    found = {resource.id: _origin(history, resource, known) for resource in history.resources.values()}
    made: defaultdict[UUID, list[Resource]] = defaultdict(list)
    for id_, origin in found.items():
        if origin.created_by is not None:
            made[origin.created_by.id].append(history.resources[id_])
    return Origins(found, known, made)


def _original(history: History, create: Step, marked: list[Resource]) -> Resource | None:
    if create.named is not None:
        return history.resources[create.named]
    in_time = [resource for resource in marked if _made_within(resource, create, AFTER_DEADLINE)]
    return min(in_time, key=lambda resource: (resource.made_at or _first_seen(resource), resource.id), default=None)


def _first_seen(resource: Resource) -> datetime:
    return resource.sightings[0].listing.began_at


def _made_within(resource: Resource, create: Step, after_deadline: timedelta) -> bool:
    if resource.made_at is None:
        return resource.kind in TIMELESS
    return create.recorded_at - BEFORE_INTENT <= resource.made_at <= create.intent.deadline + after_deadline


def _origin(history: History, resource: Resource, originals: dict[UUID, Resource]) -> Origin:
    if resource.adopted is not None:
        return Origin(Kind.ADOPTED)
    if resource.named_by is not None:
        return Origin(Kind.ORIGINAL, resource.named_by)
    create = history.creates.get(resource.mark) if resource.mark else None
    if create is None or create.creates is not resource.kind:
        return Origin(Kind.UNMARKED)
    if originals.get(create.id) is resource:
        return Origin(Kind.ORIGINAL, create)
    return Origin(Kind.REPEATED if _is_repeated(resource, create) else Kind.COPY, create)


def _is_repeated(resource: Resource, create: Step) -> bool:
    """Whether something was made in the time of its create, though it is not what that made first.

    Where no listing tells when it was made, it must have been seen in that time: anybody can give a name again later.
    """
    if resource.made_at is None and resource.kind in TIMELESS:
        return _first_seen(resource) <= create.intent.deadline + REPEATED_AFTER_DEADLINE
    return _made_within(resource, create, REPEATED_AFTER_DEADLINE)
