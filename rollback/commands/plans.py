"""Commands that replay: what the journal says of each resource, and why. They look at no cloud."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from journal.command_line import OK, CommandError, FreeCommand, ListCommand, say, tracked
from journal.commands.options import LookingCommand, add_at
from journal.files import read_file
from projections.commands.reading import one
from projections.fold import History
from rollback.commands.compare import Comparison, histories
from rollback.commands.tables import COLUMNS, rows, summary, write_plan
from rollback.plan import Plan, plan


class Replay(ListCommand):
    """Replay a file of events: what it says of each resource, and why. Needs neither a database nor a cloud.

    With --compare, replay histories under another version of this library, too, and show each verdict, action and status
    that changed from that version to this one, and each history that only one of them reads. Exit code 1 if there is any.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file, and what to show of it."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "file",
            metavar="FILE|FOLDER",
            type=Path,
            help="JSON Lines, as `provjournal journal export` writes them; of a folder, all *.jsonl in it and below",
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--plan", action="store_true", help="print the plan document, one JSON object a cluster")
        how.add_argument(
            "--compare",
            metavar="OTHER",
            help="the other version: the directory of a virtual environment in which it is installed, a wheel file, or a "
            "version number; pip installs the last two into a temporary virtual environment",
        )
        parser.add_argument(
            "--lenient",
            action="store_true",
            help="with --compare: end with 1 only for what is worse than before: something is deleted that was not, leaks, "
            "becomes another status of its cluster, or is refused; other changes are shown",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print plan documents as they are, and leave tables to cliff."""
        how = Comparison if parsed_args.compare is not None else _PlanDocuments if parsed_args.plan else None
        if how is not None:
            return how(self.app, self.app_args, cmd_name=self.cmd_name).run(parsed_args)
        return super().run(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of verdicts."""
        found = _replayed(parsed_args)
        for history in found:
            say(summary(history, plan(history)))
        return COLUMNS, [row for history in found for row in rows(plan(history))]


class _PlanDocuments(FreeCommand):
    """`replay --plan`."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        for history in _replayed(parsed_args):
            _print_document(plan(history))
        return OK


class PlanShow(LookingCommand, ListCommand):
    """Show the plan of a cluster as its journal stands: what would be done, and why. Looks at no cloud.

    Of an operation that is running it says what would be done if its conductor died now.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, the moment, and where to write the plan."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_at(parser)
        parser.add_argument(
            "-o", "--output", metavar="FILE", type=Path, help="write the plan document into this file, too: for `rollback --plan`"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of verdicts."""
        with self.opened(parsed_args) as journal:
            read = one(journal, parsed_args)
        if read.history.unfinished is not None and read.owner_alive:
            say(
                f"operation {read.history.unfinished.kind} is running, owned by {read.head.owner}; "
                "this is what would happen if it died now"
            )
        made = plan(read.history)
        if parsed_args.output is not None:
            write_plan(parsed_args.output, made)
        say(summary(read.history, made))
        return COLUMNS, rows(made)


def _replayed(parsed_args: argparse.Namespace) -> list[History]:
    if parsed_args.lenient:
        msg = "--lenient says what of a comparison counts: give --compare, too"
        raise CommandError(msg)
    found: dict[tuple[Path, str], History] = {}
    events = ((file, event) for file in histories(parsed_args.file) for event in read_file(file))
    for file, event in tracked(events, "replaying"):
        found.setdefault((file, event.stream), History()).apply(event)
    return list(found.values())


def _print_document(made: Plan) -> None:
    print(msgspec.json.encode(made.document()).decode())  # noqa: T201 (the command's output)
