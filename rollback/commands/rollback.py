"""Bringing one cluster to a safe state."""

import argparse
from collections.abc import Sequence

from journal.command_line import OK, PROBLEM, ListCommand, say
from rollback.commands.options import NeedsCloud
from rollback.commands.tables import COLUMNS, counts, result, rows, told
from rollback.compensator import preview
from rollback.handler import Handler


class Rollback(NeedsCloud, ListCommand):
    """Bring the cloud to a safe state for a cluster whose operation failed. Exit code 1 if something is left to do."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument("--dry-run", action="store_true", help="list the cloud and show the plan; change and append nothing")
        parser.add_argument("--wait", action="store_true", help="wait until the lease of the cluster's owner has run out")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; its exit code says whether anything is left to do."""
        self.code = OK
        return super().run(parsed_args) or self.code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Roll back, or show what a rollback would do."""
        with self.handler(parsed_args, parsed_args.cluster) as handler:
            return _preview(handler, parsed_args) if parsed_args.dry_run else self._roll_back(handler, parsed_args)

    def _roll_back(self, handler: Handler, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        report = handler.compensate(parsed_args.cluster, wait=parsed_args.wait)
        say(told(report))
        self.code = OK if report.complete else PROBLEM
        results = [result(report, verdict) for verdict in report.planned.verdicts]
        return (*COLUMNS, "Result"), [(*row, said) for row, said in zip(rows(report.planned), results, strict=True)]


def _preview(handler: Handler, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    made = preview(handler.journal, handler.cloud, parsed_args.cluster, wait=parsed_args.wait, progress=say)
    say(f"{counts(made)}; cluster {made.stream} would become {made.cluster_status}. This was a dry run: nothing was changed")
    return COLUMNS, rows(made)
