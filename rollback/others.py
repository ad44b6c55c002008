"""What servers bring along, through openstacksdk: the ways of Neutron, of Cinder, and of Nova's groups and keypairs.

Their services are asked without filters, for one that they do not know comes back unfiltered or as an error: what is
ours is told by its mark. What each stores of a mark at creation was tried on real ones (`marks` says where it goes).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from openstack import exceptions as sdk
from openstack.compute.v2.server_group import ServerGroup
from openstack.connection import Connection

from journal.events import ResourceKind
from journal.steps import Step
from rollback.cloud import DeleteAnswer, Found
from rollback.errors import CloudError, CloudRefused
from rollback.http_errors import translated, understood
from rollback.marks import FoundMarks, Marks, marks_of

LISTINGS: Final = 3
"""How often a listing is begun whose pages change underneath it."""
THERE: Final = "AVAILABLE"
"""The status that is told of what has none."""
KURYR: Final = "compute:kuryr"
"""The owner of the ports of containers (kuryr's and Zun's), which no server of Nova has."""


@attrs.frozen
class _Ways:
    """How one kind is dealt with: the names of the proxy and its calls, and where its mark goes."""

    proxy: str
    list: str
    get: str
    create: str
    delete: str
    marked: Callable[[Marks, str, dict[str, Any]], dict[str, Any]]
    """Returns the attributes with which a create is sent, from the marks, the name and what the caller wants."""
    read: Callable[[Any], FoundMarks]
    """Returns the marks of what the proxy returned."""


def _described(marks: Marks, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **_described_only(marks, name, wanted)}


def _described_only(marks: Marks, _: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {**wanted, "description": marks.description(wanted.get("description") or "")}


def _with_metadata(marks: Marks, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **wanted, "metadata": {**(wanted.get("metadata") or {}), **marks.metadata}}


def _named(marks: Marks, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {**wanted, "name": marks.name(name)}


def _in_description(row: Any) -> FoundMarks:
    return FoundMarks.of_text(row.description or "")


def _in_metadata(row: Any) -> FoundMarks:
    return FoundMarks.of((), row.metadata or {})


def _in_name(row: Any) -> FoundMarks:
    return FoundMarks.of_text(row.name or "")


_WAYS: Final[Mapping[ResourceKind, _Ways]] = {
    ResourceKind.PORT: _Ways("network", "ports", "get_port", "create_port", "delete_port", _described, _in_description),
    ResourceKind.FLOATING_IP: _Ways("network", "ips", "get_ip", "create_ip", "delete_ip", _described_only, _in_description),
    ResourceKind.SECURITY_GROUP: _Ways(
        "network",
        "security_groups",
        "get_security_group",
        "create_security_group",
        "delete_security_group",
        _described,
        _in_description,
    ),
    ResourceKind.VOLUME: _Ways(
        "block_storage", "volumes", "get_volume", "create_volume", "delete_volume", _with_metadata, _in_metadata
    ),
    ResourceKind.SERVER_GROUP: _Ways(
        "compute", "server_groups", "get_server_group", "create_server_group", "delete_server_group", _named, _in_name
    ),
    ResourceKind.KEYPAIR: _Ways("compute", "keypairs", "get_keypair", "create_keypair", "delete_keypair", _named, _in_name),
}
_SERVICES: Final = {"network": "network", "block_storage": "block-storage", "compute": "compute"}
"""The type of service that each proxy talks to."""
_BRIEF: Final = {"network": "/ports?limit=1&fields=id", "block_storage": "/volumes?limit=1", "compute": "/servers?limit=1"}
"""What each service is asked of which only the `Date` matters."""


class Others:
    """What servers bring along, in one project. Its callers translate the SDK's errors, except where it is said.

    Neutron and Cinder are not asked before they are needed: a cluster of servers alone does not miss them.
    """

    def __init__(self, connection: Connection, project: str | None) -> None:
        """Use a connection that is for a project."""
        self._connection = connection
        self._project = project
        self.kinds: Final = frozenset(kind for kind, ways in _WAYS.items() if connection.has_service(_SERVICES[ways.proxy]))

    def date(self, kind: ResourceKind) -> str | None:
        """Return the time by the clock of a kind's service, as an HTTP answer tells it, or None if it does not."""
        name = self._ways(kind).proxy
        answer = self._proxy(name).get(_BRIEF[name])
        sdk.raise_from_response(answer)
        date: str | None = answer.headers.get("Date")
        return date

    def create(self, step: Step, **wanted: Any) -> str:
        """Create what a step is for, with its mark, and return its id."""
        ways = self._ways(step.kind)
        if step.kind is ResourceKind.KEYPAIR and not wanted.get("public_key"):
            msg = "a keypair needs its public_key: a private one that the cloud makes would have to be kept secret"
            raise ValueError(msg)
        made = self._call(ways, ways.create)(**ways.marked(marks_of(step), step.name, wanted))
        return _id(step.kind, made)

    def listed(self, kind: ResourceKind) -> Sequence[Found]:
        """Return everything of a kind. Raises CloudError.

        A listing of several pages is begun again if what a page ended with vanishes before the next is asked for.
        """
        for again in range(LISTINGS):
            found: list[Found] = []
            try:
                with translated(f"listing every {kind}"), understood(f"listing every {kind}"):
                    users = self._all_users(kind)
                    found.extend(_found(kind, row, users) for row in self._rows(kind))
            except CloudError:
                if not found or again + 1 == LISTINGS:
                    raise
            else:
                return found
        raise AssertionError

    def get(self, kind: ResourceKind, id_: str) -> Found | None:
        """Return one of a kind, or None if there is none with this id. Raises CloudError."""
        ways = self._ways(kind)
        with translated(f"asking for {kind} {id_}"), understood(f"asking for {kind} {id_}"):
            try:
                row = self._call(ways, ways.get)(id_)
            except sdk.NotFoundException:
                return None
            users = self._users_of_port(row.port_id) if kind is ResourceKind.FLOATING_IP else self._all_users(kind)
            return _found(kind, row, users)

    def delete(self, kind: ResourceKind, id_: str) -> DeleteAnswer:
        """Ask for the deletion of one of a kind. Raises the SDK's NotFoundException if it is not there.

        What is in use by servers that do not exist any more, because its service was away when they were deleted, is freed
        first.
        """
        try:
            self._delete(kind, id_)
        except (sdk.ForbiddenException, sdk.ConflictException, sdk.BadRequestException) as refusal:
            match kind:
                case ResourceKind.VOLUME:
                    return self._delete_refused_volume(id_, refusal)
                case ResourceKind.PORT:
                    return self._delete_refused_port(id_)
                case ResourceKind.SECURITY_GROUP if isinstance(refusal, sdk.ConflictException):
                    return DeleteAnswer.IN_USE
                case _:
                    raise
        return DeleteAnswer.ACCEPTED

    def _delete(self, kind: ResourceKind, id_: str) -> None:
        ways = self._ways(kind)
        self._call(ways, ways.delete)(id_, ignore_missing=False)

    def _delete_refused_port(self, id_: str) -> DeleteAnswer:
        """Deal with Neutron's 403 for a port that has a server's id: it is "not yet", and not "never".

        It is freed only of a server that Nova says is not there, and that was one of Nova's: others have ports, too.
        """
        network = self._proxy("network")
        port = network.get_port(id_)
        if port.device_id or port.device_owner:
            if not port.device_id or not self._is_novas(port.device_owner) or self._server_is_there(port.device_id):
                return DeleteAnswer.IN_USE
            network.update_port(id_, device_id="", device_owner="")
        self._delete(ResourceKind.PORT, id_)
        return DeleteAnswer.ACCEPTED

    def _is_novas(self, owner: str | None) -> bool:
        """Whether Nova gives this owner to its ports: it is `compute:` with the name of an availability zone."""
        zones = self._proxy("compute").availability_zones()
        return owner != KURYR and owner in {f"compute:{zone.name}" for zone in zones}

    def _delete_refused_volume(self, id_: str, refusal: sdk.HttpException) -> DeleteAnswer:
        """Deal with Cinder's 400, which is the same whatever the reason: so the volume's status is read."""
        storage = self._proxy("block_storage")
        volume = storage.get_volume(id_)
        match volume.status:
            case "deleting":
                return DeleteAnswer.ACCEPTED
            case "error_deleting":
                msg = f"volume {id_} is {volume.status}: only the cloud's operator gets rid of it"
                raise CloudRefused(msg) from refusal
            case "available" | "error":
                raise refusal
            case "in-use" if not any(self._holds(each) for each in volume.attachments):
                for each in volume.attachments:
                    storage.delete_attachment(each["attachment_id"], ignore_missing=True)
                self._delete(ResourceKind.VOLUME, id_)
                return DeleteAnswer.ACCEPTED
            case _:
                return DeleteAnswer.IN_USE

    def _holds(self, attachment: Mapping[str, Any]) -> bool:
        """Whether an attachment of a volume is not to be freed: one to a host, without a server, is somebody's."""
        return not attachment["server_id"] or self._server_is_there(attachment["server_id"])

    def _server_is_there(self, server_id: str) -> bool:
        try:
            self._proxy("compute").get_server(server_id)
        except sdk.NotFoundException:
            return False
        return True

    def _rows(self, kind: ResourceKind) -> Iterable[Any]:
        """Yield everything of a kind that the project has; an administrator is shown that of others, too."""
        ways = self._ways(kind)
        if kind is ResourceKind.SERVER_GROUP:
            yield from self._server_groups()
            return
        query = {"project_id": self._project} if ways.proxy == "network" and self._project else {}
        for row in self._call(ways, ways.list)(**query):
            if not query or row.project_id in (None, self._project):
                yield row

    def _server_groups(self) -> Iterator[ServerGroup]:
        """Yield all server groups: Nova says only so many at once, and not whether there are more.

        Each page begins with what the one before ended with. If it does not, some went meanwhile.
        """
        page = self._server_groups_from(0)
        seen = 0
        while page:
            yield from page[1 if seen else 0 :]
            last, seen = page[-1].id, seen + len(page) - (1 if seen else 0)
            page = self._server_groups_from(seen - 1)
            if not page or page[0].id != last:
                msg = "listing every server_group: some were deleted meanwhile"
                raise CloudError(msg)
            if len(page) == 1:
                return

    def _server_groups_from(self, offset: int) -> list[ServerGroup]:
        answer = self._proxy("compute").get("/os-server-groups", params={"offset": offset})
        sdk.raise_from_response(answer)
        return [ServerGroup.existing(**row) for row in answer.json()["server_groups"]]

    def _all_users(self, kind: ResourceKind) -> Mapping[str, Sequence[str]]:
        """Return what uses that which does not itself say it: by port for floating IPs, by group for security groups."""
        users: dict[str, list[str]] = {}
        match kind:
            case ResourceKind.FLOATING_IP:
                users = {port.id: _device_of(port) for port in self._rows(ResourceKind.PORT)}
            case ResourceKind.SECURITY_GROUP:
                for port in self._rows(ResourceKind.PORT):
                    for group in port.security_group_ids or ():
                        users.setdefault(group, []).extend(_device_of(port))
            case _:
                pass
        return users

    def _users_of_port(self, port_id: str | None) -> Mapping[str, Sequence[str]]:
        if port_id is None:
            return {}
        try:
            port = self._proxy("network").get_port(port_id)
        except sdk.NotFoundException:
            return {}
        return {port_id: _device_of(port)} if self._project in (None, port.project_id) else {}

    def _ways(self, kind: ResourceKind) -> _Ways:
        if kind not in self.kinds:
            msg = f"the cloud has no service for a {kind}"
            raise CloudRefused(msg)
        return _WAYS[kind]

    def _call(self, ways: _Ways, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._proxy(ways.proxy), name)
        return call

    def _proxy(self, name: str) -> Any:
        """Return one of the SDK's proxies, which asks its service for its versions first; creates are never sent twice."""
        proxy = getattr(self._connection, name)
        proxy.connect_retries = proxy.status_code_retries = 0
        return proxy


