"""Events → the history of one cluster: its operations, steps, resources, listings and words, as the journal tells them.

The fold only collects; what it all amounts to is worked out in `origin`, `presence`, `standing` and `verdicts`, each
as a pure function of a history. Events must have passed `journal.rules`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Self, TypeVar, assert_never
from uuid import UUID

import attrs

from journal.events import (
    DELETED_STATUSES,
    OF_A_USER,
    ClusterStatus,
    Completion,
    Configure,
    Create,
    CreateResource,
    CreateServer,
    Custom,
    Decommission,
    Delete,
    DeleteResource,
    DeleteServer,
    DeletionRequested,
    ErrorRecorded,
    Event,
    HoldPlaced,
    HoldReleased,
    Intent,
    InventoryObserved,
    ObservedResource,
    ObservedServer,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    OwnershipTaken,
    PlanMade,
    ResourceKind,
    ServersAdopted,
    Stage,
    Start,
    StepOutcome,
    Word,
    deleted_by,
    kind_made,
    knows_absence,
    listed_in,
)

Item = TypeVar("Item")


@attrs.define(eq=False, weakref_slot=False)
class Step:
    """One step of an operation: the event of its intent, and that of its completion once there is one."""

    operation: "Operation"
    began: Event
    ended: Event | None = None

    @property
    def intent(self) -> Intent:
        """What the step set out to do."""
        return self.began.data  # type: ignore[return-value]  # only an intent begins one

    @property
    def id(self) -> UUID:
        """The step's id, which marks what it creates."""
        return self.intent.step

    @property
    def begun(self) -> int:
        """The version of its intent."""
        return self.began.version

    @property
    def recorded_at(self) -> datetime:
        """When its intent was recorded."""
        return self.began.recorded_at

    @property
    def completion(self) -> Completion | None:
        """How it ended, once it has."""
        return None if self.ended is None else self.ended.data  # type: ignore[return-value]  # only a completion ends one

    @property
    def completed(self) -> int | None:
        """The version of its completion."""
        return None if self.ended is None else self.ended.version

    @property
    def listed(self) -> tuple[str, ...]:
        """The ids of the resources that the step acts on, as far as it lists them."""
        return listed_in(self.intent)

    @property
    def creates(self) -> ResourceKind | None:
        """What the step creates."""
        match self.intent:
            case CreateServer() | CreateResource() as create:
                return kind_made(create)
            case _:
                return None

    @property
    def user(self) -> str | None:
        """The user to whom what the step creates belongs, as far as its intent says."""
        return self.intent.user if isinstance(self.intent, CreateResource) else None

    @property
    def covers_all(self) -> bool:
        """Whether the step lists nothing and so covers whatever is in the cluster."""
        match self.intent:
            case Configure(server_ids=()) | Start(server_ids=()) | Custom(server_ids=()):
                return True
            case _:
                return False

    @property
    def may_hold_data(self) -> bool:
        """Whether the servers that the step covers may hold data from then on."""
        match self.intent:
            case Configure() | Start():
                return True
            case Custom(may_hold_data=may_hold_data):
                return may_hold_data
            case _:
                return False

    @property
    def named(self) -> str | None:
        """The id of what the step made, as its completion named it."""
        completion = self.completion
        return None if completion is None else completion.made

    def ended_as(self, *outcomes: StepOutcome) -> bool:
        """Whether the step has a completion with one of these outcomes."""
        completion = self.completion
        return completion is not None and completion.outcome in outcomes

    @property
    def is_done_delete(self) -> bool:
        """Whether this is a delete after which what it deletes is gone."""
        return isinstance(self.intent, Delete) and (
            self.ended_as(StepOutcome.SUCCEEDED) or (self.ended_as(StepOutcome.ABSENT) and knows_absence(self.intent))
        )


@attrs.define(eq=False)
class Operation:
    """One create, scale, delete or sweep. A delete may have taken an unfinished one over, and then ends it too."""

    id: UUID
    asked: OperationStarted
    """What was asked for."""
    started: int
    started_at: datetime
    took_over: "Operation | None" = None
    taken_over_by: "Operation | None" = None
    steps: list[Step] = attrs.field(factory=list)
    finished: int | None = None
    finished_at: datetime | None = None
    outcome: OperationOutcome | None = None
    cluster_status: ClusterStatus | None = None
    reason: str = ""

    @property
    def kind(self) -> OperationKind:
        """What kind of operation it is."""
        return self.asked.kind

    @property
    def victims(self) -> dict[str, None]:
        """What was declared as victim or is covered by a decommission, in order."""
        decommissioned = (id_ for step in self.steps if isinstance(step.intent, Decommission) for id_ in step.listed)
        return dict.fromkeys((*self.asked.victims, *decommissioned))

    @property
    def furthest_stage(self) -> Stage | None:
        """The last stage reached; the compensator's own, rollback, does not count."""
        reached = {step.intent.stage for step in self.steps}
        return next((stage for stage in _STAGES_BACKWARDS if stage in reached), None)


