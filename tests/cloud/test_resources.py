"""What servers bring along, on a real Neutron, a real Cinder and a real Nova: the contract, and what only they can show."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from contracts.cloud import OTHERS, ResourceContract
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from faults_settings import SETTINGS

from journal.events import ResourceKind
from journal.steps import Step
from rollback import OpenStackCloud
from rollback.errors import CloudError

SECONDS = 60
PORT, VOLUME = ResourceKind.PORT, ResourceKind.VOLUME
ORDER = (ResourceKind.SERVER, *OTHERS)


def until(seen: Callable[[], object]) -> None:
    """Ask a real cloud until it shows something; there is no event to await."""
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline, "the cloud did not show it in time"


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
