"""Finding what nobody accounts for, in the whole cloud."""

import argparse
from collections.abc import Collection, Sequence

from journal.command_line import OK, PROBLEM, counted, say
from journal.commands.options import number
from projections.verdicts import Verdict
from rollback.commands.confirming import add_yes, confirm
from rollback.commands.options import CompensatingCommand, add_most
from rollback.handler import Handler
from rollback.orphans import Orphan, Sweep, delete_orphans, sweep
from rollback.recovery import AT_ONCE

COLUMNS = ("Cluster", "Kind", "Id", "Name", "Verdict", "Action", "Because", "Result")


class SweepCommand(CompensatingCommand):
    """Find all servers and what they bring along that carry this journal's marks and that nobody accounts for.

    Nothing is deleted unless you ask for it, and nothing then but what its cluster's plan deletes. Exit code 1 if
    something was found and is still there, or could not be judged.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--delete",
            action="store_true",
            help="carry out the plans of their clusters: delete those whose verdict is new or unneeded",
        )
        add_most(parser)
        add_yes(parser)
        parser.add_argument(
            "--at-once",
            metavar="N",
            type=number,
            default=AT_ONCE,
            help=f"how many clusters are judged or swept at the same time (default: {AT_ONCE})",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Find the orphans, and delete what may be deleted if that was asked for."""
        with self.handler(parsed_args) as handler:
            found = sweep(handler, at_once=parsed_args.at_once)
            if parsed_args.delete and not parsed_args.yes:
                _confirm(handler, found)
            deleted = _delete(handler, found, parsed_args) if parsed_args.delete else {}
        say(_summary(found, deleted))
        left = [orphan for orphan in found.orphans if orphan.id not in deleted]
        self.code = PROBLEM if left or found.unreadable or found.unlisted else OK
        more = [deleted[id_] for id_ in sorted(deleted.keys() - {orphan.id for orphan in found.orphans})]
        return COLUMNS, [*(_row(orphan, deleted) for orphan in found.orphans), *more]


def _confirm(handler: Handler, found: Sweep) -> None:
    due = [orphan for orphan in found.orphans if orphan.is_deletable]
    if due:
        details = (f"{orphan.kind} {orphan.id} ({orphan.name}) of cluster {orphan.cluster}: {orphan.because}" for orphan in due)
        what = counted(len(due), "orphan")
        confirm(f"Delete {what} of {counted(len(found.deletable), 'cluster')} in cloud {handler.cloud.name}?", details)


def _delete(handler: Handler, found: Sweep, parsed_args: argparse.Namespace) -> dict[str, tuple[object, ...]]:
    """Delete, and return a row of each that was deleted, by id."""
    deleted: dict[str, tuple[object, ...]] = {}
    most, at_once = parsed_args.max_deletions, parsed_args.at_once
    for swept in delete_orphans(handler, found, at_once=at_once, most=most, only_these=not parsed_args.yes):
        problems = (swept.problem,) if swept.report is None else swept.report.problems
        for problem in problems:
            say(f"cluster {swept.cluster}: left to do: {problem}")
        if swept.report is not None:
            verdicts = {verdict.id: verdict for verdict in (*swept.report.plan.verdicts, *swept.report.planned.verdicts)}
            deleted |= {id_: _deleted_row(swept.cluster, verdicts[id_]) for id_ in swept.report.deleted}
    return deleted


def _deleted_row(cluster: str, verdict: Verdict) -> tuple[object, ...]:
    name, judged = verdict.name or "", (str(verdict.verdict), str(verdict.action))
    return cluster, str(verdict.kind), verdict.id, name, *judged, verdict.because, "deleted"


def _summary(found: Sweep, deleted: Collection[str]) -> str:
    unreadable = f"; {counted(found.unreadable, 'server')} in cells that are down cannot be judged" if found.unreadable else ""
    if found.hides_down_cells:
        unreadable += "; the listing had several pages, so servers in cells that are down are missing in it"
    if found.unlisted:
        unreadable += f"; of these kinds nothing could be listed: {', '.join(found.unlisted)}"
    seen = f"{counted(found.marked, 'resource')} of this journal, {counted(len(found.orphans), 'orphan')}"
    return f"{seen}, {len(deleted)} deleted{unreadable}"


def _row(orphan: Orphan, deleted: Collection[str]) -> tuple[object, ...]:
    verdict = "" if orphan.verdict is None else str(orphan.verdict.verdict)
    action = "keep" if orphan.verdict is None else str(orphan.verdict.action)
    result = "deleted" if orphan.id in deleted else "still there"
    return orphan.cluster, str(orphan.kind), orphan.id, orphan.name, verdict, action, orphan.because, result
