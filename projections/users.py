"""Which servers a resource came with, and which of them use it now, as far as the journal was told."""

from collections.abc import Iterator
from typing import Final

from journal.events import ResourceKind
from projections.fold import History, Resource
from projections.origin import Origins

UNSETTLED: Final = frozenset({None, "BUILD", "UNKNOWN"})
"""The statuses of a server that may be about to take what it is made with: Nova does so while it builds it."""


def named(user: str) -> str:
    """Return a user as a person is told of it: a server by its id; what is none comes as what it is, `host h1`."""
    return user if " " in user else f"server {user}"


def made_with(origins: Origins, resource: Resource) -> Iterator[Resource]:
    """Yield the servers that were made with a resource."""
    for create in resource.used_by:
        yield from origins.made(create)


def seen_users(history: History, resource: Resource) -> list[Resource]:
    """Return the servers of this history that a resource was ever seen attached to."""
    ids = dict.fromkeys(id_ for sighting in history.sightings(resource) for id_ in sighting.attached_to)
    found = (history.resources.get(id_) for id_ in ids)
    return [server for server in found if server is not None and server.kind is ResourceKind.SERVER]


def users(origins: Origins, resource: Resource) -> Iterator[tuple[str, int]]:
    """Yield the servers that use a resource: by id, the version that says so.

    Those that used it when it was last seen; those that were made with it since; and those that were made with it and
    may still be about to take it.
    """
    last = resource.last_seen
    if last is not None:
        yield from ((id_, last.listing.version) for id_ in last.attached_to)
    for create in resource.used_by:
        is_newer = last is None or create.completed is None or create.completed > last.listing.as_of
        for server in origins.made(create):
            if is_newer or server.status in UNSETTLED:
                yield server.id, create.begun
