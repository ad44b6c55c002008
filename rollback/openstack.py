"""The cloud through openstacksdk: Nova's ways with servers; `others` knows those of what servers bring along.

The microversion is pinned: tags can be set at creation from 2.52 on, and only from 2.69 on does a listing say which
servers it could not see. Creates are never retried: a read timeout or a 5xx does not mean that no server was made
(keystoneauth would send the POST again).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from uuid import UUID

import openstack
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk
from openstack.compute.v2.server import Server
from openstack.connection import Connection

from journal.events import ResourceKind, StepOutcome
from journal.settings import Settings
from journal.steps import Absent, Step
from rollback.closing import end_of_delete
from rollback.cloud import DeleteAnswer, Everything, Found, refuse_late, refuse_of_another
from rollback.errors import CloudError, CloudRefused, UnknownCloud, UnsuitableCloud
from rollback.http_errors import translated
from rollback.marks import KEYS, FoundMarks, Marks, is_mark, journal_tag, marks_of
from rollback.others import Others

MICROVERSION: Final = "2.69"
"""The compute API version that everything here is written for."""

LISTINGS: Final = 3
"""How often a listing is begun whose pages change underneath it."""


class OpenStackCloud:
    """One project in one region, through openstacksdk."""

    def __init__(self, connection: Connection) -> None:
        """Use a connection of the caller's.

        Raises UnsuitableCloud if its compute API is too old, CloudError if it cannot be asked.
        """
        self.connection = connection
        with translated("asking for the compute API's version"):
            self._compute = connection.compute
            self._compute.default_microversion = MICROVERSION
            self._compute.connect_retries = 0
            self._compute.status_code_retries = 0
            data = self._compute.get_endpoint_data()
            self._name = f"{self._compute.region_name or 'default'}/{connection.current_project_id}"
            self._user_id = f"{connection.current_user_id}"
        self._others = Others(connection)
        newest = None if data is None else data.max_microversion
        if newest is None or newest < tuple(int(part) for part in MICROVERSION.split(".")):
            shown = "none" if newest is None else ".".join(map(str, newest))
            msg = f"Cloud {self._name} has compute API microversion {shown}; {MICROVERSION} (Nova 19, 2019) or newer is needed."
            raise UnsuitableCloud(msg)

    @classmethod
    def connect(cls, cloud: str | None = None, settings: Settings | None = None) -> Self:
        """Connect to a cloud of clouds.yaml, or to the one that the environment names.

        Raises UnknownCloud, UnsuitableCloud or CloudError.
        """
        timeout = (settings or Settings()).api_timeout_seconds
        try:
            connection = openstack.connect(cloud=cloud, app_name="provjournal", api_timeout=timeout)
        except (sdk.ConfigException, keystone.AuthPluginException) as error:
            msg = f"{str(error).rstrip('.')}. Name a cloud of clouds.yaml with --cloud or OS_CLOUD."
            raise UnknownCloud(msg) from error
        return cls(connection)

    @property
    def name(self) -> str:
        """Which cloud it is: region and project id."""
        return self._name

    @property
    def user_id(self) -> str:
        """Who asks: what `Operation.create_resource` is told of a keypair, which no other user sees."""
        return self._user_id

    def now(self) -> datetime:
        """Return the time by the cloud's own clock, as the `Date` of its answers tells it."""
        with translated("asking for the time"):
            date = self._compute.get("/servers?limit=1").headers.get("Date")
        if date is None:
            msg = f"Cloud {self._name} does not say what time it is: its answers have no Date header."
            raise UnsuitableCloud(msg)
        return parsedate_to_datetime(date).astimezone(UTC)

    def list_journal(self, journal: UUID) -> Sequence[Found]:
        """Return the servers whose tags name this journal."""
        servers, _ = self._list({"tags": journal_tag(journal)})
        return servers

    def list_all(self) -> Everything:
        """Return all servers of the project: a listing without filters is the only one that shows cells that are down."""
        servers, pages = self._list({})
        return Everything(servers, hides_down_cells=pages > 1)

    @property
    def kinds(self) -> frozenset[ResourceKind]:
        """What the cloud can make besides servers: what its catalog has services for."""
        return self._others.kinds

    def list_kind(self, kind: ResourceKind) -> Sequence[Found]:
        """Return everything of this kind, which is not servers, that the project has; of keypairs, that this user has."""
        return self._others.listed(kind)

    def get(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> Found | None:
        """Return one resource, or None if there is none with this id."""
        if kind is not ResourceKind.SERVER:
            return self._others.get(kind, id_)
        with translated(f"asking for server {id_}"):
            try:
                return _found(self._compute.get_server(id_))
            except sdk.NotFoundException:
                return None

    def mark(self, server_id: str, marks: Marks) -> None:
        """Give a server these marks, in place of whatever marks it has; its other tags and metadata stay."""
        with translated(f"marking server {server_id}"):
            server = self._compute.get_server(server_id)
            stale = KEYS.intersection(server.metadata or ()).difference(marks.metadata)
            if stale:
                self._compute.delete_server_metadata(server, keys=sorted(stale))
            self._compute.set_server_metadata(server, **marks.metadata)
            for tag in server.tags or ():
                if is_mark(tag) and tag not in marks.tags:
                    self._compute.remove_tag_from_server(server, tag)
            for tag in marks.tags:
                self._compute.add_tag_to_server(server, tag)

    def delete(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> DeleteAnswer:
        """Ask for the deletion of a resource.

        ABSENT only if it cannot be found either: whatever is in between may say 404.
        """
        with translated(f"deleting {kind} {id_}"):
            try:
                if kind is not ResourceKind.SERVER:
                    return self._others.delete(kind, id_)
                self._compute.delete_server(id_, ignore_missing=False)
            except sdk.NotFoundException:
                absent = True
            else:
                absent = False
        if absent and self.get(id_, kind) is not None:
            msg = f"deleting {kind} {id_}: the cloud says that it is not there, but it is"
            raise CloudRefused(msg)
        return DeleteAnswer.ABSENT if absent else DeleteAnswer.ACCEPTED

    def create_server(self, step: Step, **attributes: Any) -> str:
        """Create a server with the marks of its step and return its id; `attributes` as openstacksdk's compute proxy takes them.

        Nothing is sent once the step's deadline has passed: its process stood still, and others may already have looked
        for the server in vain. Raises CloudRefused or CloudError; the step then has failed or stays unfinished.
        """
        refuse_late(step, datetime.now(UTC))
        marks = marks_of(step)
        tags = [*attributes.pop("tags", []), *marks.tags]
        metadata = {**attributes.pop("metadata", {}), **marks.metadata}
        with translated(f"creating server {step.name}"):
            server = self._compute.create_server(name=step.name, tags=tags, metadata=metadata, **attributes)
        return str(server.id)

    def create_resource(self, step: Step, **attributes: Any) -> str:
        """Create what a server brings along, with the mark of its step, and return its id.

        `attributes` as openstacksdk's proxies take them; a keypair needs its `public_key`, so that no secret comes back.
        Raises what `create_server` raises, and ValueError for a description that leaves no room for the mark.
        """
        refuse_late(step, datetime.now(UTC))
        refuse_of_another(step, self.user_id)
        with translated(f"creating {step.kind} {step.name}"):
            return self._others.create(step, **attributes)

    def delete_resource(self, kind: ResourceKind, resource_id: str) -> None:
        """Ask for the deletion of what a server brought along, as `delete_server` does. Raises CloudRefused if it is in use."""
        match self.delete(resource_id, kind):
            case DeleteAnswer.ABSENT:
                msg = f"{kind} {resource_id} was not there"
                raise Absent(msg)
            case DeleteAnswer.IN_USE:
                msg = f"{kind} {resource_id} is still in use"
                raise CloudRefused(msg)
            case DeleteAnswer.ACCEPTED:
                pass

    def delete_server(self, server_id: str) -> None:
        """Ask for a server's deletion: what the body of a conductor's `delete_server` step does first.

        Raises Absent if it was not there, CloudRefused or CloudError.
        """
        if self.delete(server_id) is DeleteAnswer.ABSENT:
            msg = f"server {server_id} was not there"
            raise Absent(msg)

    def is_active(self, server_id: str) -> bool:
        """Whether a server is ACTIVE by now. Raises CloudError where it went to ERROR or is not there."""
        with translated(f"asking for server {server_id}"):
            server = self._compute.get_server(server_id)
        if server.status == "ERROR":
            why = (server.fault or {}).get("message") or "the cloud does not say why"
            msg = f"server {server_id} went to ERROR: {why}"
            raise CloudError(msg)
        return bool(server.status == "ACTIVE")

    def is_usable(self, kind: ResourceKind, resource_id: str) -> bool:
        """Whether a volume is made by now; anything else is, once it is there. Raises CloudError where that went wrong."""
        found = self.get(resource_id, kind)
        if found is None or found.status == "ERROR":
            msg = f"{kind} {resource_id} {'is not there' if found is None else 'went to ERROR'}"
            raise CloudError(msg)
        return found.status not in ("CREATING", "DOWNLOADING")

    def is_gone(self, id_: str, kind: ResourceKind = ResourceKind.SERVER) -> bool:
        """Whether a resource is deleted by now. Raises CloudError where its deletion ended in an error."""
        ended = end_of_delete(self.get(id_, kind))
        if ended is not None and ended[0] is StepOutcome.FAILED:
            msg = f"{kind} {id_}: {ended[1]}"
            raise CloudError(msg)
        return ended is not None

    def _list(self, query: Mapping[str, str]) -> tuple[list[Found], int]:
        """Return the servers of a listing, and how many pages it had.

        The server that a page ends with marks where the next one begins. If it is gone by then, or its cell goes down,
        Nova answers with an error (HTTP 400, 500), and the listing is begun again.
        """
        for again in range(LISTINGS):
            listed: list[Found] = []
            marker: dict[str, str] = {}
            pages = 0
            try:
                while marker or not pages:
                    page = self._page({**query, **marker})
                    pages += 1
                    listed += [_listed(row) for row in page["servers"]]
                    marker = {"marker": listed[-1].id} if page.get("servers_links") else {}
            except CloudError:
                if not pages or again + 1 == LISTINGS:
                    raise
                continue
            return listed, pages
        raise AssertionError

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        with translated("listing servers"):
            answer = self._compute.get("/servers/detail", params=query)
            sdk.raise_from_response(answer)
            try:
                page = answer.json()
            except ValueError as error:
                msg = f"listing servers: the cloud's answer cannot be read: {error}"
                raise CloudError(msg) from error
        rows = page.get("servers") if isinstance(page, dict) else None
        if not isinstance(rows, list) or (page.get("servers_links") and (not rows or rows[-1]["id"] == query.get("marker"))):
            msg = "listing servers: the cloud's answer is not a page of servers that leads to the next"
            raise CloudError(msg)
        return dict(page)


def _listed(row: Any) -> Found:
    return _found(Server.existing(**row))


def _found(server: Any) -> Found:
    marks = None if server.tags is None and not server.metadata else FoundMarks.of(server.tags or (), server.metadata or {})
    return Found(
        id=server.id,
        name=server.name,
        status=(server.status or "UNKNOWN").upper(),
        created_at=None if server.created_at is None else datetime.fromisoformat(server.created_at),
        marks=marks,
        is_deleting=server.task_state == "deleting",
    )
