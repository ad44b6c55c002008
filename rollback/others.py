"""What servers bring along, through openstacksdk: the ways of Neutron, of Cinder, and of Nova's groups and keypairs.

Their services are asked without filters, for one that they do not know comes back unfiltered or as an error: what is
ours is told by its mark. What each stores of a mark at creation was tried on real ones (`marks` says where it goes).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from openstack import exceptions as sdk
from openstack.connection import Connection

from journal.events import ResourceKind
from journal.steps import Step
from rollback.cloud import DeleteAnswer, Found
from rollback.errors import CloudError, CloudRefused
from rollback.http_errors import translated
from rollback.marks import FoundMarks, Marks, marks_of

LISTINGS: Final = 3
"""How often a listing is begun whose pages change underneath it."""
THERE: Final = "AVAILABLE"
"""The status that is told of what has none."""


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
    return {"name": name, **wanted, "description": marks.description(wanted.get("description", ""))}


def _described_only(marks: Marks, _: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {**wanted, "description": marks.description(wanted.get("description", ""))}


def _with_metadata(marks: Marks, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **wanted, "metadata": {**wanted.get("metadata", {}), **marks.metadata}}


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


class Others:
    """What servers bring along, in one project. Its callers translate the SDK's errors, except where it is said."""

    def __init__(self, connection: Connection) -> None:
        """Use a connection; creates are never sent twice."""
        self._connection = connection
        self.kinds: Final = frozenset(kind for kind, ways in _WAYS.items() if connection.has_service(_SERVICES[ways.proxy]))
        for name in {_WAYS[kind].proxy for kind in self.kinds}:
            proxy = getattr(connection, name)
            proxy.connect_retries = proxy.status_code_retries = 0

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
                with translated(f"listing every {kind}"):
                    users = self._users(kind)
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
        with translated(f"asking for {kind} {id_}"):
            try:
                row = self._call(ways, ways.get)(id_)
            except sdk.NotFoundException:
                return None
            return _found(kind, row, self._users(kind))

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
        """Deal with Neutron's 403 for a port that has a server's id: it is "not yet", and not "never"."""
        network = self._connection.network
        servers = _server_of(network.get_port(id_))
        if any(self._server_is_there(server_id) for server_id in servers):
            return DeleteAnswer.IN_USE
        if servers:
            network.update_port(id_, device_id="", device_owner="")
        self._delete(ResourceKind.PORT, id_)
        return DeleteAnswer.ACCEPTED

    def _delete_refused_volume(self, id_: str, refusal: sdk.HttpException) -> DeleteAnswer:
        """Deal with Cinder's 400, which is the same whatever the reason: so the volume's status is read."""
        storage: Any = self._connection.block_storage
        volume = storage.get_volume(id_)
        match volume.status:
            case "deleting":
                return DeleteAnswer.ACCEPTED
            case "error_deleting":
                msg = f"volume {id_} is {volume.status}: only the cloud's operator gets rid of it"
                raise CloudRefused(msg) from refusal
            case "available" | "error":
                raise refusal
            case "in-use" if not any(self._server_is_there(each["server_id"]) for each in volume.attachments):
                for each in volume.attachments:
                    storage.delete_attachment(each["attachment_id"], ignore_missing=True)
                self._delete(ResourceKind.VOLUME, id_)
                return DeleteAnswer.ACCEPTED
            case _:
                return DeleteAnswer.IN_USE

    def _server_is_there(self, server_id: str) -> bool:
        try:
            self._connection.compute.get_server(server_id)
        except sdk.NotFoundException:
            return False
        return True

    def _rows(self, kind: ResourceKind) -> Iterable[Any]:
        ways = self._ways(kind)
        rows: Iterable[Any] = self._call(ways, ways.list)()
        return rows

    def _users(self, kind: ResourceKind) -> Mapping[str, Sequence[str]]:
        """Return the servers that use what does not itself say which: by port for floating IPs, by group for security groups."""
        if kind not in (ResourceKind.FLOATING_IP, ResourceKind.SECURITY_GROUP):
            return {}
        users: dict[str, list[str]] = {}
        for port in self._connection.network.ports():
            groups = port.security_group_ids or () if kind is ResourceKind.SECURITY_GROUP else (port.id,)
            for used in groups:
                users.setdefault(used, []).extend(_server_of(port))
        return users

    def _ways(self, kind: ResourceKind) -> _Ways:
        if kind not in self.kinds:
            msg = f"the cloud has no service for a {kind}"
            raise CloudRefused(msg)
        return _WAYS[kind]

    def _call(self, ways: _Ways, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(getattr(self._connection, ways.proxy), name)
        return call


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
            yield from _server_of(row)
        case ResourceKind.FLOATING_IP:
            yield from users.get(row.port_id, ())
        case ResourceKind.SECURITY_GROUP:
            yield from users.get(row.id, ())
        case ResourceKind.VOLUME:
            yield from (each["server_id"] for each in row.attachments or ())
        case ResourceKind.SERVER_GROUP:
            yield from row.member_ids or ()
        case _:
            pass


def _server_of(port: Any) -> list[str]:
    return [port.device_id] if port.device_id and (port.device_owner or "").startswith("compute:") else []


def _time(text: str | None) -> datetime | None:
    """Return a time as the services write it: without a zone it is UTC."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
