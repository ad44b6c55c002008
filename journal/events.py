"""The closed union of events: what can stand in a journal.

Every class is one row of the event catalogue, under the catalogue's own names. `codec` turns them to JSON and back,
`rules` says which may follow which. Optional fields (the catalogue's "where …") have a default and are left out of the
JSON where they have that value; fields that the catalogue calls "or null" have no default and are always written.

Schema 1 speaks of servers only. Schema 2 speaks also of what a server brings along: an event is written in it if, and
only if, it does so (`schema_of`), so that a journal without such resources is the same as ever.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import attrs
from msgspec import Meta

from journal.value import Value

LARGEST_INTEGER: Final = 2**53
"""Integers beyond it are not exact in every JSON reader, so no event holds them."""

Text = Annotated[str, Meta(min_length=1)]
StreamId = Annotated[str, Meta(min_length=1, max_length=255)]
Time = Annotated[datetime, Meta(tz=True)]
Version = Annotated[int, Meta(ge=1, le=LARGEST_INTEGER)]
AsOf = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]


class OperationKind(StrEnum):
    """What an operation does to its cluster; a sweep deletes what arrived late."""

    CREATE = "create"
    SCALE = "scale"
    DELETE = "delete"
    SWEEP = "sweep"


class Stage(StrEnum):
    """Where in an operation a step stands, in this order; `rollback` is the compensator's own and is not counted."""

    DECOMMISSION = "decommission"
    INFRASTRUCTURE = "infrastructure"
    CONFIGURE = "configure"
    START = "start"
    ROLLBACK = "rollback"


class ResourceKind(StrEnum):
    """What a conductor makes for a cluster: servers, and what a server brings along, in the order in which it is deleted.

    A server lets go of its ports and volumes when it is deleted, a floating IP before its port is; a group outlives what
    is in it.
    """

    SERVER = "server"
    FLOATING_IP = "floating_ip"
    PORT = "port"
    VOLUME = "volume"
    SECURITY_GROUP = "security_group"
    SERVER_GROUP = "server_group"
    KEYPAIR = "keypair"


OF_A_USER: Final = frozenset({ResourceKind.KEYPAIR})
"""The kinds that belong to a user and not to a project: no other user sees them, or finds them when he deletes them."""


class StepOutcome(StrEnum):
    """How a step ended. Unknown is the absence of a completion, never an outcome."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABSENT = "absent"


class OperationOutcome(StrEnum):
    """How an operation ended."""

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class ClusterStatus(StrEnum):
    """What the conductor's users see of a cluster once nothing is running."""

    ACTIVE = "Active"
    ERROR = "Error"
    DELETED = "Deleted"


class VerdictName(StrEnum):
    """What replay says of one resource."""

    NEW = "new"
    UNNEEDED = "unneeded"
    UNSAFE = "unsafe"
    IN_SERVICE = "in_service"
    IN_DOUBT = "in_doubt"
    GONE = "gone"
    FOREIGN = "foreign"


class PlanAction(StrEnum):
    """What a plan does about one resource."""

    DELETE = "delete"
    KEEP = "keep"
    FIND = "find"
    NONE = "none"


class Word(StrEnum):
    """What an operator can say: of a resource the first four, of a create step `gone`."""

    NEW = "new"
    UNNEEDED = "unneeded"
    UNSAFE = "unsafe"
    IN_SERVICE = "in_service"
    GONE = "gone"


class ErrorDuring(StrEnum):
    """In what an error came up."""

    OPERATION = "operation"
    COMPENSATION = "compensation"


@attrs.frozen(eq=False, repr=False)
class OperationStarted(Value):
    """A conductor begins an operation.

    `victims`: the servers that a scale will remove, and what goes with them, declared before anything begins.
    """

    type: ClassVar[str] = "operation_started"

    kind: OperationKind
    conductor: Text
    cloud: Text
    victims: tuple[Text, ...]
    request: dict[str, Any]