_STAGES_BACKWARDS = (Stage.START, Stage.CONFIGURE, Stage.INFRASTRUCTURE, Stage.DECOMMISSION)


@attrs.frozen(eq=False)
class Sighting:
    """One resource in one listing."""

    listing: "Listing"
    row: ObservedServer | ObservedResource

    @property
    def status(self) -> str:
        """The status that was shown."""
        return self.row.status

    @property
    def attached_to(self) -> tuple[str, ...]:
        """The servers that use it, if it is no server itself."""
        return attached_to(self.row)


def attached_to(row: ObservedServer | ObservedResource) -> tuple[str, ...]:
    """Return the servers that use what a row shows: a server is used by none."""
    return row.attached_to if isinstance(row, ObservedResource) else ()


@attrs.define(eq=False, weakref_slot=False)
class Resource:
    """What the journal knows of one server, or of something that a server brings along.

    `known`: the version that first gave its id; versions and times are None if never. Most resources have no words, no
    users and so on: those share an empty tuple, for a cluster can have very many of them.
    """

    kind: ResourceKind
    id: str
    known: int
    name: str | None = None
    node_group: str | None = None
    named_by: Step | None = None
    adopted: int | None = None
    mark: UUID | None = None
    made_at: datetime | None = None
    shown_first: "Listing | None" = None
    shown_last: "Listing | None" = None
    """The first listing that shows it, and that of the latest moment."""
    listed_by: list[Step] | tuple[()] = ()
    used_by: list[Step] | tuple[()] = ()
    """The creates of servers that are made with it."""
    victim_of: list[Operation] | tuple[()] = ()
    declared_victim: int | None = None
    words: list["SpokenWord"] | tuple[()] = ()

    @property
    def named(self) -> int | None:
        """The version of the completion or adoption that named it."""
        return self.adopted if self.named_by is None else self.named_by.completed

    @property
    def status(self) -> str | None:
        """The cloud's status of it when it was last seen."""
        return None if self.shown_last is None else self.shown_last.rows[self.id].status

    @property
    def last_seen(self) -> Sighting | None:
        """The sighting of the latest moment."""
        return None if self.shown_last is None else Sighting(self.shown_last, self.shown_last.rows[self.id])

    @property
    def deletes(self) -> Iterator[Step]:
        """The steps that delete it, in order."""
        return (step for step in self.listed_by if isinstance(step.intent, Delete))


@attrs.frozen(eq=False)
class Listing:
    """An observation of the cloud. It speaks for the moment `as_of`."""

    version: int
    as_of: int
    began_at: datetime
    whole: frozenset[ResourceKind]
    """The kinds of which it showed all that was there, of those that belong to a user all that were this one's."""
    user: str | None
    rows: dict[str, ObservedServer | ObservedResource]
    """What it showed, by id."""

    @property
    def moment(self) -> tuple[int, int]:
        """What orders facts: the moment they speak for, then their version."""
        return self.as_of, self.version

    def would_show(self, kind: ResourceKind | None, user: str | None) -> bool:
        """Whether something of this kind would be listed if it was there; `user`: to whom it belongs, if its kind does."""
        return kind in self.whole and (kind not in OF_A_USER or user == self.user)


@attrs.frozen(eq=False)
class SpokenWord:
    """An operator's word, and the operation that was unfinished when it was given."""

    version: int
    word: Word
    by: str
    during: Operation | None


