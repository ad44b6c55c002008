"""Commands that replay: what the journal says of each resource, and why. They look at no cloud."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from journal.command_line import OK, FreeCommand, ListCommand, say, tracked
from journal.commands.options import LookingCommand, add_at
from journal.files import read_file
from projections.commands.reading import one
from projections.fold import History
from rollback.commands.tables import COLUMNS, rows, summary, write_plan
from rollback.plan import Plan, plan


class Replay(ListCommand):
    """Replay a file of events: what it says of each resource, and why. Needs neither a database nor a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file, and what to show of it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", type=Path, help="JSON Lines, as `provjournal journal export` writes them")
        parser.add_argument("--plan", action="store_true", help="print the plan document, one JSON object a cluster")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print plan documents as they are, and leave tables to cliff."""
        if not parsed_args.plan:
            return super().run(parsed_args)
        return _PlanDocuments(self.app, self.app_args, cmd_name=self.cmd_name).run(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of verdicts."""
        histories = _replayed(parsed_args)
        for history in histories:
            say(summary(history, plan(history)))
        return COLUMNS, [row for history in histories for row in rows(plan(history))]


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
    histories: dict[str, History] = {}
    for event in tracked(read_file(parsed_args.file), "replaying"):
        histories.setdefault(event.stream, History()).apply(event)
    return list(histories.values())


def _print_document(made: Plan) -> None:
    print(msgspec.json.encode(made.document()).decode())  # noqa: T201 (the command's output)
