"""What the verdict table asks: a history as read to its end, and one resource of it, with what the other modules make of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from uuid import UUID

from journal.events import Decommission, OperationKind, ResourceKind, Stage, StepOutcome
from projections.coverage import covering_steps, using_steps
from projections.fold import History, Operation, Resource, SpokenWord, Step
from projections.left_over import Cause, left_over
from projections.origin import Kind, Origins
from projections.presence import Presence, absent_creates, lost_creates, presence
from projections.standing import standing_word
from projections.users import made_with, seen_users, users


class Reading:
    """A history as read to its end: what its definitions amount to. All of it is computed once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.origins = Origins(history)

    @property
    def unfinished(self) -> Operation | None:
        """The unfinished operation, F."""
        return self.history.unfinished

    @cached_property
    def absent(self) -> Mapping[UUID, Presence]:
        """The creates that nothing is known of and whose absence is proved."""
        return absent_creates(self.history, self.origins)

    @cached_property
    def scale_stage(self) -> Stage | None:
        """The furthest stage of the unfinished operation, if that is a scale."""
        f = self.unfinished
        return f.furthest_stage if f is not None and f.kind is OperationKind.SCALE else None

    @cached_property
    def victims(self) -> Mapping[str, None]:
        """The victims of the unfinished operation. There must be one."""
        assert self.unfinished is not None, "rows of a scale ask"
        return self.unfinished.victims

    @cached_property
    def decommission_complete(self) -> bool:
        """Whether every victim of the unfinished operation, gone or not, is decommissioned."""
        return all(self.decommission_of(victim) is not None for victim in self.victims)

    def decommission_of(self, victim: str) -> Step | None:
        """Return the decommission that makes this victim decommissioned, or None if it is not.

        What is no server is decommissioned itself, or with every server that it came with.
        """
        resource = self.history.resources[victim]
        steps = [step for step in self.covering(resource) if step.operation is self.unfinished]
        last = max((s for s in steps if isinstance(s.intent, Decommission)), key=lambda s: s.begun, default=None)
        if last is None or not last.ended_as(StepOutcome.SUCCEEDED):
            return None
        used_since = any(step.operation is self.unfinished and step.begun > last.begun for step in self.using(resource))
        if used_since or not (self._is_decommissioned_itself(resource) or all(map(self._has_let_go, self._servers_of(resource)))):
            return None
        return last

    def _is_decommissioned_itself(self, resource: Resource) -> bool:
        """Whether the last decommission in the unfinished operation that lists it succeeded."""
        mine = [s for s in resource.listed_by if s.operation is self.unfinished and isinstance(s.intent, Decommission)]
        return bool(mine) and mine[-1].ended_as(StepOutcome.SUCCEEDED)

    def _servers_of(self, resource: Resource) -> Mapping[str, Resource]:
        """Return the servers that a resource came with."""
        servers = (*made_with(self.origins, resource), *seen_users(self.history, resource))
        return {server.id: server for server in servers}

    def _has_let_go(self, server_id: str) -> bool:
        """Whether a server has no data left on what came with it: it is decommissioned, or was gone and no victim."""
        if server_id in self.victims:
            return self.decommission_of(server_id) is not None
        fact = presence(self.history, self.origins, self.history.resources[server_id])
        return fact is not None and not fact.there

    def covering(self, resource: Resource) -> Iterator[Step]:
        """Yield the steps that cover a resource."""
        return covering_steps(self.history, self.origins, resource)

    def using(self, resource: Resource) -> Iterator[Step]:
        """Yield the steps after which a resource may hold data."""
        return using_steps(self.history, self.origins, resource)

    @cached_property
    def lost(self) -> Sequence[Step]:
        """The creates that nothing is known of: those whose original is not known."""
        return lost_creates(self.history, self.origins)

    @cached_property
    def kinds(self) -> Collection[ResourceKind]:
        """The kinds of all that there is something to say of."""
        lost = (create.creates for create in self.lost)
        return {resource.kind for resource in self.history.resources.values()}.union(filter(None, lost))

    def cases(self, kind: ResourceKind) -> Iterator["Case"]:
        """Yield all of a kind that there is something to say of: each known one, then each create that nothing is known of."""
        for resource in self.history.resources.values():
            if resource.kind is kind:
                yield Case(self, resource, None)
        for create in self.lost:
            if create.creates is kind:
                yield Case(self, None, create)


