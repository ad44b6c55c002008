"""What may follow what in a stream: one pure check, for writing and reading alike.

`StreamRules` walks a stream in order and refuses, with `OutOfOrder`, the first event that cannot stand where it
stands. It knows just enough of the past for that; what the past means is the matter of `projections`.
"""

from collections.abc import Mapping
from typing import Final, assert_never, get_args
from uuid import UUID

import attrs

from journal.errors import OutOfOrder
from journal.events import (
    ClusterStatus,
    Completion,
    Configure,
    CreateResource,
    CreateServer,
    Custom,
    Decommission,
    DeleteResource,
    DeleteServer,
    DeletionRequested,
    ErrorRecorded,
    Event,
    HoldPlaced,
    HoldReleased,
    Intent,
    InventoryObserved,
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
)

_CREATES: Final = frozenset(f"create_{kind}" for kind in ResourceKind)
_DELETES: Final = frozenset(f"delete_{kind}" for kind in ResourceKind)
_ALL_ACTIONS: Final = _CREATES | _DELETES | {"decommission", "configure", "start", "custom"}

ACTIONS: Final[Mapping[OperationKind, frozenset[str]]] = {
    OperationKind.CREATE: _ALL_ACTIONS - {"decommission"},
    OperationKind.SCALE: _ALL_ACTIONS,
    OperationKind.DELETE: _DELETES | {"decommission", "custom"},
    OperationKind.SWEEP: _DELETES,
}
"""Which actions an operation of each kind has. A sweep deletes in stage rollback only."""

_RAISES_EPOCH: Final = frozenset({OwnershipTaken, DeletionRequested})
_ENDS_OR_BEGINS: Final = frozenset({*get_args(Intent), OperationFinished})
"""What does not stand in an operation that was taken over."""
_INSIDE: Final = frozenset({Completion, *_ENDS_OR_BEGINS})
"""What stands in an operation only."""
_ALL: Final = tuple(ResourceKind)
_SERVER: Final = (ResourceKind.SERVER,)
_NONE_OR_SERVER: Final = (None, ResourceKind.SERVER)
_OTHERS: Final = tuple(kind for kind in ResourceKind if kind is not ResourceKind.SERVER)
_NO_OPEN_CREATE: Final = frozenset(OperationOutcome) - {OperationOutcome.FAILED, OperationOutcome.ABANDONED}


@attrs.define
class _Operation:
    id: UUID
    kind: OperationKind
    actions: frozenset[str]
    """Those that it may have."""
    victims: set[str]
    unfinished: set[UUID] = attrs.field(factory=set)
    finished: bool = False


@attrs.define
class _Step:
    operation: UUID
    action: str
    creates: ResourceKind | None = None
    """What it creates."""
    deletes: str | None = None
    """The id of what it deletes."""
    completed: bool = False