@attrs.define(eq=False)
class History:
    """The history of one cluster up to `version`. Start empty and `apply` events in order, or use `fold`."""

    stream: str = ""
    version: int = 0
    epoch: int = 0
    cloud: str | None = None
    owner: str | None = None
    unfinished: Operation | None = None
    operations: dict[UUID, Operation] = attrs.field(factory=dict)
    open_steps: dict[UUID, Step] = attrs.field(factory=dict)
    """Those of the unfinished operation, and what it took over, that have no completion."""
    creates: dict[UUID, Step] = attrs.field(factory=dict)
    deletes_something: bool = False
    """Whether a delete has begun, of whatever."""
    blanket_steps: list[Step] = attrs.field(factory=list)
    uses: list[Step] = attrs.field(factory=list)
    """The steps after which what they cover may hold data."""
    resources: dict[str, Resource] = attrs.field(factory=dict)
    listings: list[Listing] = attrs.field(factory=list)
    last_observed: InventoryObserved | None = None
    last_plan: PlanMade | None = None
    gone: dict[UUID, int] = attrs.field(factory=dict)
    deletion_asked: int | None = None
    deleted: int | None = None
    abandoned_deletion: int | None = None
    hold: HoldPlaced | None = None
    last_hold_placed: int | None = None
    errors: list[str] = attrs.field(factory=list)
    """What went wrong since the last operation that was no sweep began, and took nothing over."""

    def sightings(self, resource: Resource) -> Iterator[Sighting]:
        """Yield the sightings of a resource, in order."""
        return (Sighting(each, each.rows[resource.id]) for each in self.listings if resource.id in each.rows)

    @property
    def in_unfinished(self) -> tuple[Operation, ...]:
        """The unfinished operation and the one that it took over."""
        match self.unfinished:
            case None:
                return ()
            case Operation(took_over=None) as operation:
                return (operation,)
            case Operation(took_over=taken) as operation:
                assert taken is not None
                return operation, taken

    @property
    def steps(self) -> dict[UUID, Step]:
        """Every step by its id, in order. It is not kept, but put together from those of the operations."""
        return {step.id: step for operation in self.operations.values() for step in operation.steps}

    def step(self, id_: UUID) -> Step:
        """Return the step with this id: at once while it is open. Raises KeyError if there is none."""
        return self.open_steps.get(id_) or self.steps[id_]

    @property
    def unfinished_steps(self) -> Iterator[Step]:
        """The steps without a completion of the unfinished operation and what it took over."""
        return (step for operation in self.in_unfinished for step in operation.steps if step.completion is None)

    @property
    def last_end(self) -> Operation | None:
        """The operation that ended last and was no sweep."""
        ended = (
            op for op in self.operations.values() if op.finished and op.kind is not OperationKind.SWEEP and not op.taken_over_by
        )
        return max(ended, key=lambda op: op.finished or 0, default=None)

    def apply(self, event: Event) -> Self:  # noqa: C901, PLR0912 (one arm for each type of event)
        """Take the next event in, and return the history itself."""
        self.stream, self.version, self.epoch = event.stream, event.version, event.epoch
        version, data = event.version, event.data
        match data:  # what there is most of comes first
            case Completion():
                self._complete(event, data)
            case (
                CreateServer()
                | DeleteServer()
                | CreateResource()
                | DeleteResource()
                | Decommission()
                | Configure()
                | Start()
                | Custom()
            ):
                self._begin(event, data)
            case OperationStarted():
                self._start(event, data)
            case OperationFinished():
                self._finish(event, data)
            case InventoryObserved():
                self._observe(version, data)
            case ServersAdopted():
                self.cloud = data.cloud
                for row in data.servers:
                    server = self._known(ResourceKind.SERVER, row.server_id, version)
                    server.adopted, server.name, server.node_group = version, row.name, row.node_group
            case OperatorResolved(step=UUID() as step):
                self.gone[step] = version
            case OperatorResolved():
                assert data.about is not None, "a word is of a resource or of a step"
                word = SpokenWord(version, data.verdict, data.by, self.unfinished)
                resource = self.resources[data.about]
                resource.words = _with(resource.words, word)
            case DeletionRequested():
                self.deletion_asked = version
                self.owner = None
            case OwnershipTaken():
                self.owner = data.conductor
            case PlanMade():
                self.last_plan = data
            case ErrorRecorded():
                self.errors.append(data.reason)
            case HoldPlaced():
                self.hold = data
                self.last_hold_placed = version
            case HoldReleased():
                self.hold = None
            case _:
                assert_never(data)
        return self

    def _start(self, event: Event, data: OperationStarted) -> None:
        assert event.operation is not None
        if self.unfinished is None and data.kind is not OperationKind.SWEEP:
            self.errors = []
        operation = Operation(
            id=event.operation,
            asked=data,
            started=event.version,
            started_at=event.recorded_at,
            took_over=self.unfinished,
        )
        if self.unfinished is not None:
            self.unfinished.taken_over_by = operation
        self._make_victims(operation, data.victims)
        for victim in data.victims:
            self.resources[victim].declared_victim = event.version
        if data.kind is OperationKind.DELETE:
            self.deletion_asked = event.version
        self.operations[operation.id] = self.unfinished = operation
        self.owner, self.cloud = data.conductor, data.cloud

    def _begin(self, event: Event, intent: Intent) -> None:
        assert event.operation is not None
        operation = self.operations[event.operation]
        step = Step(operation, event)
        operation.steps.append(step)
        self.open_steps[intent.step] = step
        match intent:
            case CreateServer():
                self.creates[intent.step] = step
                for id_ in dict.fromkeys(intent.resource_ids):
                    resource = self.resources[id_]
                    resource.used_by = _with(resource.used_by, step)
            case Configure() | Start() | Custom():
                if not intent.server_ids:
                    self.blanket_steps.append(step)
                if step.may_hold_data:
                    self.uses.append(step)
                self._list(step, intent.server_ids)
            case CreateResource():
                self.creates[intent.step] = step
            case DeleteServer() | DeleteResource():
                self.deletes_something = True
                self._list(step, (deleted_by(intent),))
            case Decommission():
                self._list(step, step.listed)
                self._make_victims(operation, step.listed)

    def _list(self, step: Step, listed: Iterable[str]) -> None:
        for id_ in dict.fromkeys(listed):
            resource = self.resources[id_]
            resource.listed_by = _with(resource.listed_by, step)

    def _make_victims(self, operation: Operation, ids: Iterable[str]) -> None:
        for id_ in ids:
            resource = self.resources[id_]
            if operation not in resource.victim_of:
                resource.victim_of = _with(resource.victim_of, operation)

    def _complete(self, event: Event, data: Completion) -> None:
        step = self.open_steps.pop(data.step)
        step.ended = event
        id_, intent = data.made, step.intent
        if id_ is None:
            return
        assert isinstance(intent, Create), "only a create names what it made"
        made = self._known(kind_made(intent), id_, event.version)
        made.named_by, made.name = step, intent.name
        if isinstance(intent, CreateServer):
            made.node_group = intent.node_group

    def _finish(self, event: Event, data: OperationFinished) -> None:
        version = event.version
        abandoned = data.outcome is OperationOutcome.ABANDONED
        if abandoned and self.deletion_asked is not None:
            self.abandoned_deletion = version
        if abandoned or data.cluster_status is ClusterStatus.DELETED:
            self.deletion_asked = None
        if data.cluster_status is ClusterStatus.DELETED:
            self.deleted = version
        for operation in self.in_unfinished:
            operation.finished, operation.finished_at = version, event.recorded_at
            operation.cluster_status, operation.reason = data.cluster_status, data.reason
            operation.outcome = data.outcome
            if operation.taken_over_by is not None and not abandoned:
                operation.outcome = OperationOutcome.CANCELLED
        self.unfinished = None
        self.open_steps.clear()

    def _observe(self, version: int, data: InventoryObserved) -> None:
        self.cloud, self.last_observed = data.cloud, data
        whole = frozenset((*data.kinds, ResourceKind.SERVER) if data.complete else data.kinds)
        listing = Listing(version, data.as_of, data.began_at, whole, data.user, {})
        self.listings.append(listing)
        for row in data.servers:
            self._see(self._known(ResourceKind.SERVER, row.server_id, version), row, listing)
        for other in data.resources:
            self._see(self._known(other.kind, other.resource_id, version), other, listing)

    def _see(self, resource: Resource, row: ObservedServer | ObservedResource, listing: Listing) -> None:
        if resource.shown_first is None:
            resource.shown_first, resource.mark = listing, row.step
        resource.made_at = resource.made_at or row.created_at
        resource.name = resource.name or row.name
        if resource.shown_last is None or resource.shown_last.moment < listing.moment:
            resource.shown_last = listing
        before = listing.rows.get(resource.id)
        listing.rows[resource.id] = row if before is None else _both(before, row)

    def _known(self, kind: ResourceKind, id_: str, version: int) -> Resource:
        known = self.resources.get(id_)
        if known is None:
            known = self.resources[id_] = Resource(kind, id_, version)
        return known


def _both(
    first: ObservedServer | ObservedResource, again: ObservedServer | ObservedResource
) -> ObservedServer | ObservedResource:
    """Return what one listing shows twice as one row: it is there if either says so, and used by whoever either names."""
    status = again.status if first.status in DELETED_STATUSES else first.status
    if isinstance(first, ObservedServer):
        return attrs.evolve(first, status=status)
    return attrs.evolve(first, status=status, attached_to=(*first.attached_to, *attached_to(again)))


def _with(items: list[Item] | tuple[()], item: Item) -> list[Item]:
    """Return a list with one more item, the same one once there is one."""
    if not items:
        return [item]
    items.append(item)
    return items


def fold(events: Iterable[Event]) -> History:
    """Return the history that the events of one stream, from its first on, amount to."""
    history = History()
    for event in events:
        history.apply(event)
    return history
