"""Histories in a few lines of Python, by the rules of every history, with ids and times that are the same in each run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self
from uuid import NAMESPACE_OID, UUID, uuid5

import attrs

from journal.codec import FIRST_HASH, encode_line, from_document, to_document
from journal.events import (
    AdoptedServer,
    ClusterStatus,
    Completion,
    Configure,
    Create,
    CreateResource,
    CreateServer,
    Custom,
    Data,
    Decommission,
    DeleteResource,
    DeleteServer,
    DeletionRequested,
    ErrorDuring,
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
    ResourceKind,
    ServersAdopted,
    Stage,
    Start,
    StepOutcome,
    Word,
    completed,
)
from journal.files import replaced
from journal.rules import StreamRules
from journal.store import chained

START: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
CLOUD: Final = "RegionOne/5f0c4d"
DEADLINE: Final = timedelta(seconds=60)
"""How long the request of a step can be on its way."""
_BY: Final = "maria"


@attrs.frozen
class Begun:
    """A step that a history began, to complete it with: `succeeded`, `failed` or `absent`."""

    history: "HistoryBuilder"
    intent: Intent
    operation: UUID

    @property
    def id(self) -> UUID:
        """The step's id, which marks what it creates."""
        return self.intent.step

    def succeeded(self, made: str | None = None) -> "HistoryBuilder":
        """Complete the step; `made`: the id of what a create made, `id-NAME` if it is not told."""
        if isinstance(self.intent, Create):
            made = made or f"id-{self.intent.name}"
        return self._complete(StepOutcome.SUCCEEDED, made, None)

    def failed(self, reason: str = "the cloud refused it", made: str | None = None) -> "HistoryBuilder":
        """Complete the step as failed; `made`: what a create made all the same."""
        return self._complete(StepOutcome.FAILED, made, reason)

    def absent(self, reason: str = "it was not there") -> "HistoryBuilder":
        """Complete a create that made nothing, or a delete that found nothing."""
        return self._complete(StepOutcome.ABSENT, None, reason)

    def _complete(self, outcome: StepOutcome, made: str | None, reason: str | None) -> "HistoryBuilder":
        if isinstance(self.intent, Create):
            completion = completed(self.intent, outcome, made, reason)
        else:
            completion = Completion(self.intent.step, outcome, None, reason)
        return self.history.append(completion, operation=self.operation)


