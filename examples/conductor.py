"""A small real conductor: it creates, scales and deletes clusters of VMs, and every step stands in the provisioning journal.

    python -m examples.conductor create c-1 --workers 3 --image ID --flavor ID
    python -m examples.conductor scale c-1 --add 1 --remove SERVER_ID --image ID --flavor ID
    python -m examples.conductor delete c-1

Read `Conductor` first. No line of it checks whether the cluster still exists, catches an error or cleans up: that is
the handler's, at the very top (`rollback.handler.operation`), and it does so by replaying the journal.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from journal import Journal, Settings
from journal.events import ClusterStatus, OperationKind
from rollback.handler import delete_cluster, operation
from rollback.openstack import OpenStackCloud


class Conductor:
    """Builds clusters of VMs in one project of one cloud."""

    def __init__(self, journal: Journal, cloud: OpenStackCloud, plugin: "Plugin", records: Path, **server: Any) -> None:
        """`server`: image, flavor and network of every VM, as openstacksdk takes them."""
        self.journal = journal
        self.cloud = cloud
        self.plugin = plugin
        self.records = records
        self.server = server

    def create(self, cluster: str, workers: int) -> None:
        """Create a cluster."""
        record = Record(self.records, cluster)
        record.set_status("Creating")
        with operation(self.journal, self.cloud, cluster, OperationKind.CREATE, record, request={"workers": workers}) as op:
            servers = [self._create_server(op, cluster, number) for number in range(1, workers + 1)]
            self._put_to_work(op, servers)

    def scale(self, cluster: str, add: int, remove: Sequence[str]) -> None:
        """Remove some VMs of a cluster, and add others."""
        record = Record(self.records, cluster)
        record.set_status("Scaling")
        request = {"add": add, "remove": list(remove)}
        with operation(self.journal, self.cloud, cluster, OperationKind.SCALE, record, victims=remove, request=request) as op:
            if remove:
                with op.decommission(remove):
                    self.plugin.decommission(remove)
            for server_id in remove:
                with op.delete_server(server_id):
                    self.cloud.delete_and_wait(server_id, timeout_seconds=300)
            servers = [self._create_server(op, cluster, number) for number in range(101, 101 + add)]
            if servers:
                self._put_to_work(op, servers)

    def delete(self, cluster: str) -> None:
        """Delete a cluster, whatever is going on with it."""
        record = Record(self.records, cluster)
        record.set_status("Deleting")
        report = delete_cluster(self.journal, self.cloud, cluster, record, by="user", progress=logging.info)
        if report.problems:
            raise SystemExit("; ".join(report.problems))

    def _create_server(self, op: Any, cluster: str, number: int) -> str:
        with op.create_server("worker", f"{cluster}-worker-{number:03}") as step:
            server_id = self.cloud.create_server(step, **self.server)
            step.created(server_id)
        self.cloud.wait_until_active(server_id, timeout_seconds=300)
        return server_id

    def _put_to_work(self, op: Any, servers: Sequence[str]) -> None:
        with op.configure(servers):
            self.plugin.configure(servers)
        with op.start(servers):
            self.plugin.start(servers)


class Plugin:
    """The software that runs on the VMs. This one only notes, in each VM's metadata, what it does to it."""

    def __init__(self, connection: Any) -> None:
        self.compute = connection.compute

    def decommission(self, server_ids: Sequence[str]) -> None:
        """Move the data off these VMs."""
        self._note(server_ids, "decommissioning", "decommissioned")

    def configure(self, server_ids: Sequence[str]) -> None:
        """Write the configuration of these VMs."""
        self._note(server_ids, "configuring", "configured")

    def start(self, server_ids: Sequence[str]) -> None:
        """Start the processes on these VMs: from here on they hold data."""
        self._note(server_ids, "starting", "started")

    def _note(self, server_ids: Sequence[str], *states: str) -> None:
        for state in states:
            for server_id in server_ids:
                self.compute.set_server_metadata(server_id, state=state)


class Record:
    """The conductor's own record of a cluster: a file that its users can read.

    Without the file, the cluster is gone for its user.
    """

    def __init__(self, folder: Path, cluster: str) -> None:
        self.path = folder / f"{cluster}.json"

    def exists(self) -> bool:
        """Whether the user still has this cluster."""
        return self.path.exists()

    def set_status(self, status: ClusterStatus | str, reason: str = "") -> None:
        """Show the user what became of the cluster."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"status": str(status), "reason": reason}) + "\n")


def main() -> None:
    """Run one operation."""
    parser = argparse.ArgumentParser(description="create, scale and delete clusters of VMs")
    parser.add_argument("operation", choices=["create", "scale", "delete"])
    parser.add_argument("cluster")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--add", type=int, default=0)
    parser.add_argument("--remove", nargs="*", default=[], metavar="SERVER_ID")
    parser.add_argument("--journal", default=os.environ.get("PROVJOURNAL_URL", "sqlite:///journal.db"))
    parser.add_argument("--cloud", default=os.environ.get("OS_CLOUD"))
    parser.add_argument("--image", metavar="ID")
    parser.add_argument("--flavor", metavar="ID")
    parser.add_argument("--network", default="none", help="a network's id, or none")
    parser.add_argument("--records", type=Path, default=Path("clusters"))
    parser.add_argument("--lease-seconds", type=float, default=Settings().lease_seconds)
    parser.add_argument("--api-timeout-seconds", type=float, default=Settings().api_timeout_seconds)
    parser.add_argument("--settle-seconds", type=float, default=Settings().settle_seconds)
    args = parser.parse_args()
    if args.operation != "delete" and not (args.image and args.flavor):
        parser.error("say of which --image and --flavor the VMs are to be")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    settings = Settings(
        lease_seconds=args.lease_seconds, api_timeout_seconds=args.api_timeout_seconds, settle_seconds=args.settle_seconds
    )
    networks = args.network if args.network in ("none", "auto") else [{"uuid": args.network}]
    with Journal.open(args.journal, upgrade=True, settings=settings) as journal:
        cloud = OpenStackCloud.connect(args.cloud, settings)
        plugin = Plugin(cloud.connection)
        server = {"image_id": args.image, "flavor_id": args.flavor, "networks": networks}
        conductor = Conductor(journal, cloud, plugin, args.records, **server)
        match args.operation:
            case "create":
                conductor.create(args.cluster, args.workers)
            case "scale":
                conductor.scale(args.cluster, args.add, args.remove)
            case "delete":
                conductor.delete(args.cluster)
        status = json.loads(Record(args.records, args.cluster).path.read_text())
        print(f"cluster {args.cluster}: {status['status']} {status['reason']}".rstrip())


if __name__ == "__main__":
    main()