@attrs.frozen(eq=False, repr=False)
class CreateServer(Value):
    """Intent to create one server, of which nobody knows the id yet."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "create_server"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INFRASTRUCTURE})

    step: UUID
    stage: Stage
    deadline: Time
    node_group: str
    name: Text
    resource_ids: tuple[Text, ...] = ()
    """What it is made with: its ports, volumes and groups, as far as they are this cluster's. Schema 2."""


@attrs.frozen(eq=False, repr=False)
class DeleteServer(Value):
    """Intent to delete one server and to wait until it is gone."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "delete_server"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INFRASTRUCTURE, Stage.ROLLBACK})

    step: UUID
    stage: Stage
    deadline: Time
    server_id: Text


@attrs.frozen(eq=False, repr=False)
class CreateResource(Value):
    """Intent to create what a server brings along: `create_port`, `create_volume` and so on. Schema 2."""

    type: ClassVar[str] = "intent"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INFRASTRUCTURE})

    step: UUID
    stage: Stage
    deadline: Time
    kind: ResourceKind
    name: Text
    user: Text | None = None
    """The id of the user to whom it belongs, if it is of a kind that belongs to one."""

    @property
    def action(self) -> str:
        """The action as the catalogue names it."""
        return f"create_{self.kind}"


@attrs.frozen(eq=False, repr=False)
class DeleteResource(Value):
    """Intent to delete what a server brought along: `delete_port`, `delete_volume` and so on. Schema 2."""

    type: ClassVar[str] = "intent"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.INFRASTRUCTURE, Stage.ROLLBACK})

    step: UUID
    stage: Stage
    deadline: Time
    kind: ResourceKind
    resource_id: Text

    @property
    def action(self) -> str:
        """The action as the catalogue names it."""
        return f"delete_{self.kind}"


@attrs.frozen(eq=False, repr=False)
class Decommission(Value):
    """Intent to move data and work off servers, so that they can be deleted."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "decommission"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.DECOMMISSION})

    step: UUID
    stage: Stage
    deadline: Time
    server_ids: tuple[Text, ...]
    resource_ids: tuple[Text, ...] = ()
    """What goes with the servers, and can be deleted from then on as they can. Schema 2."""


@attrs.frozen(eq=False, repr=False)
class Configure(Value):
    """Intent to configure servers; none listed means the whole cluster."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "configure"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.CONFIGURE, Stage.START})

    step: UUID
    stage: Stage
    deadline: Time
    server_ids: tuple[Text, ...]


@attrs.frozen(eq=False, repr=False)
class Start(Value):
    """Intent to start the processes on servers; none listed means the whole cluster."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "start"
    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.CONFIGURE, Stage.START})

    step: UUID
    stage: Stage
    deadline: Time
    server_ids: tuple[Text, ...]


@attrs.frozen(eq=False, repr=False)
class Custom(Value):
    """Intent to do something of the conductor's own; none listed means the whole cluster."""

    type: ClassVar[str] = "intent"
    action: ClassVar[str] = "custom"
    stages: ClassVar[frozenset[Stage]] = frozenset(Stage) - {Stage.ROLLBACK}

    step: UUID
    stage: Stage
    deadline: Time
    name: Text
    server_ids: tuple[Text, ...]
    may_hold_data: bool


FOUND_BY_MARK: Final = "found by its mark"
"""The reason with which the compensator completes a create when it found what that made: its conductor was not told."""

SOFTLY_DELETED: Final = "soft-deleted: it can still be restored"
"""The reason with which the compensator completes a delete that can be undone."""

READ_REASONS: Final = frozenset({FOUND_BY_MARK, SOFTLY_DELETED})
"""The reasons that replay reads; all others are for people."""


Create = CreateServer | CreateResource
Delete = DeleteServer | DeleteResource
Intent = Create | Delete | Decommission | Configure | Start | Custom


def kind_made(intent: Create) -> ResourceKind:
    """Return what a create makes."""
    return ResourceKind.SERVER if isinstance(intent, CreateServer) else intent.kind


def deleted_by(intent: Delete) -> str:
    """Return the id of what a delete deletes."""
    return intent.server_id if isinstance(intent, DeleteServer) else intent.resource_id