@attrs.define
class StreamRules:
    """The past of one stream, as far as it decides what may come next. Starts empty; `admit` takes events in order."""

    version: int = 0
    epoch: int = 0
    cloud: str | None = None
    deleted: bool = False
    deletion_stands: bool = False
    """Whether somebody asked for the deletion, and no operation has ended as Deleted or abandoned since."""
    current: UUID | None = None
    taken_over: UUID | None = None
    event_ids: set[UUID] = attrs.field(factory=set)
    operations: dict[UUID, _Operation] = attrs.field(factory=dict)
    steps: dict[UUID, _Step] = attrs.field(factory=dict)
    known: dict[str, ResourceKind] = attrs.field(factory=dict)
    named: set[str] = attrs.field(factory=set)
    last_delete: dict[str, StepOutcome] = attrs.field(factory=dict)

    def admit(self, event: Event) -> None:
        """Take the next event in. Raises OutOfOrder if it cannot stand here; these rules are of no more use then."""
        self._check_envelope(event)
        operation, data = self._operation_of(event), event.data
        match data:  # what there is most of comes first
            case Completion():
                self._complete(_there(operation), data)
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
                self._begin(_there(operation), data)
            case OperationStarted():
                self._start(event, data)
            case OperationFinished():
                self._finish(_there(operation), data)
            case InventoryObserved():
                self._observe(data)
            case ServersAdopted():
                self._adopt(data)
            case OperatorResolved():
                self._check_word(data)
            case DeletionRequested():
                self._refuse_after_deleted("a request for deletion")
                self.deletion_stands = True
            case OwnershipTaken() | PlanMade() | ErrorRecorded() | HoldPlaced() | HoldReleased():
                pass
            case _:
                assert_never(data)
        self.version = event.version
        self.epoch = event.epoch

    def _check_envelope(self, event: Event) -> None:
        if event.version != self.version + 1:
            msg = f"expected version {self.version + 1}: versions count without a gap"
            raise OutOfOrder(msg)
        before = len(self.event_ids)
        self.event_ids.add(event.id)  # looking for it and adding it would hash it twice
        if len(self.event_ids) == before:
            msg = f"event id {event.id} repeats; each event has its own"
            raise OutOfOrder(msg)
        if event.epoch < self.epoch:
            msg = f"epoch {event.epoch} is lower than {self.epoch} before it; a stale owner's append"
            raise OutOfOrder(msg)
        if self.version == 0:
            return
        raises_epoch = type(event.data) in _RAISES_EPOCH
        if event.epoch > self.epoch and not raises_epoch:
            msg = (
                f"epoch rises from {self.epoch} to {event.epoch} in {event.type}, expected only in "
                f"ownership_taken or deletion_requested"
            )
            raise OutOfOrder(msg)
        if event.epoch == self.epoch and raises_epoch:
            msg = f"{event.type} leaves the epoch at {event.epoch}, expected more than that"
            raise OutOfOrder(msg)

    def _operation_of(self, event: Event) -> _Operation | None:
        """Return the operation in which an event stands; none for its start, and for what stands outside."""
        id_, data = event.operation, event.data
        if isinstance(data, OperationStarted):
            if id_ is None:
                msg = "operation_started without an operation id"
                raise OutOfOrder(msg)
            if id_ in self.operations:
                msg = f"operation {id_} was started before"
                raise OutOfOrder(msg)
            return None
        if id_ is None:
            if type(data) in _INSIDE:
                msg = f"{event.type} outside an operation"
                raise OutOfOrder(msg)
            return None
        operation = self.operations.get(id_)
        if operation is None:
            msg = f"operation {id_} never started"
            raise OutOfOrder(msg)
        if operation.finished:
            msg = f"operation {id_} has finished"
            raise OutOfOrder(msg)
        if self.taken_over is not None and id_ == self.taken_over and type(data) in _ENDS_OR_BEGINS:
            msg = f"{event.type} of operation {id_}, which the unfinished delete {self.current} took over"
            raise OutOfOrder(msg)
        return operation

    def _start(self, event: Event, data: OperationStarted) -> None:
        if self.deleted and data.kind is not OperationKind.SWEEP:
            self._refuse_after_deleted(f"the start of a {data.kind}")
        if self.current is not None:
            current = self.operations[self.current]
            if data.kind is not OperationKind.DELETE or current.kind is OperationKind.DELETE:
                msg = f"a {data.kind} starts while the {current.kind} {self.current} is unfinished"
                raise OutOfOrder(msg)
        if data.victims and data.kind is not OperationKind.SCALE:
            msg = f"a {data.kind} has victims, expected only of a scale"
            raise OutOfOrder(msg)
        self._check_cloud(data.cloud)
        self._check_known(data.victims, "victim", _ALL)
        self.deletion_stands |= data.kind is OperationKind.DELETE
        self.taken_over = self.current
        assert event.operation is not None, "checked with the envelope"
        self.current = event.operation
        self.operations[self.current] = _Operation(self.current, data.kind, ACTIONS[data.kind], set(data.victims))

    def _begin(self, operation: _Operation, intent: Intent) -> None:
        if intent.action not in operation.actions:
            msg = f"{intent.action} in a {operation.kind}, expected one of {', '.join(sorted(operation.actions))}"
            raise OutOfOrder(msg)
        if operation.kind is OperationKind.SWEEP and intent.stage is not Stage.ROLLBACK:
            msg = f"a sweep deletes in stage {intent.stage}, expected rollback"
            raise OutOfOrder(msg)
        step = _Step(operation.id, intent.action)
        if self.steps.setdefault(intent.step, step) is not step:
            msg = f"step {intent.step} was begun before"
            raise OutOfOrder(msg)
        operation.unfinished.add(intent.step)
        match intent:
            case CreateServer():
                step.creates = ResourceKind.SERVER
                self._check_known(intent.resource_ids, "resource", _OTHERS)
            case CreateResource():
                step.creates = intent.kind
            case DeleteServer():
                step.deletes = intent.server_id
                self._check_known((intent.server_id,), "server", _SERVER)
            case DeleteResource():
                step.deletes = intent.resource_id
                self._check_known((intent.resource_id,), intent.kind, (intent.kind,))
            case Decommission():
                if not intent.server_ids:
                    msg = "a decommission lists no server_ids"
                    raise OutOfOrder(msg)
                self._check_known(intent.server_ids, "server", _SERVER)
                self._check_known(intent.resource_ids, "resource", _OTHERS)
                operation.victims.update((*intent.server_ids, *intent.resource_ids))
            case _:
                self._check_known(intent.server_ids, "server", _SERVER)

    def _complete(self, operation: _Operation, data: Completion) -> None:
        step = self.steps.get(data.step)
        if step is None:
            msg = f"completion of step {data.step}, which was never begun"
            raise OutOfOrder(msg)
        if step.operation is not operation.id and step.operation != operation.id:
            msg = f"completion of step {data.step} in operation {operation.id}, expected in its own, {step.operation}"
            raise OutOfOrder(msg)
        if step.completed:
            msg = f"second completion of step {data.step}"
            raise OutOfOrder(msg)
        made = data.made
        _check_made(step, data, made)
        step.completed = True
        operation.unfinished.remove(data.step)
        if step.deletes is not None:
            self.last_delete[step.deletes] = data.outcome
        if made is not None and step.creates is not None:
            self._name(made, step.creates)

    def _finish(self, operation: _Operation, data: OperationFinished) -> None:
        ended = [operation]
        if self.taken_over is not None:
            ended.append(self.operations[self.taken_over])
        if data.outcome is OperationOutcome.SUCCEEDED:
            self._check_success(operation)
        unfinished = (step for each in ended for step in each.unfinished)
        open_create = next((step for step in unfinished if self.steps[step].creates), None)
        if open_create is not None and data.outcome in _NO_OPEN_CREATE:
            msg = (
                f"operation {operation.id} ends as {data.outcome} with the unfinished create {open_create}, "
                f"expected failed or abandoned"
            )
            raise OutOfOrder(msg)
        as_deleted = (
            data.outcome is OperationOutcome.CANCELLED
            or (operation.kind is OperationKind.DELETE and data.outcome is OperationOutcome.SUCCEEDED)
            or (operation.kind is OperationKind.SWEEP and self.deleted)
        )
        if as_deleted != (data.cluster_status is ClusterStatus.DELETED):
            expected = "Deleted" if as_deleted else "another status"
            msg = (
                f"{operation.kind} {operation.id} ends as {data.outcome} with the cluster {data.cluster_status}, "
                f"expected {expected}"
            )
            raise OutOfOrder(msg)
        for each in ended:
            each.finished = True
        self.current = self.taken_over = None
        self.deleted = self.deleted or as_deleted
        self.deletion_stands &= not (as_deleted or data.outcome is OperationOutcome.ABANDONED)

    def _check_success(self, operation: _Operation) -> None:
        for step in operation.unfinished:
            msg = f"operation {operation.id} ends as succeeded with the unfinished {self.steps[step].action} {step}"
            raise OutOfOrder(msg)
        for victim in sorted(operation.victims):
            if self.last_delete.get(victim) is StepOutcome.FAILED:
                msg = f"operation {operation.id} ends as succeeded, but the last delete of its victim {victim} failed"
                raise OutOfOrder(msg)

    def _adopt(self, data: ServersAdopted) -> None:
        self._refuse_after_deleted("an adoption")
        if self.current is not None:
            msg = f"an adoption while operation {self.current} is unfinished"
            raise OutOfOrder(msg)
        self._check_cloud(data.cloud)
        for server in data.servers:
            self._name(server.server_id, ResourceKind.SERVER)

    def _observe(self, data: InventoryObserved) -> None:
        self._check_cloud(data.cloud)
        for server in data.servers:
            self._know(server.server_id, ResourceKind.SERVER)
        for row in data.resources:
            self._know(row.resource_id, row.kind)

    def _know(self, id_: str, kind: ResourceKind) -> None:
        if self.known.setdefault(id_, kind) is not kind:
            msg = f"{kind} {id_} is a {self.known[id_]}, as this stream knows it"
            raise OutOfOrder(msg)

    def _name(self, id_: str, kind: ResourceKind) -> None:
        self._know(id_, kind)
        if id_ in self.named:
            msg = f"{kind} {id_} was named by a completion or an adoption before"
            raise OutOfOrder(msg)
        self.named.add(id_)

    def _check_word(self, data: OperatorResolved) -> None:
        if data.verdict is Word.GONE:
            step = self.steps.get(data.step) if data.step else None
            if step is None or step.creates is None:
                msg = f"gone is said of step {data.step}, which is no create of this stream"
                raise OutOfOrder(msg)
        elif data.server_id is not None:
            self._check_known((data.server_id,), "server", _SERVER)
        elif data.resource_id is not None:
            self._check_known((data.resource_id,), "resource", _OTHERS)

    def _check_known(self, ids: tuple[str, ...], what: str, kinds: tuple[ResourceKind, ...]) -> None:
        for id_ in ids:
            if id_ not in self.known:
                msg = f"{what} {id_} is not known to this stream"
                raise OutOfOrder(msg)
            if self.known[id_] not in kinds:
                msg = f"{what} {id_} is a {self.known[id_]}, as this stream knows it"
                raise OutOfOrder(msg)

    def _check_cloud(self, cloud: str) -> None:
        if self.cloud is None:
            self.cloud = cloud
        elif cloud != self.cloud:
            msg = f"cloud {cloud}, expected {self.cloud}: a stream belongs to one cloud, region and project"
            raise OutOfOrder(msg)

    def _refuse_after_deleted(self, what: str) -> None:
        if self.deleted:
            msg = f"{what} after the cluster ended as Deleted; only a sweep may follow"
            raise OutOfOrder(msg)


def _there(operation: _Operation | None) -> _Operation:
    assert operation is not None, "checked with the envelope"
    return operation


def _check_made(step: _Step, data: Completion, made: str | None) -> None:
    """Check that a completion has the id of what was made where one is to be had, and in the field of its kind."""
    field, other = ("server_id", "resource_id") if step.creates in _NONE_OR_SERVER else ("resource_id", "server_id")
    if made is None:
        if step.creates is not None and data.outcome is StepOutcome.SUCCEEDED:
            msg = f"create {data.step} succeeded without a {field}"
            raise OutOfOrder(msg)
    elif step.creates is None:
        given = "server_id" if data.server_id else "resource_id"
        msg = f"completion of {step.action} {data.step} has a {given}, expected only of a create"
        raise OutOfOrder(msg)
    elif getattr(data, field) is None:
        msg = f"completion of {step.action} {data.step} has a {other}, expected {field}"
        raise OutOfOrder(msg)
    elif data.outcome is StepOutcome.ABSENT:
        msg = f"create {data.step} is absent, yet has a {field}"
        raise OutOfOrder(msg)
