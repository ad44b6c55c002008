"""What servers bring along, on a real Neutron, a real Cinder and a real Nova: the contract, and what only they can show."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import openstack
import pytest
from contracts.cloud import OTHERS, ResourceContract
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from faults_settings import SETTINGS
from openstack import exceptions as sdk
from waiting import until

from journal.events import OperationKind, ResourceKind
from journal.journal import Journal
from journal.steps import Step
from rollback import OpenStackCloud
from rollback.cloud import DeleteAnswer
from rollback.compensator import Report, rollback_cluster
from rollback.errors import CloudError, CloudRefused

PORT, VOLUME = ResourceKind.PORT, ResourceKind.VOLUME
ORDER = (ResourceKind.SERVER, *OTHERS)


def public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@pytest.fixture
def cloud(full_cloud: dict[str, Any]) -> Iterator[OpenStackCloud]:
    cloud = OpenStackCloud.connect("demo", SETTINGS)
    yield cloud
    for server in cloud.list_all():
        cloud.delete(server.id)
    until(lambda: not list(cloud.list_all()))
    for kind in OTHERS:
        for found in cloud.list_kind(kind):
            with suppress(CloudError):  # the project's own group stays
                cloud.delete(found.id, kind)
    cloud.connection.close()


@pytest.fixture
def make(cloud: OpenStackCloud, full_cloud: dict[str, Any]) -> Callable[..., str]:
    given: dict[ResourceKind, dict[str, Any]] = {
        ResourceKind.PORT: {"network_id": full_cloud["network"]},
        ResourceKind.FLOATING_IP: {"floating_network_id": full_cloud["external_network"]},
        ResourceKind.VOLUME: {"size": 1},
        ResourceKind.SERVER_GROUP: {"policy": "soft-anti-affinity"},
        ResourceKind.KEYPAIR: {"public_key": public_key()},
    }

    def make(step: Step, **attributes: Any) -> str:
        id_ = cloud.create_resource(step, **{**given.get(step.kind, {}), **attributes})
        until(lambda: cloud.is_usable(step.kind, id_))
        return id_

    return make


@pytest.fixture
def serve(cloud: OpenStackCloud, full_cloud: dict[str, Any]) -> Callable[..., str]:
    def serve(step: Step, used: dict[ResourceKind, str], **attributes: Any) -> str:
        disks = [{"uuid": full_cloud["image"], "source_type": "image", "destination_type": "local", "boot_index": 0}]
        if VOLUME in used:
            disks.append({"uuid": used[VOLUME], "source_type": "volume", "destination_type": "volume", "boot_index": -1})
        if ResourceKind.SECURITY_GROUP in used:
            group = used[ResourceKind.SECURITY_GROUP]
            cloud.connection.network.update_port(used[PORT], security_group_ids=[group])
        server: dict[str, Any] = {
            "image_id": full_cloud["image"],
            "flavor_id": full_cloud["flavor"],
            "networks": [{"port": used[PORT]}] if PORT in used else "none",
            "block_device_mapping": disks,
        }
        if ResourceKind.SERVER_GROUP in used:
            server["scheduler_hints"] = {"group": used[ResourceKind.SERVER_GROUP]}
        server_id = cloud.create_server(step, **server, **attributes)
        until(lambda: cloud.is_active(server_id))
        return server_id

    return serve


@pytest.fixture
def step(cloud: OpenStackCloud) -> Callable[[ResourceKind], Step]:
    def step(kind: ResourceKind) -> Step:
        return Step(uuid4(), "c-1", uuid4(), cloud.now() + timedelta(seconds=60), f"adapter-{uuid4().hex[:8]}", kind=kind)

    return step


class TestRealResources(ResourceContract):
    @pytest.fixture(params=OTHERS)
    def kind(self, request: pytest.FixtureRequest) -> ResourceKind:
        return ResourceKind(request.param)

    @pytest.fixture
    def settled(self) -> Callable[[Callable[[], bool]], None]:
        return until


def test_nothing_is_created_twice_by_a_client_that_repeats(cloud: OpenStackCloud) -> None:
    for proxy in (cloud.connection.network, cloud.connection.block_storage, cloud.connection.compute):
        assert (proxy.connect_retries, proxy.status_code_retries) == (0, 0)


# What only real services show


def test_a_volume_of_a_server_that_went_while_cinder_was_away_is_freed_and_deleted(
    cloud: OpenStackCloud, full_cloud: dict[str, Any], step: Any, make: Callable[..., str], serve: Callable[..., str]
) -> None:
    volume = make(step(VOLUME))
    server_id = serve(step(ResourceKind.SERVER), {VOLUME: volume})
    kill(full_cloud, "cinder")
    cloud.delete_server(server_id)
    until(lambda: cloud.is_gone(server_id))
    until(lambda: answers(lambda: cloud.get(volume, VOLUME)))
    found = cloud.get(volume, VOLUME)
    assert found is not None
    assert (found.status, found.attached_to) == ("IN-USE", (server_id,))
    assert cloud.delete(volume, VOLUME) is DeleteAnswer.ACCEPTED
    until(lambda: cloud.is_gone(volume, VOLUME))


def test_a_port_of_a_server_that_does_not_exist_is_freed_and_deleted(
    cloud: OpenStackCloud, step: Any, make: Callable[..., str]
) -> None:
    port = make(step(PORT), device_id=str(uuid4()), device_owner="compute:nova")
    with pytest.raises(sdk.ForbiddenException):
        cloud.connection.network.delete_port(port, ignore_missing=False)
    assert cloud.delete(port, PORT) is DeleteAnswer.ACCEPTED
    assert cloud.get(port, PORT) is None


def test_a_port_whose_delete_fails_is_there_and_can_be_deleted_again(
    cloud: OpenStackCloud, step: Any, make: Callable[..., str]
) -> None:
    port = make(step(PORT), description="inject=port_delete_fail")
    with pytest.raises(CloudError, match="HTTP 500"):
        cloud.delete(port, PORT)
    assert cloud.get(port, PORT) is not None
    assert cloud.delete(port, PORT) is DeleteAnswer.ACCEPTED


def test_a_port_that_was_answered_with_an_error_left_nothing(cloud: OpenStackCloud, step: Any, make: Callable[..., str]) -> None:
    failed = step(PORT)
    with pytest.raises(CloudError, match="HTTP 500"):
        make(failed, description="inject=port_create_fail")
    assert not [found for found in cloud.list_kind(PORT) if found.marks.step_id == failed.id]


def test_a_volume_whose_delete_fails_is_only_the_operators(cloud: OpenStackCloud, step: Any, make: Callable[..., str]) -> None:
    volume = make(step(VOLUME), metadata={"inject": "delete_fail"})
    assert cloud.delete(volume, VOLUME) is DeleteAnswer.ACCEPTED
    until(lambda: (found := cloud.get(volume, VOLUME)) is not None and found.status == "ERROR_DELETING")
    with pytest.raises(CloudRefused, match="is error_deleting: only the cloud's operator gets rid of it"):
        cloud.delete(volume, VOLUME)
    with pytest.raises(CloudError, match="went to ERROR_DELETING"):
        cloud.is_gone(volume, VOLUME)
    with openstack.connect(cloud="admin") as admin:
        admin.block_storage.delete_volume(volume, force=True)
    until(lambda: cloud.is_gone(volume, VOLUME))


def test_a_volume_that_is_being_made_is_not_usable_and_not_yet_deletable(
    cloud: OpenStackCloud, full_cloud: dict[str, Any], step: Any
) -> None:
    slow = step(VOLUME)
    volume = cloud.create_resource(slow, size=1, metadata={"inject": "create_slow:2"})
    assert not cloud.is_usable(VOLUME, volume)
    with openstack.connect(cloud="admin") as admin:  # before it has a host, Cinder deletes it at once
        until(lambda: admin.block_storage.get_volume(volume).host)
    assert cloud.delete(volume, VOLUME) is DeleteAnswer.IN_USE
    until(lambda: cloud.is_usable(VOLUME, volume))
    assert cloud.delete(volume, VOLUME) is DeleteAnswer.ACCEPTED


def test_a_volume_with_a_snapshot_is_refused_for_certain(cloud: OpenStackCloud, step: Any, make: Callable[..., str]) -> None:
    volume, storage = make(step(VOLUME)), cloud.connection.block_storage
    snapshot = storage.create_snapshot(volume_id=volume)
    until(lambda: storage.get_snapshot(snapshot.id).status == "available")
    with pytest.raises(CloudRefused, match="HTTP 400"):
        cloud.delete(volume, VOLUME)
    storage.delete_snapshot(snapshot.id)
    until(lambda: not list(storage.snapshots()))


def test_a_private_key_is_never_asked_for(cloud: OpenStackCloud, step: Any) -> None:
    with pytest.raises(ValueError, match="needs its public_key"):
        cloud.create_resource(step(ResourceKind.KEYPAIR))


def test_the_text_of_a_description_stays_before_the_mark(cloud: OpenStackCloud, step: Any, make: Callable[..., str]) -> None:
    port = make(step(PORT), description="of the database")
    assert cloud.connection.network.get_port(port).description.startswith("of the database provjournal-")


def test_another_project_sees_none_of_it(cloud: OpenStackCloud, step: Any, make: Callable[..., str]) -> None:
    ids = {kind: make(step(kind)) for kind in OTHERS}
    other = OpenStackCloud.connect("demo2", SETTINGS)
    for kind, id_ in ids.items():
        assert id_ not in {found.id for found in other.list_kind(kind)}
    other.connection.close()


# Compensated


def test_all_that_a_dead_conductor_made_is_rolled_back(
    cloud: OpenStackCloud, make: Callable[..., str], serve: Callable[..., str], journal: Journal
) -> None:
    op = journal.begin("c-1", OperationKind.CREATE, cloud.name)
    used: dict[ResourceKind, str] = {}
    for kind in OTHERS:
        user = cloud.user_id if kind is ResourceKind.KEYPAIR else None
        done = op.create_resource(kind, f"c-1-{kind}", user=user).run(lambda step: step.created(make(step)))
        used[kind] = str(done.resource_id)
    with op.create_server("worker", "c-1-w0", list(used.values())) as step:
        step.created(serve(step, used, key_name=used[ResourceKind.KEYPAIR]))
    lost = op.create_resource(PORT, "lost").__enter__()
    unknown = make(lost)
    op.release()

    report = rollback_cluster(journal, cloud, "c-1")
    assert report.complete, report.problems
    assert report.deleted[0] == step.server_id
    assert set(report.deleted) == {*used.values(), str(step.server_id), unknown}
    for kind in OTHERS:
        left = [found for found in cloud.list_kind(kind) if found.marks is not None and found.marks.says_journal(journal.id)]
        assert left == []
    assert not rollback_cluster(journal, cloud, "c-1").changed


def test_a_server_that_neutron_was_away_for_is_deleted_again_with_its_port(
    cloud: OpenStackCloud, full_cloud: dict[str, Any], make: Callable[..., str], serve: Callable[..., str], journal: Journal
) -> None:
    op = journal.begin("c-1", OperationKind.CREATE, cloud.name)
    port = str(op.create_resource(PORT, "c-1-p").run(lambda step: step.created(make(step))).resource_id)
    op.create_server("worker", "c-1-w0", [port]).run(lambda step: step.created(serve(step, {PORT: port})))
    op.release()
    kill(full_cloud, "neutron")
    reports: list[Report] = []

    def rolled_back() -> bool:
        with suppress(CloudError):  # while Neutron is away, nothing can be listed
            reports.append(rollback_cluster(journal, cloud, "c-1"))
        return bool(reports) and reports[-1].complete

    until(rolled_back)
    assert cloud.get(port, PORT) is None
    assert [outcome for outcome in map(str, cloud.list_all()) if "c-1-w0" in outcome] == []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(f"sqlite:///{tmp_path}/journal.db", upgrade=True, settings=SETTINGS) as journal:
        yield journal


def kill(full_cloud: dict[str, Any], service: str) -> None:
    """Kill a service of the cloud; it is back some seconds later."""
    os.kill(int((Path(full_cloud["clouds_yaml"]).parent / f"{service}.pid").read_text()), signal.SIGKILL)


def answers(call: Callable[[], object]) -> bool:
    try:
        call()
    except CloudError:
        return False
    return True
