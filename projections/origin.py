"""Which create made which server: the original, a repeated POST, or a copy that somebody made."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from typing import Final
from uuid import UUID

import attrs

from projections.fold import History, Server, Step

BEFORE_INTENT: Final = timedelta(minutes=1)
"""How much earlier than its intent a server may seem made: clocks differ."""
AFTER_DEADLINE: Final = timedelta(hours=1)
"""How long after the deadline of its intent a request can have landed."""
REPEATED_AFTER_DEADLINE: Final = timedelta(minutes=1)
"""The same for a second server of one intent: a client repeats a POST at once or never."""


class Kind(Enum):
    """Where a server comes from."""

    ADOPTED = "adopted"
    ORIGINAL = "original"
    REPEATED = "repeated POST"
    COPY = "copy"
    UNMARKED = "unmarked"


@attrs.frozen(eq=False)
class Origin:
    """Where one server comes from; `create` is the step that made it, or whose mark a copy carries."""

    kind: Kind
    create: Step | None = None

    @property
    def created_by(self) -> Step | None:
        """The create step that made the server, if one of this journal did."""
        return self.create if self.kind in (Kind.ORIGINAL, Kind.REPEATED) else None


@attrs.frozen(eq=False)
class Origins:
    """The origin of every server of a history, and the creates whose original is known."""

    of: dict[str, Origin]
    originals: dict[UUID, Server]


def origins(history: History) -> Origins:
    """Work out where each server comes from, for the journal as read to its end."""
    marked: defaultdict[UUID, list[Server]] = defaultdict(list)
    for server in history.servers.values():
        if server.named_by is None and server.mark in history.creates:
            assert server.mark is not None
            marked[server.mark].append(server)
    known = {
        step_id: original for step_id, step in history.creates.items() if (original := _original(history, step, marked[step_id]))
    }
    return Origins({server.id: _origin(history, server, known) for server in history.servers.values()}, known)


def _original(history: History, create: Step, marked: list[Server]) -> Server | None:
    if create.named is not None:
        return history.servers[create.named]
    in_time = [server for server in marked if _made_within(server, create, AFTER_DEADLINE)]
    return min(in_time, key=lambda server: (server.made_at, server.id), default=None)


def _made_within(server: Server, create: Step, after_deadline: timedelta) -> bool:
    if server.made_at is None:
        return False
    return create.recorded_at - BEFORE_INTENT <= server.made_at <= create.intent.deadline + after_deadline


def _origin(history: History, server: Server, originals: dict[UUID, Server]) -> Origin:
    if server.adopted is not None:
        return Origin(Kind.ADOPTED)
    if server.named_by is not None:
        return Origin(Kind.ORIGINAL, server.named_by)
    create = history.creates.get(server.mark) if server.mark else None
    if create is None:
        return Origin(Kind.UNMARKED)
    if originals.get(create.id) is server:
        return Origin(Kind.ORIGINAL, create)
    if _made_within(server, create, REPEATED_AFTER_DEADLINE):
        return Origin(Kind.REPEATED, create)
    return Origin(Kind.COPY, create)


def covering_steps(history: History, server: Server, origin: Origin) -> Iterator[Step]:
    """Yield the steps that cover a server: those that list it, and those that list nothing and came after it."""
    yield from server.listed_by
    since = origin.created_by.begun if origin.created_by is not None else server.adopted
    if since is not None:
        yield from (step for step in history.blanket_steps if step.begun > since)
