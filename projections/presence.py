"""Whether a server is there, and whether a create without a server is proved absent.

Only sightings, complete listings, done deletes, `absent` creates, an operator's `gone` and adoption speak of it. Each
speaks for a moment: an observation for its `as_of`, everything else for its own version. The latest moment wins; at
one moment, the later event.
"""

from collections.abc import Iterator
from uuid import UUID

import attrs

from journal.events import StepOutcome
from projections.fold import History, Listing, Server, Step
from projections.origin import Origins


@attrs.frozen(order=True)
class Presence:
    """One fact about a server: at `moment`, by the event at `version`, it was there or not. The greatest is the latest."""

    moment: int
    version: int
    there: bool


def presence(history: History, origins: Origins, server: Server) -> Presence | None:
    """Return the latest fact about a server, or None if nothing has been said: it is taken to be there."""
    return max(_facts(history, origins, server), default=None)


def _facts(history: History, origins: Origins, server: Server) -> Iterator[Presence]:
    if server.adopted is not None:
        yield Presence(server.adopted, server.adopted, there=True)
    for sighting in server.sightings:
        yield Presence(*sighting.listing.moment, there=sighting.there)
    for listing in history.listings:
        if listing.complete and server.known <= listing.as_of and server.id not in listing.server_ids:
            yield Presence(*listing.moment, there=False)
    for step in server.deletes:
        if step.is_done_delete:
            assert step.completed is not None
            yield Presence(step.completed, step.completed, there=False)
    create = _create_of_original(history, origins, server)
    if create is not None:
        yield from _said_absent(history, create)


def _create_of_original(history: History, origins: Origins, server: Server) -> Step | None:
    if server.named_by is not None:
        return server.named_by
    create = history.creates.get(server.mark) if server.mark else None
    return create if create is not None and origins.originals.get(create.id) is server else None


def _said_absent(history: History, create: Step) -> Iterator[Presence]:
    if create.ended_as(StepOutcome.ABSENT):
        assert create.completed is not None
        yield Presence(create.completed, create.completed, there=False)
    if create.id in history.gone:
        yield Presence(history.gone[create.id], history.gone[create.id], there=False)


def absent_creates(history: History, origins: Origins) -> dict[UUID, Presence]:
    """Return the creates without a known original whose absence is proved, and the fact that proves it."""
    unknown_time = {s.id: s.mark for s in history.servers.values() if s.made_at is None and s.mark is not None}
    result = {}
    for create in history.creates.values():
        if create.id in origins.originals:
            continue
        listed = (Presence(*li.moment, there=False) for li in history.listings if _proves_absent(li, create, unknown_time))
        proof = max((*listed, *_said_absent(history, create)), default=None)
        if proof is not None:
            result[create.id] = proof
    return result


def _proves_absent(listing: Listing, create: Step, unknown_time: dict[str, UUID]) -> bool:
    return (
        listing.complete
        and create.begun <= listing.as_of
        and create.intent.deadline < listing.began_at
        and not any(mark == create.id and server_id in listing.server_ids for server_id, mark in unknown_time.items())
    )


def knowledge(history: History, origins: Origins) -> dict[str | UUID, object]:
    """Return all that observations have taught: what an observation must change to be news."""
    servers: dict[str | UUID, object] = {
        server.id: (server.status, fact is None or fact.there, server.mark, server.made_at, server.name)
        for server in history.servers.values()
        for fact in [presence(history, origins, server)]
    }
    return {**servers, **dict.fromkeys(absent_creates(history, origins), "absent")}