def knows_absence(intent: Delete) -> bool:
    """Whether whoever finds nothing to delete knows that it is not there.

    To another user than its own what belongs to a user is never there. The compensator asks for it as that user only.
    """
    return isinstance(intent, DeleteServer) or intent.kind not in OF_A_USER or intent.stage is Stage.ROLLBACK


def listed_in(intent: Intent) -> tuple[str, ...]:
    """Return the resources that a step acts on: none for a create, nor where it means the whole cluster."""
    match intent:
        case CreateServer() | CreateResource():
            return ()
        case DeleteServer() | DeleteResource():
            return (deleted_by(intent),)
        case Decommission(server_ids=server_ids, resource_ids=resource_ids):
            return (*server_ids, *resource_ids)
        case _:
            return intent.server_ids


@attrs.frozen(eq=False, repr=False)
class Completion(Value):
    """A step ended. `server_id` where a create learned it; `reason` is required unless the step succeeded.

    `resource_id`, in schema 2, is the same of a create of another resource.
    """

    type: ClassVar[str] = "completion"

    step: UUID
    outcome: StepOutcome
    server_id: Text | None = None
    reason: str | None = None
    resource_id: Text | None = None

    @property
    def made(self) -> str | None:
        """The id of what a create made."""
        return self.server_id if self.resource_id is None else self.resource_id


def completed(intent: Create, outcome: StepOutcome, made: str | None, reason: str | None = None) -> Completion:
    """Return the completion of a create; `made`: the id of what it made, if it is told."""
    if isinstance(intent, CreateServer):
        return Completion(intent.step, outcome, made, reason)
    return Completion(intent.step, outcome, None, reason, made)


@attrs.frozen(eq=False, repr=False)
class OperationFinished(Value):
    """An operation ended, and with it what it took over."""

    type: ClassVar[str] = "operation_finished"

    outcome: OperationOutcome
    cluster_status: ClusterStatus
    reason: str


@attrs.frozen(eq=False, repr=False)
class DeletionRequested(Value):
    """A user wants the cluster deleted. It raises the epoch, which fences whoever is at work."""

    type: ClassVar[str] = "deletion_requested"

    by: Text
    reason: str


@attrs.frozen(eq=False, repr=False)
class OwnershipTaken(Value):
    """A conductor took the stream over. It raises the epoch, which fences the owner before it."""

    type: ClassVar[str] = "ownership_taken"

    conductor: Text
    cause: str


DELETED_STATUSES: Final = frozenset({"DELETED", "SOFT_DELETED"})
"""Nova's statuses of a server that is gone for us; any other, ERROR and UNKNOWN included, is there."""


@attrs.frozen(eq=False, repr=False)
class ObservedServer(Value):
    """One row of a listing. `step`: the mark that it carries; `name`, `created_at`: None where the cloud did not say."""

    server_id: Text
    name: str | None
    status: Text
    created_at: Time | None
    step: UUID | None


@attrs.frozen(eq=False, repr=False)
class ObservedResource(Value):
    """One row of a listing of other resources than servers. `attached_to`: the servers that use it, as far as shown."""

    kind: ResourceKind
    resource_id: Text
    name: str | None
    status: Text
    created_at: Time | None
    step: UUID | None
    attached_to: tuple[Text, ...]


@attrs.frozen(eq=False, repr=False)
class InventoryObserved(Value):
    """What the cloud showed of this cluster. It speaks for the moment `as_of`, the stream's version when it began.

    `complete` says that all servers could be seen; `kinds`, in schema 2, of which other resources that is so. Of a kind
    that belongs to a user, all of those of `user`.
    """

    type: ClassVar[str] = "inventory_observed"

    servers: tuple[ObservedServer, ...]
    complete: bool
    as_of: AsOf
    began_at: Time
    cloud: Text
    resources: tuple[ObservedResource, ...] = ()
    kinds: tuple[ResourceKind, ...] = ()
    user: Text | None = None


@attrs.frozen(eq=False, repr=False)
class AdoptedServer(Value):
    """A server that existed before the journal of its cluster."""

    server_id: Text
    name: str
    node_group: str


@attrs.frozen(eq=False, repr=False)
class ServersAdopted(Value):
    """Servers that existed before their journal are in service from here on."""

    type: ClassVar[str] = "servers_adopted"

    servers: tuple[AdoptedServer, ...]
    cloud: Text
    by: Text
    reason: str


