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
    CreateServer,
    Custom,
    Decommission,
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
    ServersAdopted,
    Stage,
    Start,
    StepOutcome,
    Word,
)

_ALL_ACTIONS: Final = frozenset({"create_server", "delete_server", "decommission", "configure", "start", "custom"})

ACTIONS: Final[Mapping[OperationKind, frozenset[str]]] = {
    OperationKind.CREATE: _ALL_ACTIONS - {"decommission"},
    OperationKind.SCALE: _ALL_ACTIONS,
    OperationKind.DELETE: frozenset({"decommission", "delete_server", "custom"}),
    OperationKind.SWEEP: frozenset({"delete_server"}),
}
"""Which actions an operation of each kind has. A sweep deletes in stage rollback only."""

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
    deletes: str | None
    """The server that it deletes."""
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
    known: set[str] = attrs.field(factory=set)
    named: set[str] = attrs.field(factory=set)
    last_delete: dict[str, StepOutcome] = attrs.field(factory=dict)

    def admit(self, event: Event) -> None:
        """Take the next event in. Raises OutOfOrder if it cannot stand here; these rules are of no more use then."""
        self._check_envelope(event)
        self._check_operation(event)
        match event.data:
            case OperationStarted():
                self._start(event, event.data)
            case CreateServer() | DeleteServer() | Decommission() | Configure() | Start() | Custom():
                self._begin(_operation_id(event), event.data)
            case Completion():
                self._complete(_operation_id(event), event.data)
            case OperationFinished():
                self._finish(_operation_id(event), event.data)
            case InventoryObserved():
                self._check_cloud(event.data.cloud)
                self.known.update(server.server_id for server in event.data.servers)
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
        raises_epoch = isinstance(event.data, OwnershipTaken | DeletionRequested)
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
        inside = isinstance(data, Intent | Completion | OperationFinished)
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
        self._check_known(data.victims, "victim")
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
        match intent:
            case CreateServer():
                pass
            case DeleteServer():
                self._check_known((intent.server_id,), "server")
            case _:
                self._check_known(intent.server_ids, "server")
        if isinstance(intent, Decommission):
            if not intent.server_ids:
                msg = "a decommission lists no server_ids"
                raise OutOfOrder(msg)
            operation.victims.update(intent.server_ids)
        deletes = intent.server_id if isinstance(intent, DeleteServer) else None
        self.steps[intent.step] = _Step(operation_id, intent.action, deletes)
        operation.unfinished.add(intent.step)

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
        _check_completed_id(step.action, data)
        step.completed = True
        self.operations[operation_id].unfinished.remove(data.step)
        if step.deletes is not None:
            self.last_delete[step.deletes] = data.outcome
        if data.server_id is not None:
            self._name(data.server_id)

    def _finish(self, operation_id: UUID, data: OperationFinished) -> None:
        operation = self.operations[operation_id]
        ended = [operation]
        if self.taken_over is not None:
            ended.append(self.operations[self.taken_over])
        if data.outcome is OperationOutcome.SUCCEEDED:
            self._check_success(operation_id, operation)
        unfinished = (step for each in ended for step in each.unfinished)
        open_create = next((step for step in unfinished if self.steps[step].action == CreateServer.action), None)
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
            self._name(server.server_id)

    def _name(self, server_id: str) -> None:
        if server_id in self.named:
            msg = f"server {server_id} was named by a completion or an adoption before"
            raise OutOfOrder(msg)
        self.named.add(server_id)
        self.known.add(server_id)

    def _check_word(self, data: OperatorResolved) -> None:
        if data.verdict is Word.GONE:
            step = self.steps.get(data.step) if data.step else None
            if step is None or step.action != CreateServer.action:
                msg = f"gone is said of step {data.step}, which is no create of this stream"
                raise OutOfOrder(msg)
        elif data.server_id is not None:
            self._check_known((data.server_id,), "server")

    def _check_known(self, server_ids: tuple[str, ...], what: str) -> None:
        for server_id in server_ids:
            if server_id not in self.known:
                msg = f"{what} {server_id} is not known to this stream"
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


def _check_completed_id(action: str, data: Completion) -> None:
    creates = action == CreateServer.action
    if data.server_id is None:
        if creates and data.outcome is StepOutcome.SUCCEEDED:
            msg = f"create {data.step} succeeded without a server_id"
            raise OutOfOrder(msg)
    elif not creates:
        msg = f"completion of {action} {data.step} has a server_id, expected only of a create"
        raise OutOfOrder(msg)
    elif data.outcome is StepOutcome.ABSENT:
        msg = f"create {data.step} is absent, yet has a server_id"
        raise OutOfOrder(msg)
