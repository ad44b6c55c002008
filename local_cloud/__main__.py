"""The command line: `run` starts the cloud; the other commands are its own child processes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from local_cloud import cinder, cloud, keystone, neutron, placement
from local_cloud.settings import Settings

SERVICES = {
    "keystone": keystone.serve_keystone,
    "placement": placement.serve_placement,
    "neutron": neutron.serve_neutron,
    "cinder": cinder.serve_cinder,
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="local_cloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="start the cloud and stay until SIGTERM or SIGINT")
    run.add_argument("--state", type=Path, required=True, metavar="DIR", help="databases, logs, clouds.yaml")
    run.add_argument("--hosts", type=int, default=4, help="number of compute hosts (default: %(default)s)")
    run.add_argument("--full", action="store_true", help="with neutron and cinder in place of a cloud without networks")
    run.add_argument("--respawn", type=float, metavar="SECONDS", help="start a dead neutron or cinder again after that long")
    run.add_argument("--reclaim", type=int, default=0, metavar="SECONDS", help="keep deleted servers that long (soft delete)")
    run.add_argument("--with-parent", action="store_true", help="stop when the process that started this one is gone")

    manage = commands.add_parser("keystone-manage", help="internal: one administrative command of keystone")
    manage.add_argument("--parent", type=int, required=True)
    manage.add_argument("--config", type=Path, required=True)
    manage.add_argument("rest", nargs=argparse.REMAINDER)

    for name in SERVICES:
        service = commands.add_parser(name, help="internal: one service as a child of `run`")
        service.add_argument("--parent", type=int, required=True)
        service.add_argument("--config", type=Path, required=True)
        service.add_argument("--socket", type=int, required=True, help="descriptor of the bound socket")
    return parser.parse_args(arguments)


def main() -> None:
    """Do what the command line asks for."""
    options = parse()
    match options.command:
        case "run":
            settings = Settings(options.hosts, options.full, options.respawn, options.reclaim)
            cloud.run(options.state.absolute(), settings, with_parent=options.with_parent)
        case "keystone-manage":
            keystone.manage(options.config, options.rest, options.parent)
        case service:
            SERVICES[service](options.config, options.socket, options.parent)


if __name__ == "__main__":
    main()