class HistoryBuilder:
    """Makes the history of one cluster, an event a second.

    What begins a step returns it, unfinished: complete it, or leave it in flight. All else returns the builder. A server
    is called by its id, `id-NAME` unless another is told. Each method raises what a journal would raise: OutOfOrder for
    an event that may not stand there, Malformed for one that has not the form.
    """

    def __init__(self, cluster: str = "c-1", *, cloud: str = CLOUD, conductor: str = "conductor-a") -> None:
        self.cluster = cluster
        self.cloud = cloud
        self.conductor = conductor
        self.now = START
        """When the last event was recorded."""
        self._epoch = 1
        self._events: list[Event] = []
        self._rules = StreamRules()
        self._running: list[UUID] = []
        self._kinds: dict[UUID, OperationKind] = {}
        self._steps: dict[str, UUID] = {}
        """By the name of what they make: the creates."""
        self._made: dict[UUID, tuple[str, datetime]] = {}

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far, chained."""
        return tuple(self._events)

    def write(self, path: Path | str) -> Path:
        """Write the history as JSON Lines, in the form of an export, and return where. Raises OSError."""
        with replaced(Path(path)) as file:
            file.writelines(map(encode_line, self._events))
        return Path(path)

    def append(self, data: Data, *, operation: UUID | None = None, raises_epoch: bool = False) -> Self:
        """Append any event: of an operation, or of none. The other methods are made with it."""
        self._epoch += raises_epoch and bool(self._events)
        self.now += timedelta(seconds=1)
        version = len(self._events) + 1
        event = Event(self.cluster, version, self._id(f"event {version}"), self.now, self._epoch, operation, data)
        self._rules.admit(from_document(to_document(event)))
        previous = self._events[-1].hash if self._events else FIRST_HASH
        assert previous is not None, "events are chained"
        self._events.extend(chained(previous, [event]))
        return self

    def wait(self, seconds: float) -> Self:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    # ---- operations

    def create(self, **request: Any) -> Self:
        """Begin the cluster's creation. `request`: what was asked for."""
        return self._begin(OperationKind.CREATE, (), request)

    def scale(self, *, victims: Sequence[str] = (), **request: Any) -> Self:
        """Begin a scale, which is to remove the victims."""
        return self._begin(OperationKind.SCALE, victims, request)

    def delete(self) -> Self:
        """Begin the cluster's deletion. It takes over what is unfinished."""
        return self._begin(OperationKind.DELETE, (), {})

    def sweep(self) -> Self:
        """Begin a sweep, which deletes what arrived late."""
        return self._begin(OperationKind.SWEEP, (), {})

    def finish(
        self,
        outcome: OperationOutcome | str = OperationOutcome.SUCCEEDED,
        status: ClusterStatus | str | None = None,
        reason: str = "",
    ) -> Self:
        """End the operation; without a status, with the one that such an end usually has."""
        outcome = OperationOutcome(outcome)
        operation, kind = self._operation, self._kinds[self._operation]
        became = _status(kind, outcome) if status is None else ClusterStatus(status)
        self.append(OperationFinished(outcome, became, reason), operation=operation)
        self._running.clear()
        return self

    # ---- steps

    def create_server(self, name: str, *, node_group: str = "worker", uses: Sequence[str] = ()) -> Begun:
        """Begin to create a server; `uses`: the ids of ports, volumes and groups that it is made with."""
        step = self._step(name)
        return self._do(CreateServer(step, Stage.INFRASTRUCTURE, self._deadline, node_group, name, tuple(uses)))

    def create_resource(self, kind: ResourceKind | str, name: str, *, user: str | None = None) -> Begun:
        """Begin to create what a server brings along; `user`: whose a keypair is."""
        return self._do(CreateResource(self._step(name), Stage.INFRASTRUCTURE, self._deadline, ResourceKind(kind), name, user))

    def delete_server(self, server_id: str, *, by_rollback: bool = False) -> Begun:
        """Begin to delete a server, as the conductor or as the compensator does."""
        return self._do(DeleteServer(self._step(f"delete {server_id}"), self._of_delete(by_rollback), self._deadline, server_id))

    def delete_resource(self, kind: ResourceKind | str, id_: str, *, by_rollback: bool = False) -> Begun:
        """Begin to delete what a server brought along."""
        stage = self._of_delete(by_rollback)
        return self._do(DeleteResource(self._step(f"delete {id_}"), stage, self._deadline, ResourceKind(kind), id_))

    def decommission(self, *server_ids: str, resources: Sequence[str] = ()) -> Begun:
        """Begin to move data off servers; `resources`: what goes with them."""
        step = self._step("decommission")
        return self._do(Decommission(step, Stage.DECOMMISSION, self._deadline, server_ids, tuple(resources)))

    def configure(self, *server_ids: str) -> Begun:
        """Begin to configure servers; none: the whole cluster."""
        return self._do(Configure(self._step("configure"), Stage.CONFIGURE, self._deadline, server_ids))

    def start(self, *server_ids: str) -> Begun:
        """Begin to start the processes on servers; none: on the whole cluster."""
        return self._do(Start(self._step("start"), Stage.START, self._deadline, server_ids))

    def custom(self, name: str, *server_ids: str, may_hold_data: bool, stage: Stage | str = Stage.INFRASTRUCTURE) -> Begun:
        """Begin a step of the conductor's own on servers; none: on the whole cluster."""
        return self._do(Custom(self._step(name), Stage(stage), self._deadline, name, server_ids, may_hold_data))

    # ---- what others do

    def request_deletion(self, by: str = _BY, reason: str = "") -> Self:
        """Have a user ask for the cluster's deletion."""
        return self.append(DeletionRequested(by, reason), raises_epoch=True)

    def take(self, conductor: str = "conductor-b", cause: str = "compensates") -> Self:
        """Have another conductor take the stream over."""
        operation = self._running[-1] if self._running else None
        return self.append(OwnershipTaken(conductor, cause), operation=operation, raises_epoch=True)

    def observe(
        self,
        servers: Mapping[str, str | UUID | None],
        *,
        complete: bool = True,
        status: Mapping[str, str] | None = None,
        others: Sequence[ObservedResource] = (),
        kinds: Sequence[ResourceKind] = (),
        user: str | None = None,
    ) -> Self:
        """List the cloud: by server id the create whose mark it carries, by the name of what that makes, by its step, or None.

        `status`: of those that are not ACTIVE. Servers are shown as made a second after their create began.
        """
        as_of, seen = len(self._events), []
        for id_, mark in servers.items():
            step = self._steps[mark] if isinstance(mark, str) else mark
            name, made_at = self._made.get(step, (None, None)) if step is not None else (None, None)
            seen.append(ObservedServer(id_, name, (status or {}).get(id_, "ACTIVE"), made_at, step))
        return self.append(
            InventoryObserved(tuple(seen), complete, as_of, self.now, self.cloud, tuple(others), tuple(kinds), user)
        )

    def adopt(self, *server_ids: str, node_group: str = "worker", by: str = _BY, reason: str = "it was there before") -> Self:
        """Adopt servers that existed before their journal."""
        servers = tuple(AdoptedServer(id_, id_, node_group) for id_ in server_ids)
        return self.append(ServersAdopted(servers, self.cloud, by, reason))

    def resolve(
        self, about: str | Begun, word: Word | str, *, is_server: bool = True, by: str = _BY, reason: str = "looked"
    ) -> Self:
        """Have an operator say what a server (`is_server`) or another resource is, or `gone` of a create."""
        if isinstance(about, Begun):
            return self.append(OperatorResolved(Word(word), by, reason, step=about.id))
        named = {"server_id" if is_server else "resource_id": about}
        return self.append(OperatorResolved(Word(word), by, reason, **named))  # type: ignore[arg-type]  # one of two ids

    def hold(self, by: str = _BY, reason: str = "somebody looks") -> Self:
        """Place a hold: nothing is deleted from here on."""
        return self.append(HoldPlaced(by, reason))

    def release(self, by: str = _BY, reason: str = "somebody looked") -> Self:
        """Lift the hold."""
        return self.append(HoldReleased(by, reason))

    def error(self, reason: str, during: ErrorDuring | str = ErrorDuring.OPERATION) -> Self:
        """Record an error, which decides nothing."""
        operation = self._running[-1] if self._running else None
        return self.append(ErrorRecorded(ErrorDuring(during), reason), operation=operation)

    # ---- what they are made with

    @property
    def _operation(self) -> UUID:
        """The operation that is unfinished. A journal refuses what names one that never started, so ask for it first."""
        if not self._running:
            msg = "no operation is unfinished: begin one with create(), scale(), delete() or sweep()"
            raise ValueError(msg)
        return self._running[-1]

    @property
    def _deadline(self) -> datetime:
        return self.now + timedelta(seconds=1) + DEADLINE

    def _begin(self, kind: OperationKind, victims: Sequence[str], request: dict[str, Any]) -> Self:
        id_ = self._id(f"operation {len(self._events) + 1}")
        self.append(OperationStarted(kind, self.conductor, self.cloud, tuple(victims), request), operation=id_)
        self._running.append(id_)
        self._kinds[id_] = kind
        return self

    def _do(self, intent: Intent) -> Begun:
        operation = self._operation
        self.append(intent, operation=operation)
        if isinstance(intent, Create):
            self._steps[intent.name] = intent.step
            self._made[intent.step] = intent.name, self.now + timedelta(seconds=1)
        return Begun(self, intent, operation)

    def _step(self, name: str) -> UUID:
        return self._id(f"step {len(self._events) + 1} {name}")

    def _id(self, name: str) -> UUID:
        return uuid5(NAMESPACE_OID, f"{self.cluster} {name}")

    @staticmethod
    def _of_delete(by_rollback: bool) -> Stage:  # noqa: FBT001 (private)
        return Stage.ROLLBACK if by_rollback else Stage.INFRASTRUCTURE


def _status(kind: OperationKind, outcome: OperationOutcome) -> ClusterStatus:
    """Return what a cluster usually is after such an end."""
    if outcome is OperationOutcome.CANCELLED:
        return ClusterStatus.DELETED
    if outcome is not OperationOutcome.SUCCEEDED:
        return ClusterStatus.ERROR
    return ClusterStatus.DELETED if kind is OperationKind.DELETE else ClusterStatus.ACTIVE
