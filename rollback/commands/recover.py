"""Bringing all clusters of dead conductors to a safe state."""

import argparse
from collections.abc import Iterator, Sequence

from journal.command_line import OK, PROBLEM, CommandError, say
from journal.commands.options import number
from journal.errors import StoreError
from journal.metrics import JournalMetrics
from journal.wording import counted
from rollback.commands.options import CompensatingCommand, add_most, seconds
from rollback.handler import Handler
from rollback.recovery import AT_ONCE, Recovery, foresee, recover

COLUMNS = ("Cluster", "Status", "Deleted", "Kept", "Left to do")


class Recover(CompensatingCommand):
    """Bring all clusters to a safe state whose conductor died. Exit code 1 if something is left to do.

    Clusters that a living conductor is at work on are left to it: run it wherever and as often as you like.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--watch", metavar="SECONDS", type=seconds, help="do it again and again, with this pause")
        parser.add_argument(
            "--metrics", metavar="HOST:PORT", type=_address, help="while watching, serve metrics for Prometheus there"
        )
        add_most(parser)
        parser.add_argument("--dry-run", action="store_true", help="list the cloud and show the plans; change and append nothing")
        parser.add_argument(
            "--at-once",
            metavar="N",
            type=number,
            default=AT_ONCE,
            help=f"how many clusters are recovered at the same time (default: {AT_ONCE})",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Recover once, again and again, or show what would be done."""
        with self.handler(parsed_args) as handler:
            if parsed_args.watch is not None and not parsed_args.dry_run:
                if parsed_args.metrics is not None:
                    _serve_metrics(handler, *parsed_args.metrics)
                _watch(handler, parsed_args)
            found = sorted(_once(handler, parsed_args), key=lambda recovery: recovery.cluster)
        if parsed_args.dry_run:
            say("this was a dry run: nothing was changed")
        elif not found:
            say("nothing to recover")
        self.code = OK if all(recovery.complete for recovery in found) or parsed_args.dry_run else PROBLEM
        return COLUMNS, [_row(recovery) for recovery in found]


def _once(handler: Handler, parsed_args: argparse.Namespace) -> Iterator[Recovery]:
    if parsed_args.dry_run:
        return foresee(handler, at_once=parsed_args.at_once)
    return recover(handler, at_once=parsed_args.at_once, most=parsed_args.max_deletions)


def _watch(handler: Handler, parsed_args: argparse.Namespace) -> None:
    """Recover until interrupted. A journal that is away for a while is waited for."""
    pause = parsed_args.watch
    while True:
        try:
            for recovery in _once(handler, parsed_args):
                say(_told(recovery))
        except StoreError as error:
            say(f"{error} Trying again in {pause:g} s.")
        handler.journal.clock.sleep(pause)


def _serve_metrics(handler: Handler, host: str, port: int) -> None:
    try:
        from prometheus_client import REGISTRY, start_http_server  # noqa: PLC0415 (optional)
    except ModuleNotFoundError as error:
        msg = "Metrics need prometheus_client: `pip install 'provisioning-journal[metrics]'` brings it."
        raise CommandError(msg) from error
    REGISTRY.register(JournalMetrics(handler.journal))
    try:
        start_http_server(port, host)
    except OSError as error:
        msg = f"Metrics cannot be served on {host}:{port}: {error.strerror}."
        raise CommandError(msg) from error
    say(f"metrics are served on http://{host}:{port}/metrics")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal()):
        msg = "expected HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    return host, int(port)


def _row(recovery: Recovery) -> tuple[object, ...]:
    return recovery.cluster, recovery.status, recovery.deleted, recovery.kept, "; ".join(recovery.problems)


def _told(recovery: Recovery) -> str:
    left = "".join(f"\n  left to do: {problem}" for problem in recovery.problems)
    return f"cluster {recovery.cluster} is {recovery.status}; {counted(recovery.deleted, 'VM')} deleted{left}"
