"""The simulated cloud: one project in memory, which does what the real services were seen to do.

Held to the same contract as the real one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final
from uuid import UUID

import attrs

from journal.events import OF_A_USER, ResourceKind
from journal.steps import Absent, Step
from rollback.cloud import DeleteAnswer, Everything, Found, refuse_late, refuse_of_another
from rollback.deletable import HELD_BY_USERS
from rollback.errors import CloudError, CloudRefused
from rollback.marks import KEYS, FoundMarks, Marks, is_mark, journal_tag, marks_of
from rollback.testing.clock import SimulatedClock

CLOUD: Final = "RegionOne/5f0c4d"
SOMEBODY_ELSES: Final = "somebody-elses"
"""A server of another project, which nobody here sees."""


@attrs.define
class SimulatedServer:
    """One server of the simulated cloud."""

    id: str
    name: str
    tags: list[str]
    metadata: dict[str, str]
    created_at: datetime
    status: str = "ACTIVE"
    is_deleting: bool = False
    cell_is_down: bool = False
    """Whether listings with a filter leave it out and others show it as UNKNOWN: read in Nova's sources, for no local cloud can.

    See `_is_cell_down_supported` in nova/api/openstack/compute/servers.py, and its guide "Handling Down Cells".
    """

    def shown(self) -> Found:
        """Return the server as a listing of everything shows it."""
        if self.cell_is_down:
            return Found(self.id, None, "UNKNOWN", None, None)
        marks = FoundMarks.of(self.tags, self.metadata)
        return Found(self.id, self.name, self.status, self.created_at, marks, self.is_deleting)


@attrs.define
class SimulatedOther:
    """Something that a server brings along. `text` is its description or its name, whichever carries the mark."""

    kind: ResourceKind
    id: str
    name: str
    text: str
    metadata: dict[str, str]
    created_at: datetime
    status: str = "AVAILABLE"
    attached_to: list[str] = attrs.field(factory=list)
    user: str | None = None
    """Of a keypair: the user who made it, and who alone sees it."""

    def shown(self) -> Found:
        """Return it as its service shows it."""
        of_volume = self.kind is ResourceKind.VOLUME
        marks = FoundMarks.of((), self.metadata) if of_volume else FoundMarks.of_text(self.text)
        made_at = None if self.kind in (ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR) else self.created_at
        return Found(self.id, self.name, self.status, made_at, marks, kind=self.kind, attached_to=tuple(self.attached_to))


class SimulatedCloud:
    """A cloud in memory.

    `fails` are errors that the next calls raise, by method (None: that call works).
    `user_id`: who asks. What else can be set is what real clouds were seen to do, with where that was.
    """

    def __init__(self, clock: SimulatedClock, name: str = CLOUD) -> None:
        self.clock = clock
        self.name = name
        self.user_id = "user-a"
        self.servers: dict[str, SimulatedServer] = {}
        self.others: dict[str, SimulatedOther] = {}
        self.kinds = frozenset(ResourceKind) - {ResourceKind.SERVER}
        self.torn: list[str] = []
        """What was deleted although a server used it that is there, and not only softly deleted: some kinds can be."""
        self.calls: list[tuple[str, str]] = []
        self.fails: dict[str, list[Exception | None]] = {}
        self.hidden: set[str] = set()
        """Servers that listings leave out, as Nova does between two pages; asking for the id shows them."""
        self.page = 1000
        """How many servers fit on a page of a listing."""
        self.on_listing: Callable[[], None] = lambda: None
        """Called before everything is listed, which each look at the cloud ends with."""
        self.lag_seconds = 0.0
        """How long listings leave out a new server. Seen on a real Nova 34: the first listing after a lost POST missed it."""
        self.build_seconds = 0.0
        """How long a server is in BUILD. For ever if infinite, as Nova's `instance_build_timeout` of 0 lets it be."""
        self.boots_to_error = 0
        """How many of the next servers go to ERROR instead of ACTIVE, as after NoValidHost."""
        self.delete_seconds = 0.0
        """How long a server is there after its DELETE was accepted: it answers 204 and deletes later."""
        self.delete_goes_to_error = 0
        """How many of the next deletes end in ERROR, as while Neutron is away. A second delete works."""
        self.reclaim_seconds: float | None = None
        """How long a deleted server is SOFT_DELETED before it is gone, as with Nova's `reclaim_instance_interval`.

        No listing shows it then, asking for its id does: seen on a real Nova 34.
        """
        self.undeletable: set[str] = set()
        """Servers of which a DELETE is accepted and ignored, as with Nova's `disable_terminate`."""
        self.locked: set[str] = set()
        """Servers of which a DELETE is refused with 409, as of any locked one."""
        self.skew = timedelta()
        self.skews: dict[ResourceKind, timedelta] = {}
        """How far ahead of that the clocks of the services of other kinds are."""
        self.made = 0
        """How many things were made so far, which their ids come from."""

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The calls that changed something."""
        return [call for call in self.calls if call[0] in ("create_server", "create_resource", "delete")]

    def now(self, kind: ResourceKind = ResourceKind.SERVER) -> datetime:
        """Return the time by the clock of the service that makes this kind."""
        if kind is not ResourceKind.SERVER:
            self._call("now", kind)
        return self.clock.now() + self.skew + self.skews.get(kind, timedelta())

    def create_server(self, step: Step, **attributes: Any) -> str:
        """Create a server with the marks of its step."""
        self._call("create_server", step.name)
        refuse_late(step, self.clock.now())
        return self.land(step, **attributes)

    def land(
        self,
        step: Step,
        *,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        uses: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        """Make the server of a step, as when its POST arrives.

        `uses`: what it brings along, beside what its `attributes` name as openstacksdk takes them.
        """
        self.made += 1
        marks = marks_of(step)
        said = {**(metadata or {}), **marks.metadata}
        server = SimulatedServer(f"vm-{self.made}", step.name, [*tags, *marks.tags], said, self.clock.now())
        if self.boots_to_error:
            self.boots_to_error -= 1
            server.status = "ERROR"
        elif self.build_seconds:
            server.status = "BUILD"
            self._boot(server)
        self.servers[server.id] = server
        for id_ in dict.fromkeys((*uses, *(id_ for id_ in _named_in(attributes) if id_ in self.others))):
            self.others[id_].attached_to.append(server.id)
        return server.id

    def create_resource(self, step: Step, **_: Any) -> str:
        """Create what a server brings along, with the mark of its step."""
        self._call("create_resource", step.name)
        refuse_late(step, self.clock.now())
        refuse_of_another(step, self.user_id)
        return self.land_other(step)

    def land_other(self, step: Step) -> str:
        """Make what the step is for, as when its POST arrives. The name of a keypair is its id, and is there once."""
        self.made += 1
        marks = marks_of(step)
        is_named = step.kind in (ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR)
        text = marks.name(step.name) if is_named else marks.description("")
        id_ = text if step.kind is ResourceKind.KEYPAIR else f"{step.kind}-{self.made}"
        if id_ in self.others:
            msg = f"keypair {id_} exists"
            raise CloudRefused(msg)
        name = text if is_named else step.name
        user = self.user_id if step.kind in OF_A_USER else None
        self.others[id_] = SimulatedOther(step.kind, id_, name, text, dict(marks.metadata), self.clock.now(), user=user)
        return id_

    def is_active(self, server_id: str) -> bool:
        """Whether a server is ACTIVE by now."""
        self._call("is_active", server_id)
        server = self.servers.get(server_id)
        if server is None or server.status == "ERROR":
            msg = f"server {server_id} is not there, or in ERROR"
            raise CloudError(msg)
        return server.status == "ACTIVE"

    def is_usable(self, kind: ResourceKind, resource_id: str) -> bool:
        """Whether what a server brings along is made by now."""
        self._call("is_usable", resource_id)
        other = self._other(resource_id)
        if other is None or other.kind is not kind or other.status == "ERROR":
            msg = f"{kind} {resource_id} is not there, or in ERROR"
            raise CloudError(msg)
        return other.status not in ("CREATING", "DOWNLOADING")

    def is_gone(self, server_id: str, kind: ResourceKind = ResourceKind.SERVER) -> bool:
        """Whether a resource is deleted by now."""
        self._call("is_gone", server_id)
        if kind is not ResourceKind.SERVER:
            return self._other(server_id) is None
        server = self.servers.get(server_id)
        if server is not None and server.status == "ERROR" and not server.is_deleting:
            msg = f"server {server_id}: the server went to ERROR while it was deleted"
            raise CloudError(msg)
        return server is None or server.status == "SOFT_DELETED"

    def delete_server(self, server_id: str) -> None:
        """Ask for a server's deletion."""
        if self.delete(server_id) is DeleteAnswer.ABSENT:
            msg = f"server {server_id} was not there"
            raise Absent(msg)

    def delete_resource(self, kind: ResourceKind, id_: str) -> None:
        """Ask for the deletion of what a server brought along."""
        match self.delete(id_, kind):
            case DeleteAnswer.ABSENT:
                msg = f"{kind} {id_} was not there"
                raise Absent(msg)
            case DeleteAnswer.IN_USE:
                msg = f"{kind} {id_} is still in use"
                raise CloudRefused(msg)
            case DeleteAnswer.ACCEPTED:
                pass

    def list_kind(self, kind: ResourceKind) -> list[Found]:
        """Return everything of a kind."""
        self._call("list_kind", kind)
        listed = (id_ for id_, other in self.others.items() if other.kind is kind and id_ not in self.hidden)
        return [other.shown() for id_ in listed if (other := self._other(id_)) is not None]

    def list_journal(self, journal: UUID) -> list[Found]:
        """Return the servers whose tags name this journal; those of a cell that is down are left out."""
        self._call("list_journal", str(journal))
        tag = journal_tag(journal)
        listed = (server for server in self._listed() if tag in server.tags and not server.cell_is_down)
        return [server.shown() for server in listed]

    def list_all(self) -> Everything:
        """Return all servers; of cells that are down only if all fit on one page."""
        self.on_listing()
        self._call("list_all", "")
        pages = len(self._listed()) > self.page
        return Everything([s.shown() for s in self._listed() if not (pages and s.cell_is_down)], hides_down_cells=pages)

    def get(self, server_id: str, kind: ResourceKind = ResourceKind.SERVER) -> Found | None:
        """Return one resource."""
        self._call("get", server_id)
        if kind is not ResourceKind.SERVER:
            other = self._other(server_id)
            return None if other is None or other.kind is not kind else other.shown()
        server = self.servers.get(server_id)
        return None if server is None else server.shown()

    def mark(self, server_id: str, marks: Marks) -> None:
        """Give a server these marks, in place of whatever marks it has."""
        self._call("mark", server_id)
        server = self.servers.get(server_id)
        if server is None:
            msg = f"server {server_id} is not there"
            raise CloudRefused(msg)
        server.tags = [*(tag for tag in server.tags if not is_mark(tag)), *marks.tags]
        server.metadata = {key: said for key, said in server.metadata.items() if key not in KEYS} | marks.metadata

    def delete(self, server_id: str, kind: ResourceKind = ResourceKind.SERVER) -> DeleteAnswer:
        """Ask for the deletion of a resource."""
        self._call("delete", server_id)
        if kind is not ResourceKind.SERVER:
            return self._delete_other(server_id)
        server = self.servers.get(server_id)
        if server is None:
            return DeleteAnswer.ABSENT
        if server_id in self.locked:
            msg = f"HTTP 409: server {server_id} is locked"
            raise CloudRefused(msg)
        if server_id in self.undeletable:
            return DeleteAnswer.ACCEPTED
        if self.delete_goes_to_error:
            self.delete_goes_to_error -= 1
            server.status = "ERROR"
            return DeleteAnswer.ACCEPTED
        server.is_deleting = True
        if self.delete_seconds:
            self.clock.later(self.delete_seconds, lambda: self._vanish(server_id))
        else:
            self._vanish(server_id)
        return DeleteAnswer.ACCEPTED

    def _other(self, id_: str) -> SimulatedOther | None:
        """Return what this user sees by an id that is no server's."""
        other = self.others.get(id_)
        return other if other is not None and other.user in (None, self.user_id) else None

    def _delete_other(self, id_: str) -> DeleteAnswer:
        other = self._other(id_)
        if other is None:
            return DeleteAnswer.ABSENT
        used = any(id_ in self.servers or id_ == SOMEBODY_ELSES for id_ in other.attached_to)
        if used and other.kind in HELD_BY_USERS:
            return DeleteAnswer.IN_USE
        if other.kind is ResourceKind.VOLUME and self.delete_seconds:
            other.status = "DELETING"
            self.clock.later(self.delete_seconds, lambda: self._drop(id_))
        else:
            self.torn += [id_ for user in other.attached_to if user == SOMEBODY_ELSES or self._stands(user)]
            self._drop(id_)
        return DeleteAnswer.ACCEPTED

    def _stands(self, server_id: str) -> bool:
        server = self.servers.get(server_id)
        return server is not None and server.status != "SOFT_DELETED"

    def _drop(self, id_: str) -> None:
        self.others.pop(id_, None)

    def _listed(self) -> list[SimulatedServer]:
        visible = self.clock.now() - timedelta(seconds=self.lag_seconds)
        there = (s for s in self.servers.values() if s.id not in self.hidden and s.status != "SOFT_DELETED")
        return [server for server in there if not self.lag_seconds or server.created_at <= visible]

    def _boot(self, server: SimulatedServer) -> None:
        def boot() -> None:
            if server.status == "BUILD":
                server.status = "ACTIVE"

        if isfinite(self.build_seconds):
            self.clock.later(self.build_seconds, boot)

    def _vanish(self, server_id: str) -> None:
        server = self.servers.get(server_id)
        if server is not None and self.reclaim_seconds is not None and server.status == "ACTIVE":
            server.status, server.is_deleting = "SOFT_DELETED", False
            self.clock.later(self.reclaim_seconds, lambda: self._reclaim(server_id))
            return
        self._forget(server_id)

    def _reclaim(self, server_id: str) -> None:
        server = self.servers.get(server_id)
        if server is not None and server.status == "SOFT_DELETED":
            self._forget(server_id)

    def _forget(self, server_id: str) -> None:
        self.servers.pop(server_id, None)
        for other in self.others.values():
            if server_id in other.attached_to:
                other.attached_to.remove(server_id)

    def _call(self, method: str, about: str) -> None:
        self.calls.append((method, about))
        errors = self.fails.get(method)
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error


def _named_in(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the attributes of a server name: ports, volumes and groups."""
    networks = attributes.get("networks") or ()
    if not isinstance(networks, str):
        yield from (each["port"] for each in networks if each.get("port"))
    for key in ("block_device_mapping", "block_device_mapping_v2"):
        yield from (each["uuid"] for each in attributes.get(key) or () if each.get("source_type") == "volume")
    yield from (each["name"] for each in attributes.get("security_groups") or ())
    hints = attributes.get("scheduler_hints") or {}
    if hints.get("group"):
        yield hints["group"]
