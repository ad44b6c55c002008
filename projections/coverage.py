"""Which steps cover a resource, and after which of them it may hold data.

A server is covered by the steps that list it, and by those that list nothing and came after it. What a server brings
along is covered with the server: which one that is, the creates of servers that list it and the sightings say. As long
as no server has it, whatever is put to work may use it.
"""

from bisect import bisect_left
from collections.abc import Iterator
from math import inf
from typing import Self

import attrs

from journal.events import FOUND_BY_MARK, Decommission, ResourceKind, Stage, StepOutcome
from projections.fold import History, Resource, Step
from projections.origin import Origins
from projections.users import seen_users


def covering_steps(history: History, origins: Origins, resource: Resource) -> Iterator[Step]:
    """Yield the steps that cover a resource, some perhaps twice."""
    yield from resource.listed_by
    if resource.kind is ResourceKind.SERVER:
        created_by = origins.of(resource).created_by
        since = created_by.begun if created_by is not None else resource.adopted
        yield from _blanket_steps(history, since)
        return
    for create in resource.used_by:
        yield from _blanket_steps(history, create.begun)
        for server in origins.made(create):
            yield from server.listed_by
    for server in seen_users(history, resource):
        yield from covering_steps(history, origins, server)


def using_steps(history: History, origins: Origins, resource: Resource) -> Iterator[Step]:
    """Yield the steps after which a resource may hold data, some perhaps twice."""
    yield from (step for step in covering_steps(history, origins, resource) if step.may_hold_data)
    if resource.kind is not ResourceKind.SERVER:
        yield from _free_uses(history, resource)


def was_found_by_mark(create: Step) -> bool:
    """Whether a create was completed by a compensation that found what it made."""
    return create.completion is not None and create.completion.reason == FOUND_BY_MARK


def _blanket_steps(history: History, since: int | None) -> Iterator[Step]:
    if since is not None:
        yield from (step for step in history.blanket_steps if step.begun > since)


def _free_uses(history: History, resource: Resource) -> Iterator[Step]:
    """Yield the steps that put anything to work while a resource was known and no server's: they may have used it."""
    for free in _free_times(history, resource):
        for index in reversed(range(bisect_left(history.uses, free.until, key=lambda step: step.begun))):
            step = history.uses[index]
            operation_ended = step.operation.finished or inf
            if step.begun <= free.begun_after or operation_ended < free.ended_after:
                break  # no earlier step began, and no earlier operation ended, later
            if (step.completed or operation_ended) > free.ended_after:
                yield step


@attrs.frozen
class _Free:
    """A time in which no server had something: which steps fall into it, by the versions of their intents and ends.

    A step that is under way when its conductor learns that something is free can use it. What a compensation has found
    out, nobody knew who had begun before.
    """

    begun_after: float
    ended_after: float
    until: float = inf

    @classmethod
    def since(cls, version: int, *, conductor_knew: bool) -> Self:
        return cls(0 if conductor_knew else version, version)


def _free_times(history: History, resource: Resource) -> Iterator[_Free]:
    named_by = resource.named_by
    if named_by is None:
        return
    assert named_by.completed is not None, "a completion named it"
    free = _Free.since(named_by.completed, conductor_knew=not was_found_by_mark(named_by))
    for create in resource.used_by:
        if create.ended_as(StepOutcome.FAILED) and create.named is None:
            continue  # it made nothing, as its conductor was told
        if free.ended_after < create.begun:
            yield attrs.evolve(free, until=create.begun)
        again = _free_again(history, resource, create)
        if again is None:
            return
        free = again
    yield free


def _free_again(history: History, resource: Resource, create: Step) -> _Free | None:
    """Return since when what a create of a server lists has no server again, if ever.

    From the moment in which its conductor deletes the server it can be put to another use, unless it was decommissioned:
    then it is about to be deleted, too.
    """
    if create.ended_as(StepOutcome.ABSENT):
        assert create.completed is not None
        return _Free.since(create.completed, conductor_knew=False)
    if create.named is None:
        return None
    server = history.resources[create.named]
    if any(isinstance(step.intent, Decommission) for step in (*server.listed_by, *resource.listed_by)):
        return None
    deletes = (step for step in server.deletes if step.intent.stage is not Stage.ROLLBACK)
    return next((_Free.since(step.begun, conductor_knew=True) for step in deletes), None)