def _id(kind: ResourceKind, row: Any) -> str:
    return str(row.name if kind is ResourceKind.KEYPAIR else row.id)


def _found(kind: ResourceKind, row: Any, users: Mapping[str, Sequence[str]]) -> Found:
    return Found(
        id=_id(kind, row),
        name=row.name or None,
        status=(getattr(row, "status", None) or THERE).upper(),
        created_at=_time(getattr(row, "created_at", None)),
        marks=_WAYS[kind].read(row),
        kind=kind,
        attached_to=tuple(dict.fromkeys(_attached(kind, row, users))),
    )


def _attached(kind: ResourceKind, row: Any, users: Mapping[str, Sequence[str]]) -> Iterator[str]:
    match kind:
        case ResourceKind.PORT:
            yield from _device_of(row)
        case ResourceKind.FLOATING_IP if row.port_id:
            yield from users.get(row.port_id, (f"port {row.port_id}",))
        case ResourceKind.SECURITY_GROUP:
            yield from users.get(row.id, ())
        case ResourceKind.VOLUME:
            yield from (each["server_id"] or _host_of(each) for each in row.attachments or ())
        case ResourceKind.SERVER_GROUP:
            yield from row.member_ids or ()
        case _:
            pass


def _device_of(port: Any) -> list[str]:
    """Return what uses a port: a server, or what is none (a load balancer, a container), which is never known to be gone."""
    if not port.device_id:
        return []
    owner = port.device_owner or ""
    return [port.device_id if not owner or owner.startswith("compute:") else f"{owner} {port.device_id}"]


def _host_of(attachment: Mapping[str, Any]) -> str:
    """Return the user of a volume that is attached to a host, and not to a server: it is never known to be gone."""
    host = attachment.get("host_name")
    return f"host {host}" if host else "a host"


def _time(text: str | None) -> datetime | None:
    """Return a time as the services write it: without a zone it is UTC."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
