"""What the tests of ports and volumes rely on: the local cloud has a real neutron and cinder, which fail when told to."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from openstack.exceptions import BadRequestException, HttpException
from waiting import until

RESPAWN = 4

Make = Callable[..., Any]
"""Makes something, which is deleted after the test."""


@pytest.fixture
def member(full_cloud: dict[str, Any]) -> Iterator[Connection]:
    with openstack.connect(cloud="demo") as connection:
        connection.compute.default_microversion = "2.90"
        yield connection


@pytest.fixture
def make_port(member: Connection, full_cloud: dict[str, Any]) -> Iterator[Make]:
    made = []

    def make(**given: Any) -> Any:
        made.append(member.network.create_port(network_id=full_cloud["network"], **given))
        return made[-1]

    yield make
    for port in made:
        member.network.delete_port(port)


@pytest.fixture
def make_volume(member: Connection) -> Iterator[Make]:
    """Makes a volume with these metadata, and waits until it is what it becomes."""
    made = []

    def make(**metadata: str) -> Any:
        made.append(member.block_storage.create_volume(size=1, metadata=metadata))
        until(lambda: status_of(member, made[-1]) != "creating")
        return made[-1]

    yield make
    for volume in made:
        member.block_storage.delete_volume(volume)


@pytest.fixture
def make_server(member: Connection, full_cloud: dict[str, Any], make_port: Make, make_volume: Make) -> Iterator[Make]:
    """Makes a server with a port and a volume, and waits until it is what it becomes."""
    made = []

    def make(port: Any = None, volume: Any = None) -> Any:
        port, volume = port or make_port(), volume or make_volume()
        disk = {"boot_index": 0, "uuid": full_cloud["image"], "source_type": "image", "destination_type": "local"}
        second = {"boot_index": -1, "uuid": volume.id, "source_type": "volume", "destination_type": "volume"}
        server = member.compute.create_server(
            name="with-both",
            image_id=full_cloud["image"],
            flavor_id=full_cloud["flavor"],
            networks=[{"port": port.id}],
            block_device_mapping=[disk, second],
        )
        made.append(server)
        until(lambda: member.compute.get_server(server).status != "BUILD")
        return member.compute.get_server(server)

    yield make
    for server in made:
        member.compute.delete_server(server)
        until(lambda server=server: member.compute.find_server(server.id) is None)


def status_of(member: Connection, volume: Any) -> str:
    status: str = member.block_storage.get_volume(volume).status
    return status


def test_a_server_takes_a_port_and_a_volume_and_gives_them_back(
    member: Connection, make_port: Make, make_volume: Make, make_server: Make
) -> None:
    port, volume = make_port(tags=["mine"]), make_volume(owner="me")
    assert (port.status, port.tags, status_of(member, volume)) == ("DOWN", ["mine"], "available")

    server = make_server(port, volume)
    taken = member.network.get_port(port)
    assert (server.status, taken.status, taken.device_id) == ("ACTIVE", "ACTIVE", server.id)
    assert status_of(member, volume) == "in-use"

    member.compute.delete_server(server)
    until(lambda: member.compute.find_server(server.id) is None)
    free = member.network.get_port(port)
    assert (free.status, free.device_id, free.tags) == ("DOWN", "", ["mine"])
    assert status_of(member, volume) == "available"


def test_an_external_network_gives_floating_ips(member: Connection, full_cloud: dict[str, Any]) -> None:
    address = member.network.create_ip(floating_network_id=full_cloud["external_network"], description="mine")
    assert [found.id for found in member.network.ips(description="mine")] == [address.id]
    member.network.delete_ip(address)


def test_a_port_can_fail_to_be_bound(make_port: Make, make_server: Make) -> None:
    assert make_server(port=make_port(description="mine, inject=nobind")).status == "ERROR"


def test_creating_a_port_can_fail_and_leaves_nothing(member: Connection, make_port: Make) -> None:
    with pytest.raises(HttpException, match="500"):
        make_port(description="inject=port_create_fail")
    assert list(member.network.ports(description="inject=port_create_fail")) == []


def test_creating_a_port_can_be_slow(make_port: Make) -> None:
    begun = time.monotonic()
    make_port(description="inject=port_slow:1.5")
    assert time.monotonic() - begun >= 1.5


def test_the_first_delete_of_a_port_can_fail(member: Connection, make_port: Make) -> None:
    port = make_port(description="inject=port_delete_fail")
    with pytest.raises(HttpException, match="500"):
        member.network.delete_port(port)
    member.network.delete_port(port, ignore_missing=False)


def test_a_network_asks_for_the_faults_of_its_ports(member: Connection) -> None:
    network = member.network.create_network(name="mine", description="inject=port_create_fail")
    with pytest.raises(HttpException, match="500"):
        member.network.create_port(network_id=network.id)
    member.network.delete_network(network)


def test_creating_a_volume_can_fail(member: Connection, make_volume: Make) -> None:
    assert status_of(member, make_volume(inject="create_fail")) == "error"


def test_creating_and_deleting_a_volume_can_be_slow(member: Connection, make_volume: Make) -> None:
    begun = time.monotonic()
    make_volume(inject="create_slow:1.5")
    assert time.monotonic() - begun >= 1.5

    volume = make_volume(inject="delete_slow:1.5")
    begun = time.monotonic()
    member.block_storage.delete_volume(volume)
    until(lambda: member.block_storage.find_volume(volume.id) is None)
    assert time.monotonic() - begun >= 1.5


def test_deleting_a_volume_can_fail_and_then_only_an_administrator_gets_rid_of_it(member: Connection, make_volume: Make) -> None:
    volume = make_volume(inject="delete_fail")
    member.block_storage.delete_volume(volume)
    until(lambda: status_of(member, volume) == "error_deleting")
    with pytest.raises(BadRequestException):
        member.block_storage.delete_volume(volume)
    with openstack.connect(cloud="admin") as administrator:
        administrator.block_storage.delete_volume(volume, force=True)
    until(lambda: member.block_storage.find_volume(volume.id) is None)


def test_a_volume_can_fail_to_be_connected(make_volume: Make, make_server: Make) -> None:
    assert make_server(volume=make_volume(inject="connect_fail")).status == "ERROR"


@pytest.mark.parametrize(("service", "port"), [("neutron", "network"), ("cinder", "volume")])
def test_a_killed_service_refuses_connections_and_comes_back(
    full_cloud: dict[str, Any], make_server: Make, service: str, port: str
) -> None:
    def refuses() -> bool:
        try:
            socket.create_connection(("127.0.0.1", full_cloud["ports"][port])).close()
        except ConnectionRefusedError:
            return True
        return False

    file = Path(full_cloud["clouds_yaml"]).with_name(f"{service}.pid")
    killed, begun = int(file.read_text()), time.monotonic()
    os.kill(killed, signal.SIGKILL)
    until(refuses)
    assert time.monotonic() - begun < RESPAWN
    until(lambda: int(file.read_text()) != killed)
    assert time.monotonic() - begun >= RESPAWN
    until(lambda: not refuses())
    assert make_server().status == "ACTIVE"
