"""The narrow port to the cloud: all that the compensator asks of it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID

import attrs

from journal.events import ResourceKind
from journal.steps import Step
from rollback.errors import CloudRefused
from rollback.marks import FoundMarks, Marks


@attrs.frozen
class Found:
    """One server, or something that a server brings along, as the cloud shows it.

    `name`, `created_at` and `marks` are None where the cloud did not say, as for a server of a cell that is down.
    """

    id: str
    name: str | None
    status: str
    created_at: datetime | None
    marks: FoundMarks | None
    is_deleting: bool = False
    kind: ResourceKind = ResourceKind.SERVER
    attached_to: tuple[str, ...] = ()
    """The servers that use it, if it is no server itself."""


@attrs.frozen
class Everything:
    """A listing of all servers of the project."""

    servers: Sequence[Found]
    hides_down_cells: bool = False
    """Whether servers of a cell that is down can be missing in it.

    Nova shows them on the first page, as far as there is room for them, and on no other (`_is_cell_down_supported` in
    nova/api/openstack/compute/servers.py, `get_all` in nova/compute/api.py).
    """

    def __iter__(self) -> Iterator[Found]:
        return iter(self.servers)


def refuse_late(step: Step, now: datetime) -> None:
    """Raise CloudRefused, before anything is sent, if the deadline of a step has passed."""
    if now >= step.deadline:
        msg = f"the request for {step.name} was not sent: its deadline, {step.deadline:%H:%M:%S} UTC, has passed"
        raise CloudRefused(msg)


def refuse_of_another(step: Step, user: str) -> None:
    """Raise CloudRefused, before anything is sent, if what a step creates is to belong to another user than this."""
    if step.user not in (None, user):
        msg = f"{step.kind} {step.name} is to belong to user {step.user}, but this is {user}"
        raise CloudRefused(msg)


class DeleteAnswer(Enum):
    """What the cloud says to a delete."""

    ACCEPTED = "accepted"
    ABSENT = "absent"
    IN_USE = "in use"
    """Not now: a server still uses it, or something else is being done to it."""


class Cloud(Protocol):
    """One project in one region of one cloud. Safe to use from many threads.

    Every call raises CloudError where the outcome is unknown, CloudRefused where the cloud refused for certain.
    """

    @property
    def name(self) -> str:
        """Which cloud it is: region and project id, `RegionOne/5f0c…`."""

    @property
    def user_id(self) -> str:
        """Who asks: a keypair is seen by the user only to whom it belongs."""

    def now(self) -> datetime:
        """Return the time by the cloud's own clock, in UTC."""

    def list_journal(self, journal: UUID) -> Sequence[Found]:
        """Return the servers whose tags name this journal. Servers of a cell that is down are silently left out."""

    def list_all(self) -> Everything:
        """Return all servers of the project. Those of a cell that is down have status UNKNOWN and no marks, or are missing."""

    @property
    def kinds(self) -> frozenset[ResourceKind]:
        """What the cloud can make besides servers."""

    def list_kind(self, kind: ResourceKind) -> Sequence[Found]:
        """Return everything of this kind, which is not servers, that the project has; of keypairs, that this user has."""

    def get(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> Found | None:
        """Return one resource, or None if there is none with this id."""

    def mark(self, server_id: str, marks: Marks) -> None:
        """Give a server these marks, in place of whatever marks it has; its other tags and metadata stay."""

    def delete(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> DeleteAnswer:
        """Ask for the deletion of a resource. Accepted is not gone: that is seen by `get` only."""
