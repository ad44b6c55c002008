"""Whether a resource is there, and whether a create that nothing is known of is proved absent.

Only sightings, complete listings, done deletes, `absent` creates, an operator's `gone` and adoption speak of it. Each
speaks for a moment: an observation for its `as_of`, everything else for its own version. The latest moment wins; at
one moment, the later event.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple
from uuid import UUID

from journal.events import DELETED_STATUSES, SOFTLY_DELETED, StepOutcome
from projections.fold import History, Listing, Resource, Step
from projections.origin import TIMELESS, Origins


class Presence(NamedTuple):
    """One fact about a resource: at `moment`, by the event at `version`, it was there or not. The greatest is the latest."""

    moment: int
    version: int
    there: bool


def presence(history: History, origins: Origins, resource: Resource) -> Presence | None:
    """Return the latest fact about a resource, or None if nothing has been said: it is taken to be there."""
    return max(_facts(history, origins, resource), default=None)


def can_be_gone(history: History) -> bool:
    """Whether anything that is known can be gone: if nothing was listed, deleted or said to be gone, all of it is there."""
    return bool(history.listings or history.deletes_something or history.gone)


def _facts(history: History, origins: Origins, resource: Resource) -> Iterator[Presence]:
    if resource.adopted is not None:
        yield Presence(resource.adopted, resource.adopted, there=True)
    create = _create_of_original(history, origins, resource)
    for listing in history.listings:
        row = listing.rows.get(resource.id)
        if row is not None:
            yield Presence(*listing.moment, there=row.status not in DELETED_STATUSES)
        elif resource.known <= listing.as_of and listing.would_show(resource.kind, None if create is None else create.user):
            yield Presence(*listing.moment, there=False)
    for step in resource.deletes:
        if step.is_done_delete:
            assert step.completed is not None
            yield Presence(step.completed, step.completed, there=False)
    if create is not None:
        yield from _said_absent(history, create)


def _create_of_original(history: History, origins: Origins, resource: Resource) -> Step | None:
    if resource.named_by is not None:
        return resource.named_by
    create = history.creates.get(resource.mark) if resource.mark else None
    return create if create is not None and origins.original(create) is resource else None


def _said_absent(history: History, create: Step) -> Iterator[Presence]:
    if create.ended_as(StepOutcome.ABSENT):
        assert create.completed is not None
        yield Presence(create.completed, create.completed, there=False)
    if history.gone and create.id in history.gone:
        yield Presence(history.gone[create.id], history.gone[create.id], there=False)


def lost_creates(history: History, origins: Origins) -> list[Step]:
    """Return the creates without a known original."""
    return [create for create in history.creates.values() if origins.original(create) is None]


def absent_creates(history: History, origins: Origins) -> dict[UUID, Presence]:
    """Return the creates without a known original whose absence is proved, and the fact that proves it."""
    lost = lost_creates(history, origins)
    if not lost:
        return {}
    unknown_time = {
        resource.id: resource.mark
        for resource in history.resources.values()
        if resource.made_at is None and resource.mark is not None and resource.kind not in TIMELESS
    }
    result = {}
    for create in lost:
        listed = (Presence(*li.moment, there=False) for li in history.listings if _proves_absent(li, create, unknown_time))
        proof = max((*listed, *_said_absent(history, create)), default=None)
        if proof is not None:
            result[create.id] = proof
    return result


def _proves_absent(listing: Listing, create: Step, unknown_time: dict[str, UUID]) -> bool:
    return (
        listing.would_show(create.creates, create.user)
        and create.begun <= listing.as_of
        and create.intent.deadline < listing.began_at
        and not any(mark == create.id and id_ in listing.rows for id_, mark in unknown_time.items())
    )


def knowledge(history: History, origins: Origins) -> dict[str | UUID, object]:
    """Return all that observations have taught: what an observation must change to be news.

    That a server which is gone has let go of something is no news, unless it was one that lingers.
    """
    facts = {resource.id: presence(history, origins, resource) for resource in history.resources.values()}
    there = {id_: fact is None or fact.there for id_, fact in facts.items()}
    holding = {id_ for id_, resource in history.resources.items() if there[id_] or lingers(resource)}
    seen: dict[str | UUID, object] = {
        resource.id: (there[resource.id], resource.mark, resource.made_at, resource.name, *_shown(history, resource, holding))
        for resource in history.resources.values()
    }
    return {**seen, **dict.fromkeys(absent_creates(history, origins))}


def _shown(history: History, resource: Resource, holding: Collection[str]) -> tuple[object, ...]:
    last = resource.last_seen
    if last is None:
        return ()
    return last.status, frozenset(id_ for id_ in last.attached_to if id_ in holding or id_ not in history.resources)


def lingers(server: Resource) -> bool:
    """Whether a server is soft-deleted, as far as was told: it is gone, but lets go of nothing that it uses.

    Nova does not list such a server, so how its delete ended says so.
    """
    ends = (step.completion.reason for step in server.deletes if step.completion is not None)
    return server.status == "SOFT_DELETED" or SOFTLY_DELETED in ends