class Case:
    """One resource before the table: a known one, or a `lost` create whose original is not known.

    `kind`: what it is; `create`: the create step that made it, or that is lost.
    """

    def __init__(self, reading: Reading, resource: Resource | None, lost: Step | None) -> None:
        self.reading = reading
        self.history = reading.history
        self.lost = lost
        self._resource = resource
        self.create: Step | None
        if lost is not None:
            self.kind, self.create = lost.creates or ResourceKind.SERVER, lost
        else:
            self.origin = reading.origins.of(self.resource)
            self.kind, self.create = self.resource.kind, self.origin.created_by

    @property
    def resource(self) -> Resource:
        """The resource. Only rows that `lost` creates never reach may ask."""
        assert self._resource is not None, "a create that nothing is known of is decided by rows 2 and 3"
        return self._resource

    @property
    def presence(self) -> Presence | None:
        """The latest fact about whether it is there."""
        if self.lost is not None:
            return self.reading.absent.get(self.lost.id)
        return presence(self.history, self.reading.origins, self.resource)

    @property
    def is_gone(self) -> bool:
        """Whether it is not there."""
        fact = self.presence
        return fact is not None and not fact.there

    @property
    def word(self) -> SpokenWord | None:
        """The operator's word that stands."""
        return standing_word(self.history, self.reading.origins, self.resource)

    @cached_property
    def uses(self) -> tuple[int, ...]:
        """The intents, of any operation, after which it may hold data."""
        return tuple(sorted({step.begun for step in self.reading.using(self.resource)}))

    @property
    def created_in_unfinished(self) -> bool:
        """Whether a create of the unfinished operation, or of what it took over, made it."""
        return self.create is not None and self.create.operation in self.history.in_unfinished

    @property
    def unasked(self) -> bool:
        """Whether it is a repeated POST, or landed late: nobody was told of it."""
        if self.create is None or self.resource.named_by is not None:
            return False
        return self.origin.kind is Kind.REPEATED or self.create.operation.finished is not None

    @property
    def deleted_in_ended(self) -> bool:
        """Whether a delete of it was done in an operation that ended."""
        return any(step.is_done_delete and step.operation.finished for step in self.resource.deletes)

    @property
    def is_victim(self) -> bool:
        """Whether it is a victim of the unfinished operation."""
        return self.resource.id in self.reading.victims

    @cached_property
    def decommission(self) -> Step | None:
        """The decommission that makes it decommissioned."""
        return self.reading.decommission_of(self.resource.id)

    @cached_property
    def delete_begun(self) -> Step | None:
        """The conductor's own delete of it in the unfinished operation, begun after it was decommissioned."""
        done = self.decommission
        if done is None:
            return None
        f = self.reading.unfinished
        mine = (s for s in self.resource.deletes if s.operation is f and s.intent.stage is not Stage.ROLLBACK)
        return next((step for step in mine if step.begun > done.begun), None)

    @property
    def left_over(self) -> Cause | None:
        """Why a person has to decide, if so."""
        unasked = self.unasked
        used = unasked and bool(self.uses)
        return left_over(self.history, self.reading.origins, self.resource, unasked=unasked, used=used)

    @property
    def basis(self) -> tuple[int, ...]:
        """The versions that tell what it is: its operation, create, completion, adoption or first sighting."""
        resource, create = self._resource, self.create
        if create is None:
            return (self.resource.known,)
        ended = () if create.completed is None else (create.completed,)
        if resource is None:
            return create.begun, *ended
        return create.operation.started, create.begun, *ended, resource.known

    def remaining_user(self, going: Collection[str]) -> tuple[str, int] | None:
        """Return a server that stays and uses it, with the version that says so."""
        return next((user for user in users(self.reading.origins, self.resource) if user[0] not in going), None)
