"""What servers bring along, through the real openstacksdk, where its services answer as no local cloud does."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from transport import PROJECT, URLS, Services, services

from journal.events import ResourceKind
from journal.steps import Step
from rollback import OpenStackCloud
from rollback.cloud import DeleteAnswer
from rollback.errors import CloudError
from rollback.marks import Marks

PORT, VOLUME, FLOATING_IP = ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.FLOATING_IP
GROUP = ResourceKind.SECURITY_GROUP
MARKS = Marks(uuid4(), "c-1", uuid4())
REFUSED = (403, {"NeutronError": {"message": "no", "type": "PolicyNotAuthorized", "detail": ""}})


def connected() -> tuple[Services, OpenStackCloud]:
    found, connection = services()
    return found, OpenStackCloud(connection)


def step(kind: ResourceKind) -> Step:
    return Step(MARKS.journal, "c-1", uuid4(), datetime.now(UTC) + timedelta(minutes=1), "n", kind=kind)


def users(cloud: OpenStackCloud, kind: ResourceKind, id_: str) -> tuple[str, ...]:
    """What uses something, as its listing and the look at it agree to say."""
    (listed,) = (found for found in cloud.list_kind(kind) if found.id == id_)
    found = cloud.get(id_, kind)
    assert found == listed
    return listed.attached_to


# A service that is away, or not itself


@pytest.mark.parametrize("url", ["http://cinder/v3", "http://cinder"])
def test_a_service_that_is_down_is_missed_only_by_who_asks_it(url: str) -> None:
    found, connection = services({**URLS, "block-storage": url})
    found.down |= {"cinder", "neutron"}
    cloud = OpenStackCloud(connection)
    assert list(cloud.list_all()) == []
    assert {VOLUME, PORT} <= cloud.kinds
    for kind in (VOLUME, PORT):
        for call in (cloud.list_kind, lambda kind: cloud.get("x", kind), lambda kind: cloud.delete("x", kind)):
            with pytest.raises(CloudError):
                call(kind)
        with pytest.raises(CloudError):
            cloud.create_resource(step(kind))
    found.down.clear()
    assert cloud.list_kind(VOLUME) == cloud.list_kind(PORT) == []


def test_a_service_at_another_place_that_is_down_is_missed_only_by_who_asks_it() -> None:
    found, connection = services()
    found.down.add("cinder")
    connection.config.config["block_storage_endpoint_override"] = "http://cinder/"
    cloud = OpenStackCloud(connection)
    with pytest.raises(CloudError):
        cloud.list_kind(VOLUME)


def test_no_create_is_sent_twice() -> None:
    found, cloud = connected()
    cloud.connection.config.config |= {"network_connect_retries": 3, "network_status_code_retries": 3}
    found.on(r"POST http://neutron/v2.0/ports", (503, {}))
    with pytest.raises(CloudError):
        cloud.create_resource(step(PORT), network_id="n")
    assert len([call for call in found.asked if call.startswith("POST http://neutron")]) == 1


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        (PORT, "ports", {"ports": [{"id": "p", "created_at": "yesterday"}]}),
        (FLOATING_IP, "floatingips", {"floatingips": ["x"]}),
        (GROUP, "security-groups", {"error": "x"}),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_of_the_cloud(kind: ResourceKind, path: str, answer: Any) -> None:
    found, cloud = connected()
    found.on(rf"GET http://neutron/v2.0/{path}", answer)
    with pytest.raises(CloudError, match=f"listing every {kind}: the cloud's answer cannot be read"):
        cloud.list_kind(kind)


def test_one_thing_that_makes_no_sense_is_an_error_of_the_cloud() -> None:
    found, cloud = connected()
    found.on(r"GET http://neutron/v2.0/ports/p", {"port": {"id": "p", "created_at": "yesterday"}})
    with pytest.raises(CloudError, match="asking for port p: the cloud's answer cannot be read"):
        cloud.get("p", PORT)


def test_a_server_or_a_refusal_that_makes_no_sense_is_an_error_of_the_cloud() -> None:
    found, cloud = connected()
    found.on(r"GET http://nova/v2.1/servers/detail", {"servers": [{"id": "s", "created": "yesterday"}]})
    found.on(r"GET http://nova/v2.1/servers/s$", {"server": {"id": "s", "created": "yesterday"}})
    found.on(r"DELETE http://cinder/v3/volumes/v\b", (400, {}))
    found.on(r"GET http://cinder/v3/volumes/v$", {"volume": {"id": "v", "status": "in-use", "attachments": [{}]}})
    for call in (cloud.list_all, lambda: cloud.list_journal(uuid4()), lambda: cloud.get("s"), lambda: cloud.delete("v", VOLUME)):
        with pytest.raises(CloudError, match="the cloud's answer cannot be read"):
            call()


def test_each_service_tells_the_time() -> None:
    found, cloud = connected()
    found.dates |= {"cinder": "Mon, 23 Nov 2026 10:01:30 GMT"}
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert (cloud.now(), cloud.now(PORT)) == (now, now)
    assert cloud.now(VOLUME) == now + timedelta(seconds=90)
    found.on(r"GET http://cinder/v3/volumes", (503, {}))
    with pytest.raises(CloudError):
        cloud.now(VOLUME)


# Server groups on several pages


def groups(found: Services, all_of_them: list[str], page: int = 1000) -> None:
    def answer(request: Any) -> dict[str, Any]:
        query = parse_qs(urlsplit(request.url).query)
        first = int(query.get("offset", ["0"])[0])
        rows = all_of_them[first : first + min(page, int(query.get("limit", [str(page)])[0]))]
        return {"server_groups": [{"id": id_, "name": id_, "members": [], "policy": "affinity"} for id_ in rows]}

    found.on(r"GET http://nova/v2.1/os-server-groups", answer)


@pytest.mark.parametrize("number", [0, 1, 6, 7, 20])
def test_server_groups_are_listed_to_the_last(number: int) -> None:
    found, cloud = connected()
    ids = [f"g{number}" for number in range(number)]
    groups(found, ids, page=7)
    assert [each.id for each in cloud.list_kind(ResourceKind.SERVER_GROUP)] == ids


def test_a_server_group_that_goes_between_two_pages_hides_no_other() -> None:
    found, cloud = connected()
    ids = [f"g{number}" for number in range(20)]
    groups(found, ids, page=7)
    calls = []

    def watched(request: Any) -> Any:
        calls.append(request)
        if len(calls) == 2:
            ids.remove("g3")
        return answer(request)

    answer = found.routes[0][1]
    found.on(r"GET http://nova/v2.1/os-server-groups", watched)
    assert [each.id for each in cloud.list_kind(ResourceKind.SERVER_GROUP)] == ids


# In use by what


def test_a_volume_of_a_host_is_used_by_it_and_never_freed() -> None:
    found, cloud = connected()
    attached = {"server_id": None, "attachment_id": "a", "host_name": "h1"}
    volume = {"id": "v", "name": "v", "status": "in-use", "metadata": MARKS.metadata, "attachments": [attached]}
    found.on(r"GET http://cinder/v3/volumes/detail", {"volumes": [volume]})
    found.on(r"GET http://cinder/v3/volumes/v$", {"volume": volume})
    assert users(cloud, VOLUME, "v") == ("host h1",)
    found.on(r"DELETE http://cinder/v3/volumes/v\b", (400, {"badRequest": {"message": "Invalid volume"}}))
    assert cloud.delete("v", VOLUME) is DeleteAnswer.IN_USE
    assert not [call for call in found.asked if "DELETE" in call and "/attachments" in call]
    volume["attachments"] = [{**attached, "host_name": None}, {"server_id": "gone", "attachment_id": "b", "host_name": "h2"}]
    assert users(cloud, VOLUME, "v") == ("a host", "gone")
    assert cloud.delete("v", VOLUME) is DeleteAnswer.IN_USE
    assert not [call for call in found.asked if "DELETE" in call and "/attachments" in call]


PORTS = {
    "free": {"device_id": "", "device_owner": ""},
    "served": {"device_id": "vm-1", "device_owner": "compute:nova"},
    "vip": {"device_id": "lb-1", "device_owner": "Octavia"},
    "pod": {"device_id": "pod-1", "device_owner": "compute:kuryr"},
    "foreign": {"device_id": "vm-2", "device_owner": "compute:nova", "project_id": "another"},
}


@pytest.mark.parametrize(
    ("port", "used_by"),
    [
        (None, ()),
        ("free", ()),
        ("served", ("vm-1",)),
        ("vip", ("Octavia lb-1",)),
        ("pod", ("pod-1",)),
        ("hidden", ("port hidden",)),
        ("foreign", ("port foreign",)),
    ],
)
def test_a_floating_ip_is_used_by_whatever_uses_its_port(port: str | None, used_by: tuple[str, ...]) -> None:
    found, cloud = connected()
    ports = [{"id": id_, "project_id": PROJECT, **said} for id_, said in PORTS.items()]
    address = {"id": "f", "port_id": port, "description": MARKS.text, "status": "ACTIVE", "project_id": PROJECT}
    found.on(r"GET http://neutron/v2.0/ports", {"ports": ports})
    found.on(r"GET http://neutron/v2.0/ports/hidden", (404, {}))
    for each in ports:
        found.on(rf"GET http://neutron/v2.0/ports/{each['id']}$", {"port": each})
    found.on(r"GET http://neutron/v2.0/floatingips", {"floatingips": [address]})
    found.on(r"GET http://neutron/v2.0/floatingips/f", {"floatingip": address})
    assert users(cloud, FLOATING_IP, "f") == used_by
    assert len([call for call in found.asked if "/ports?" in call]) == 1, "one address is looked at without all ports"


@pytest.mark.parametrize(
    ("owner", "device", "answer"),
    [
        ("compute:nova", "x", DeleteAnswer.ACCEPTED),
        ("compute:nova", "", DeleteAnswer.IN_USE),
        ("compute:kuryr", "x", DeleteAnswer.IN_USE),
        ("compute:a zone that Nova does not have", "x", DeleteAnswer.IN_USE),
        ("network:router_interface", "x", DeleteAnswer.IN_USE),
        ("Octavia", "x", DeleteAnswer.IN_USE),
        ("", "x", DeleteAnswer.IN_USE),
    ],
)
def test_a_port_is_freed_only_of_novas_servers(owner: str, device: str, answer: DeleteAnswer) -> None:
    found, cloud = connected()
    refusals = [REFUSED]
    found.on(r"DELETE http://neutron/v2.0/ports/p", lambda _: refusals.pop() if refusals else (204, None))
    found.on(r"GET http://neutron/v2.0/ports/p", {"port": {"id": "p", "device_id": device, "device_owner": owner}})
    found.on(r"PUT http://neutron/v2.0/ports/p", {"port": {"id": "p"}})
    assert cloud.delete("p", PORT) is answer
    assert any(call.startswith("PUT") for call in found.asked) is (answer is DeleteAnswer.ACCEPTED)


def test_a_zone_named_like_kuryrs_ports_frees_none_of_them() -> None:
    found, cloud = connected()
    found.on(r"GET http://nova/v2.1/os-availability-zone", {"availabilityZoneInfo": [{"zoneName": "kuryr"}]})
    found.on(r"DELETE http://neutron/v2.0/ports/p", REFUSED)
    found.on(r"GET http://neutron/v2.0/ports/p", {"port": {"id": "p", "device_id": "x", "device_owner": "compute:kuryr"}})
    assert cloud.delete("p", PORT) is DeleteAnswer.IN_USE


@pytest.mark.parametrize(("kind", "path"), [(PORT, "ports"), (FLOATING_IP, "floatingips"), (GROUP, "security-groups")])
def test_what_an_administrator_sees_of_other_projects_is_none_of_ours(kind: ResourceKind, path: str) -> None:
    found, cloud = connected()
    rows = [{"id": id_, "project_id": id_, "description": MARKS.text} for id_ in (PROJECT, "another")]
    found.on(rf"GET http://neutron/v2.0/{path}", {path.replace("-", "_"): rows})
    assert [each.id for each in cloud.list_kind(kind)] == [PROJECT]
    assert all(f"project_id={PROJECT}" in call for call in found.asked if f"neutron/v2.0/{path}" in call)


# What is wanted of a create


@pytest.mark.parametrize(
    ("kind", "url", "wanted"),
    [(PORT, "http://neutron/v2.0/ports", {"description": None}), (VOLUME, "http://cinder/v3/volumes", {"metadata": None})],
)
def test_nothing_wanted_leaves_the_mark_alone(kind: ResourceKind, url: str, wanted: dict[str, Any]) -> None:
    found, cloud = connected()
    sent: list[str] = []

    def answer(request: Any) -> dict[str, Any]:
        sent.append(str(request.body))
        return {str(kind): {"id": "x"}}

    found.on(f"POST {url}", answer)
    assert cloud.create_resource(step(kind), **wanted) == "x"
    assert "None" not in sent[0]
    assert "null" not in sent[0]


def test_nothing_wanted_leaves_the_marks_of_a_server_alone() -> None:
    found, cloud = connected()
    found.on(r"POST http://nova/v2.1/servers", {"server": {"id": "x"}})
    assert cloud.create_server(step(ResourceKind.SERVER), tags=None, metadata=None, image_id="i", flavor_id="f") == "x"
