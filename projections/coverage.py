"""Which steps cover a resource, and after which of them it may hold data.

A server is covered by the steps that list it, and by those that list nothing and came after it. What a server brings
along is covered with the server: which one that is, the creates of servers that list it and the sightings say. Where no
create lists it, whatever was put to work may use it, once its id was known.
"""

from collections.abc import Iterator

from journal.events import ResourceKind
from projections.fold import History, Resource, Step
from projections.origin import Origins


def covering_steps(history: History, origins: Origins, resource: Resource) -> Iterator[Step]:
    """Yield the steps that cover a resource, some perhaps twice."""
    yield from resource.listed_by
    if resource.kind is ResourceKind.SERVER:
        created_by = origins.of[resource.id].created_by
        since = created_by.begun if created_by is not None else resource.adopted
        yield from _blanket_steps(history, since)
        return
    for create in resource.used_by:
        yield from _blanket_steps(history, create.begun)
        for server in origins.made.get(create.id, ()):
            yield from server.listed_by
    for server in seen_users(history, resource):
        yield from covering_steps(history, origins, server)


def using_steps(history: History, origins: Origins, resource: Resource) -> Iterator[Step]:
    """Yield the steps after which a resource may hold data, some perhaps twice."""
    yield from (step for step in covering_steps(history, origins, resource) if step.may_hold_data)
    if resource.kind is not ResourceKind.SERVER and not resource.used_by and resource.named is not None:
        yield from (step for step in history.uses if step.begun > resource.named)


def seen_users(history: History, resource: Resource) -> list[Resource]:
    """Return the servers of this history that a resource was ever seen attached to."""
    ids = dict.fromkeys(id_ for sighting in resource.sightings for id_ in sighting.attached_to)
    found = (history.resources.get(id_) for id_ in ids)
    return [server for server in found if server is not None and server.kind is ResourceKind.SERVER]


def _blanket_steps(history: History, since: int | None) -> Iterator[Step]:
    if since is not None:
        yield from (step for step in history.blanket_steps if step.begun > since)
