"""A small real conductor: it creates, scales and deletes clusters of VMs, and every step stands in the provisioning journal.

    python -m examples.conductor create c-1 --nodes master=1 worker=3 --image ID --flavor ID
    python -m examples.conductor scale c-1 --nodes worker=1 --remove SERVER_ID --image ID --flavor ID
    python -m examples.conductor resume c-1 --image ID --flavor ID
    python -m examples.conductor delete c-1

Read `Conductor` first. No line of it checks whether the cluster still exists, catches an error or cleans up: that is
the handler's, at the very top, and it does so by replaying the journal.
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from examples.plugin import Plugin
from examples.records import Record
from journal import Journal, Operation, Settings, Step
from journal.errors import JournalError
from journal.events import OperationKind
from journal.redaction import redacted_text
from rollback import Handler, OpenStackCloud
from rollback.errors import RollbackError

ACTIONS = ("decommission", "configure", "start")


class Conductor:
    """Builds clusters of VMs in one project of one cloud."""

    def __init__(self, handler: Handler, cloud: OpenStackCloud, plugin: Plugin, *, at_once: int = 10, **server: Any) -> None:
        """`at_once`: VMs created at the same time; `server`: image, flavor and network, as openstacksdk takes them."""
        self.handler = handler
        self.cloud = cloud
        self.plugin = plugin
        self.at_once = at_once
        self.server = server

    def create(self, cluster: str, nodes: Mapping[str, int]) -> None:
        """Create a cluster: so many VMs in each node group."""
        with self.handler.operation(cluster, OperationKind.CREATE, request={"nodes": dict(nodes)}) as op:
            self.carry_out(op)

    def scale(self, cluster: str, nodes: Mapping[str, int], remove: Sequence[str]) -> None:
        """Remove some VMs of a cluster, and add others."""
        with self.handler.operation(cluster, OperationKind.SCALE, victims=remove, request={"nodes": dict(nodes)}) as op:
            self.carry_out(op)

    def resume(self, cluster: str) -> None:
        """Carry on what another conductor left unfinished."""
        with self.handler.resume(cluster) as op:
            self.carry_out(op)

    def delete(self, cluster: str) -> None:
        """Delete a cluster, whatever is going on with it."""
        self.handler.delete(cluster, by="user")

    # ---- what there is to do; of a resumed operation, steps that have succeeded do not run again: their keys tell

    def carry_out(self, op: Operation) -> None:
        """Do what was asked for: first what goes, then what comes."""
        if op.started.victims:
            self._remove(op, op.started.victims)
        groups = self._add(op, op.started.request["nodes"])
        op.run_all([op.configure(ids, key=f"configure {group}") for group, ids in groups.items()], self._configure)
        op.run_all([op.start(ids, key=f"start {group}") for group, ids in groups.items()], self._start)

    def _remove(self, op: Operation, victims: Sequence[str]) -> None:
        op.decommission(victims, key="decommission").run(lambda step: self.plugin.decommission(step.server_ids))
        op.run_all([op.delete_server(victim, key=victim) for victim in victims], partial(self._delete, op), at_once=self.at_once)

    def _add(self, op: Operation, nodes: Mapping[str, int]) -> dict[str, list[str]]:
        """Create the VMs of all node groups in parallel, and return their ids by group."""
        prefix = op.cluster if op.kind is OperationKind.CREATE else f"{op.cluster}-{op.id.hex[:4]}"
        named = {f"{prefix}-{group}-{number:03}": group for group, count in nodes.items() for number in range(1, count + 1)}
        steps = [op.create_server(group, name, key=name) for name, group in named.items()]
        groups: dict[str, list[str]] = {}
        for step in op.run_all(steps, self._create, at_once=self.at_once):
            op.wait_until(partial(self.cloud.is_active, step.server_id), f"{step.name} is ACTIVE", timeout_seconds=300)
            groups.setdefault(named[step.name], []).append(str(step.server_id))
        return groups

    def _create(self, step: Step) -> None:
        step.created(self.cloud.create_server(step, **self.server))

    def _delete(self, op: Operation, step: Step) -> None:
        (server_id,) = step.server_ids
        self.cloud.delete_server(server_id)
        op.wait_until(partial(self.cloud.is_gone, server_id), f"{server_id} is gone", timeout_seconds=300)

    def _configure(self, step: Step) -> None:
        self.plugin.configure(step.server_ids)

    def _start(self, step: Step) -> None:
        self.plugin.start(step.server_ids)


def main() -> None:
    """Run one operation, and say in one line what was wrong with what was asked for."""
    try:
        _run(_parser())
    except (JournalError, RollbackError) as error:
        sys.exit(f"conductor: {redacted_text(str(error))}")
    except KeyboardInterrupt:
        sys.exit("conductor: interrupted; `resume` carries it on, or `provjournal recover` cleans it up")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="create, scale, resume and delete clusters of VMs")
    parser.add_argument("operation", choices=["create", "scale", "resume", "delete"])
    parser.add_argument("cluster")
    parser.add_argument("--nodes", type=_node_group, nargs="*", default=[], metavar="GROUP=COUNT", help="VMs to create")
    parser.add_argument("--remove", nargs="*", default=[], metavar="SERVER_ID", help="VMs that a scale removes")
    parser.add_argument("--at-once", type=int, default=10, help="VMs created at the same time")
    parser.add_argument("--fail-in", choices=ACTIONS, help="have the plugin fail there")
    parser.add_argument("--journal", default=os.environ.get("PROVJOURNAL_URL", "sqlite:///journal.db"))
    parser.add_argument("--cloud", default=os.environ.get("OS_CLOUD"))
    parser.add_argument("--image", metavar="ID")
    parser.add_argument("--flavor", metavar="ID")
    parser.add_argument("--network", default="none", help="a network's id, or none")
    parser.add_argument("--records", type=Path, default=Path("clusters"))
    parser.add_argument("--lease-seconds", type=float, default=Settings().lease_seconds)
    parser.add_argument("--api-timeout-seconds", type=float, default=Settings().api_timeout_seconds)
    parser.add_argument("--settle-seconds", type=float, default=Settings().settle_seconds)
    return parser


def _run(parser: argparse.ArgumentParser) -> None:
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
        handler = Handler(journal, cloud, partial(Record, args.records), progress=logging.info)
        plugin = Plugin(cloud.connection, args.fail_in)
        server = {"image_id": args.image, "flavor_id": args.flavor, "networks": networks}
        conductor = Conductor(handler, cloud, plugin, at_once=args.at_once, **server)
        record = Record(args.records, args.cluster)
        if args.operation == "create" and not record.exists():
            record.set_status("Creating")
        match args.operation:
            case "create":
                conductor.create(args.cluster, dict(args.nodes or [("worker", 3)]))
            case "scale":
                conductor.scale(args.cluster, dict(args.nodes), args.remove)
            case "resume":
                conductor.resume(args.cluster)
            case "delete":
                conductor.delete(args.cluster)
        print(f"cluster {args.cluster}: {record.shown}")


def _node_group(text: str) -> tuple[str, int]:
    group, _, count = text.partition("=")
    if not group or not count.isdecimal():
        msg = f"{text!r} is not GROUP=COUNT, such as worker=3"
        raise argparse.ArgumentTypeError(msg)
    return group, int(count)


if __name__ == "__main__":
    main()
