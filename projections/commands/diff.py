"""Comparing two points of a cluster's history."""

import argparse

from journal.command_line import ListCommand, say
from journal.commands.options import LookingCommand, moment, named
from journal.moments import events_at
from projections.differences import differences
from projections.fold import fold


class Diff(LookingCommand, ListCommand):
    """Show what changed in a cluster between two points: its status, and what replay says of each resource."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and the points."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument(
            "before", metavar="A", type=moment, help="a version, or a time: 2026-11-25T14:30, 2026-11-25T13:30Z, 2h ago"
        )
        parser.add_argument("after", metavar="B", type=moment, nargs="?", help="the same; now, if it is left out")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the table of differences."""
        with self.opened(parsed_args) as journal:
            (head,) = named(journal, [parsed_args.cluster])
            events = journal.stream(head.stream).events
        before = fold(events_at(events, parsed_args.before))
        after = fold(events if parsed_args.after is None else events_at(events, parsed_args.after))
        if before.version == after.version:
            say(f"both are version {before.version}: nothing changed between them")
        columns = (
            "What",
            f"At version {before.version}",
            f"At version {after.version}{'' if after.version > before.version else ' (B)'}",
        )
        return columns, [(each.what, each.before, each.after) for each in differences(before, after)]