@attrs.frozen(eq=False, repr=False)
class PlannedVerdict(Value):
    """One row of a plan. What has no id is identified by its create step. `kind` and `resource_id` are of schema 2."""

    server_id: Text | None
    step: UUID | None
    name: str | None
    verdict: VerdictName
    action: PlanAction
    because: str
    evidence: tuple[Version, ...]
    kind: ResourceKind = ResourceKind.SERVER
    resource_id: Text | None = None

    @property
    def id(self) -> str | None:
        """The id of what it is about."""
        return self.server_id if self.resource_id is None else self.resource_id


@attrs.frozen(eq=False, repr=False)
class PlanMade(Value):
    """What replay of the stream up to here says should be done."""

    type: ClassVar[str] = "plan_made"

    verdicts: tuple[PlannedVerdict, ...]
    cluster_status: ClusterStatus


@attrs.frozen(eq=False, repr=False)
class OperatorResolved(Value):
    """An operator's word: of a server (`server_id`), or `gone` of a create step (`step`). It overrides replay.

    In schema 2 a word can be of another resource (`resource_id`).
    """

    type: ClassVar[str] = "operator_resolved"

    verdict: Word
    by: Text
    reason: str
    server_id: Text | None = None
    step: UUID | None = None
    resource_id: Text | None = None

    @property
    def about(self) -> str | None:
        """The id of what the word is of."""
        return self.server_id if self.resource_id is None else self.resource_id


@attrs.frozen(eq=False, repr=False)
class ErrorRecorded(Value):
    """What went wrong, for people; it decides nothing."""

    type: ClassVar[str] = "error_recorded"

    during: ErrorDuring
    reason: str


@attrs.frozen(eq=False, repr=False)
class HoldPlaced(Value):
    """From here on nothing is deleted in this cluster, not even for a user's deletion."""

    type: ClassVar[str] = "hold_placed"

    by: Text
    reason: str


@attrs.frozen(eq=False, repr=False)
class HoldReleased(Value):
    """The hold is lifted."""

    type: ClassVar[str] = "hold_released"

    by: Text
    reason: str


Data = (
    OperationStarted
    | Intent
    | Completion
    | OperationFinished
    | DeletionRequested
    | OwnershipTaken
    | InventoryObserved
    | ServersAdopted
    | PlanMade
    | OperatorResolved
    | ErrorRecorded
    | HoldPlaced
    | HoldReleased
)


SCHEMAS: Final = (1, 2)
"""The schema numbers that there are."""


_SPEAKS: Final[Mapping[type[Any], Callable[[Any], object]]] = {
    CreateResource: lambda _: True,
    DeleteResource: lambda _: True,
    CreateServer: attrgetter("resource_ids"),
    Decommission: attrgetter("resource_ids"),
    Completion: attrgetter("resource_id"),
    OperatorResolved: attrgetter("resource_id"),
    InventoryObserved: lambda observed: observed.resources or observed.kinds,
    PlanMade: lambda plan: any(row.kind is not ResourceKind.SERVER for row in plan.verdicts),
}
"""Whether an event speaks of other resources than servers, by class; those of other classes never do."""


def schema_of(data: Data) -> int:
    """Return the schema in which an event is written: 2 if it speaks of other resources than servers, else 1."""
    speaks = _SPEAKS.get(type(data))
    return 2 if speaks is not None and speaks(data) else 1


@attrs.frozen(eq=False, repr=False)
class Event(Value):
    """One entry of a stream: the envelope, and the data by type.

    `version` counts 1, 2, 3 … in the stream without a gap; `recorded_at` is UTC; `epoch` is the fencing token under
    which the event was appended; `hash` (64 hex digits) is there once the event is stored.
    """

    stream: StreamId
    version: Version
    id: UUID
    recorded_at: Time
    epoch: Version
    operation: UUID | None
    data: Data
    hash: str | None = attrs.field(default=None, eq=False)

    @property
    def type(self) -> str:
        """The event's type as the catalogue names it."""
        return self.data.type
