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


class Origins:
    """Where each resource of a history comes from, for the journal as read to its end.

    Of what a completion named or what was adopted the resource itself says so. Only the others have to be told apart by
    their marks: those are few, and worked out once.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._marked = _marked(history)
        self._found = {id_: _original(history.creates[id_], marked) for id_, marked in self._marked.items()}

    def of(self, resource: Resource) -> Origin:
        """Return where a resource comes from."""
        if resource.adopted is not None:
            return Origin(Kind.ADOPTED)
        if resource.named_by is not None:
            return Origin(Kind.ORIGINAL, resource.named_by)
        create = _marked_by(self._history, resource)
        if create is None:
            return Origin(Kind.UNMARKED)
        if self.original(create) is resource:
            return Origin(Kind.ORIGINAL, create)
        return Origin(Kind.REPEATED if _is_repeated(resource, create) else Kind.COPY, create)

    @property
    def tells_by_mark(self) -> bool:
        """Whether there is anything that only its mark ties to a create."""
        return bool(self._marked)

    def original(self, create: Step) -> Resource | None:
        """Return the original of a create, if it is known."""
        return self._found.get(create.id) if create.named is None else self._history.resources[create.named]

    def made(self, create: Step) -> list[Resource]:
        """Return all that a create made: what its completion named comes first."""
        named = [] if create.named is None else [self._history.resources[create.named]]
        return [each for each in (*named, *self._marked.get(create.id, ())) if self.of(each).created_by is create]


def _marked(history: History) -> dict[UUID, list[Resource]]:
    """Return what no completion named, by the create whose mark it carries."""
    marked: defaultdict[UUID, list[Resource]] = defaultdict(list)
    for resource in history.resources.values():
        create = _marked_by(history, resource) if resource.named_by is None else None
        if create is not None:
            marked[create.id].append(resource)
    return marked


def _marked_by(history: History, resource: Resource) -> Step | None:
    """Return the create whose mark a resource carries, if that is one of this journal and makes such."""
    create = history.creates.get(resource.mark) if resource.mark else None
    return create if create is not None and create.creates is resource.kind else None


def _original(create: Step, marked: list[Resource]) -> Resource | None:
    """Return which of what carries the mark of a create is its original, while no completion names one."""
    in_time = [resource for resource in marked if _made_within(resource, create, AFTER_DEADLINE)]
    return min(in_time, key=lambda resource: (resource.made_at or _first_seen(resource), resource.id), default=None)


def _first_seen(resource: Resource) -> datetime:
    assert resource.shown_first is not None, "only what was seen has a mark"
    return resource.shown_first.began_at


def _made_within(resource: Resource, create: Step, after_deadline: timedelta) -> bool:
    if resource.made_at is None:
        return resource.kind in TIMELESS
    return create.recorded_at - BEFORE_INTENT <= resource.made_at <= create.intent.deadline + after_deadline


def _is_repeated(resource: Resource, create: Step) -> bool:
    """Whether something was made in the time of its create, though it is not what that made first.

    Where no listing tells when it was made, it must have been seen in that time: anybody can give a name again later.
    """
    if resource.made_at is None and resource.kind in TIMELESS:
        return _first_seen(resource) <= create.intent.deadline + REPEATED_AFTER_DEADLINE
    return _made_within(resource, create, REPEATED_AFTER_DEADLINE)
