"""What may follow what in a stream: one pure check, for writing and reading alike.

`StreamRules` walks a stream in order and refuses, with `OutOfOrder`, the first event that cannot stand where it
stands. It knows just enough of the past for that; what the past means is the matter of `projections`.
"""

from collections.abc import Mapping
from typing import Final, assert_never
from uuid import UUID

import attrs

from journal.errors import OutOfOrder
from journal.events import (
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

_RAISES_EPOCH: Final = OwnershipTaken | DeletionRequested
_INSIDE: Final = Completion | Intent | OperationFinished
"""What stands in an operation only."""
_OTHERS: Final = tuple(kind for kind in ResourceKind if kind is not ResourceKind.SERVER)
_NO_OPEN_CREATE: Final = frozenset(OperationOutcome) - {OperationOutcome.FAILED, OperationOutcome.ABANDONED}


@attrs.define
class _Operation:
    kind: OperationKind
    victims: set[str]
    unfinished: set[UUID] = attrs.field(factory=set)
    finished: bool = False


@attrs.define
class _Step:
    operation: UUID
    action: str
    creates: ResourceKind | None
    """What it creates."""
    deletes: str | None
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
        self._check_operation(event)
        match event.data:  # what there is most of comes first
            case Completion():
                self._complete(_operation_id(event), event.data)
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
                self._begin(_operation_id(event), event.data)
            case OperationStarted():
                self._start(event, event.data)
            case OperationFinished():
                self._finish(_operation_id(event), event.data)
            case InventoryObserved():
                self._observe(event.data)
            case ServersAdopted():
                self._adopt(event.data)
            case OperatorResolved():
                self._check_word(event.data)
            case DeletionRequested():
                self._refuse_after_deleted("a request for deletion")
                self.deletion_stands = True
            case OwnershipTaken() | PlanMade() | ErrorRecorded() | HoldPlaced() | HoldReleased():
                pass
            case _:
                assert_never(event.data)
        self.version = event.version
        self.epoch = event.epoch
        self.event_ids.add(event.id)

    def _check_envelope(self, event: Event) -> None:
        if event.version != self.version + 1:
            msg = f"expected version {self.version + 1}: versions count without a gap"
            raise OutOfOrder(msg)
        if event.id in self.event_ids:
            msg = f"event id {event.id} repeats; each event has its own"
            raise OutOfOrder(msg)
        if event.epoch < self.epoch:
            msg = f"epoch {event.epoch} is lower than {self.epoch} before it; a stale owner's append"
            raise OutOfOrder(msg)
        if self.version == 0:
            return
        raises_epoch = isinstance(event.data, _RAISES_EPOCH)
        if event.epoch > self.epoch and not raises_epoch:
            msg = (
                f"epoch rises from {self.epoch} to {event.epoch} in {event.type}, expected only in "
                f"ownership_taken or deletion_requested"
            )
            raise OutOfOrder(msg)
        if event.epoch == self.epoch and raises_epoch:
            msg = f"{event.type} leaves the epoch at {event.epoch}, expected more than that"
            raise OutOfOrder(msg)

    def _check_operation(self, event: Event) -> None:
        id_, data = event.operation, event.data
        if isinstance(data, OperationStarted):
            if id_ is None:
                msg = "operation_started without an operation id"
                raise OutOfOrder(msg)
            if id_ in self.operations:
                msg = f"operation {id_} was started before"
                raise OutOfOrder(msg)
            return
        inside = isinstance(data, _INSIDE)
        if id_ is None:
            if inside:
                msg = f"{event.type} outside an operation"
                raise OutOfOrder(msg)
            return
        operation = self.operations.get(id_)
        if operation is None:
            msg = f"operation {id_} never started"
            raise OutOfOrder(msg)
        if operation.finished:
            msg = f"operation {id_} has finished"
            raise OutOfOrder(msg)
        if id_ == self.taken_over and isinstance(data, Intent | OperationFinished):
            msg = f"{event.type} of operation {id_}, which the unfinished delete {self.current} took over"
            raise OutOfOrder(msg)

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
        self._check_known(data.victims, "victim", *ResourceKind)
        self.deletion_stands |= data.kind is OperationKind.DELETE
        self.taken_over = self.current
        self.current = _operation_id(event)
        self.operations[self.current] = _Operation(data.kind, set(data.victims))

    def _begin(self, operation_id: UUID, intent: Intent) -> None:
        operation = self.operations[operation_id]
        if intent.action not in ACTIONS[operation.kind]:
            msg = f"{intent.action} in a {operation.kind}, expected one of {', '.join(sorted(ACTIONS[operation.kind]))}"
            raise OutOfOrder(msg)
        if operation.kind is OperationKind.SWEEP and intent.stage is not Stage.ROLLBACK:
            msg = f"a sweep deletes in stage {intent.stage}, expected rollback"
            raise OutOfOrder(msg)
        if intent.step in self.steps:
            msg = f"step {intent.step} was begun before"
            raise OutOfOrder(msg)
        self._check_listed(intent)
        if isinstance(intent, Decommission):
            operation.victims.update((*intent.server_ids, *intent.resource_ids))
        creates = kind_made(intent) if isinstance(intent, Create) else None
        deletes = deleted_by(intent) if isinstance(intent, Delete) else None
        self.steps[intent.step] = _Step(operation_id, intent.action, creates, deletes)
        operation.unfinished.add(intent.step)

    def _check_listed(self, intent: Intent) -> None:
        match intent:
            case CreateResource():
                pass
            case CreateServer():
                self._check_known(intent.resource_ids, "resource", *_OTHERS)
            case DeleteServer():
                self._check_known((intent.server_id,), "server", ResourceKind.SERVER)
            case DeleteResource():
                self._check_known((intent.resource_id,), intent.kind, intent.kind)
            case Decommission():
                if not intent.server_ids:
                    msg = "a decommission lists no server_ids"
                    raise OutOfOrder(msg)
                self._check_known(intent.server_ids, "server", ResourceKind.SERVER)
                self._check_known(intent.resource_ids, "resource", *_OTHERS)
            case _:
                self._check_known(intent.server_ids, "server", ResourceKind.SERVER)

    def _complete(self, operation_id: UUID, data: Completion) -> None:
        step = self.steps.get(data.step)
        if step is None:
            msg = f"completion of step {data.step}, which was never begun"
            raise OutOfOrder(msg)
        if step.operation != operation_id:
            msg = f"completion of step {data.step} in operation {operation_id}, expected in its own, {step.operation}"
            raise OutOfOrder(msg)
        if step.completed:
            msg = f"second completion of step {data.step}"
            raise OutOfOrder(msg)
        _check_completed_id(step, data)
        step.completed = True
        self.operations[operation_id].unfinished.remove(data.step)
        if step.deletes is not None:
            self.last_delete[step.deletes] = data.outcome
        if data.made is not None and step.creates is not None:
            self._name(data.made, step.creates)

    def _finish(self, operation_id: UUID, data: OperationFinished) -> None:
        operation = self.operations[operation_id]
        ended = [operation]
        if self.taken_over is not None:
            ended.append(self.operations[self.taken_over])
        if data.outcome is OperationOutcome.SUCCEEDED:
            self._check_success(operation_id, operation)
        unfinished = (step for each in ended for step in each.unfinished)
        open_create = next((step for step in unfinished if self.steps[step].creates), None)
        if open_create is not None and data.outcome in _NO_OPEN_CREATE:
            msg = (
                f"operation {operation_id} ends as {data.outcome} with the unfinished create {open_create}, "
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
                f"{operation.kind} {operation_id} ends as {data.outcome} with the cluster {data.cluster_status}, "
                f"expected {expected}"
            )
            raise OutOfOrder(msg)
        for each in ended:
            each.finished = True
        self.current = self.taken_over = None
        self.deleted = self.deleted or as_deleted
        self.deletion_stands &= not (as_deleted or data.outcome is OperationOutcome.ABANDONED)

    def _check_success(self, operation_id: UUID, operation: _Operation) -> None:
        for step in operation.unfinished:
            msg = f"operation {operation_id} ends as succeeded with the unfinished {self.steps[step].action} {step}"
            raise OutOfOrder(msg)
        for victim in sorted(operation.victims):
            if self.last_delete.get(victim) is StepOutcome.FAILED:
                msg = f"operation {operation_id} ends as succeeded, but the last delete of its victim {victim} failed"
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
            self._check_known((data.server_id,), "server", ResourceKind.SERVER)
        elif data.resource_id is not None:
            self._check_known((data.resource_id,), "resource", *_OTHERS)

    def _check_known(self, ids: tuple[str, ...], what: str, *kinds: ResourceKind) -> None:
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


def _operation_id(event: Event) -> UUID:
    assert event.operation is not None, "checked with the envelope"
    return event.operation


def _check_completed_id(step: _Step, data: Completion) -> None:
    field = "server_id" if step.creates in (None, ResourceKind.SERVER) else "resource_id"
    other = "resource_id" if field == "server_id" else "server_id"
    if data.made is None:
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
