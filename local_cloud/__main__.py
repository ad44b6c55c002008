"""The command line: `run` starts the cloud; the other commands are its own child processes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from local_cloud import cloud, keystone, placement


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="local_cloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="start the cloud and stay until SIGTERM or SIGINT")
    run.add_argument("--state", type=Path, required=True, metavar="DIR", help="databases, logs, clouds.yaml")
    run.add_argument("--hosts", type=int, default=4, help="number of compute hosts (default: %(default)s)")
    run.add_argument(
        "--reclaim", type=int, default=0, metavar="SECONDS", help="deletes are soft, and final after so long (default: at once)"
    )
    run.add_argument("--with-parent", action="store_true", help="stop when the process that started this one is gone")

    manage = commands.add_parser("keystone-manage", help="internal: one administrative command of keystone")
    manage.add_argument("--parent", type=int, required=True)
    manage.add_argument("--config", type=Path, required=True)
    manage.add_argument("rest", nargs=argparse.REMAINDER)

    for name in ("keystone", "placement"):
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
            cloud.run(options.state.absolute(), options.hosts, reclaim=options.reclaim, with_parent=options.with_parent)
        case "keystone":
            keystone.serve_keystone(options.config, options.socket, options.parent)
        case "keystone-manage":
            keystone.manage(options.config, options.rest, options.parent)
        case "placement":
            placement.serve_placement(options.config, options.socket, options.parent)


if __name__ == "__main__":
    main()
