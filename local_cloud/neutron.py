"""Neutron's API, as a child process: ML2 with a mechanism driver of ours, and no agents."""

import os
import sys
from pathlib import Path
from typing import Any

from local_cloud import admin, processes, serve, sqlite

THREADS = 8
DRIVER = "[neutron.ml2.mechanism_drivers]\nlocal_cloud = local_cloud.neutron_driver:FaultDriver\n"
"""The entry point by which neutron finds the driver."""
NETWORKS: dict[str, tuple[str, str, dict[str, bool]]] = {
    "network": ("net", "10.0.0.0/16", {"is_shared": True}),
    "external_network": ("public", "203.0.113.0/24", {"is_router_external": True}),
}
"""Key in `ready.json` to name, addresses and kind: what an operator offers to everybody."""
DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"direction": "egress", "used_in_non_default_sg": True},
    {"direction": "ingress", "used_in_non_default_sg": False, "remote_group_id": "PARENT"},
)
"""What every project's default security group begins with, for IPv4 and for IPv6."""


def serve_neutron(config: Path, descriptor: int, parent: int) -> None:
    """Make the tables if there are none, and answer requests until the parent is gone."""
    processes.follow(parent)
    sqlite.prepare()
    publish_driver(config.parent)
    sys.argv = ["neutron-api", "--config-file", str(config)]
    from neutron import server
    from neutron.server import api

    server._init_configuration("neutron-api")
    prepare_database()
    serve.stay(api.api_server(), descriptor, THREADS)


def publish_driver(state: Path) -> None:
    """Let the driver be found like one of an installed package, without installing anything."""
    package = state / "plugins" / "local_cloud-0.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: local_cloud\nVersion: 0\n")
    (package / "entry_points.txt").write_text(DRIVER)
    sys.path.append(str(package.parent))
    os.environ["XDG_CACHE_HOME"] = str(state / "cache")  # stevedore would keep a list for each directory in the user's cache


def prepare_database() -> None:
    """Make what neutron's migrations would make: they do not run on SQLite, its models and objects do."""
    from neutron.db.migration.models import head
    from neutron.objects.securitygroup_default_rules import SecurityGroupDefaultRule
    from neutron_lib import context
    from neutron_lib.db import api

    head.get_metadata().create_all(api.CONTEXT_WRITER.get_engine())
    privileged = context.get_admin_context()
    if not SecurityGroupDefaultRule.count(privileged):
        for rule in DEFAULT_RULES:
            for ethertype in ("IPv4", "IPv6"):
                SecurityGroupDefaultRule(privileged, ethertype=ethertype, used_in_default_sg=True, **rule).create()


def offer_networks(clouds: Path) -> dict[str, str]:
    """Return the ids of the networks that everybody may use; make those that are missing."""
    with admin.connect(clouds) as connection:
        network = connection.network
        ids: dict[str, str] = {}
        for key, (name, addresses, kind) in NETWORKS.items():
            offered = network.find_network(name)
            if offered is None:
                offered = network.create_network(name=name, **kind)
                network.create_subnet(name=name, network_id=offered.id, ip_version=4, cidr=addresses, is_dhcp_enabled=False)
            ids[key] = offered.id
        return ids
