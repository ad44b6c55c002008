"""Pictures of one cluster: its timeline, in the terminal or for a viewer of traces, and a page that tells all of it."""

import argparse
import io
import json
import sys
from pathlib import Path
from typing import IO, Final

from rich.console import Console

from journal.command_line import OK, CommandError, FreeCommand, counted, say
from journal.commands.options import PAGE, LookingCommand, add_at, add_operation, limit
from journal.commands.output import output
from projections.chart import chart
from projections.commands.reading import Read, one
from projections.report import report
from projections.status import past_status, shown_status
from projections.timeline import Timeline, only, shortened, timeline
from projections.trace import trace

WIDTH: Final = 80
"""How wide a timeline is where it is not shown in a terminal."""
REPORTED: Final = 1000
"""Of how many steps, resources and events a page tells unless more are asked for."""


class TimelineCommand(LookingCommand, FreeCommand):
    """Show what happened when: a bar for each step, by operation and stage, and the other events between them.

    A bar that ends in an arrow is a step that nobody knows the end of. Each operation has a scale of time of its own, from
    which long silences are cut out.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, what of it, and how and where it is written."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_at(parser)
        add_operation(parser)
        parser.add_argument(
            "--limit",
            metavar="N",
            type=limit,
            default=PAGE,
            help="show at most N steps, first those that did not succeed, then the latest, and at most N operations and other"
            f" events; the other steps of a stage become one line; 0 shows all (default: {PAGE})",
        )
        parser.add_argument(
            "--format",
            choices=("text", "chrome-trace"),
            default="text",
            help="text, or the JSON that viewers of traces such as Perfetto open; that has all steps, whatever the limit",
        )
        parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to (default: standard output)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Show the timeline. Raises CommandError if the operation that is asked for is not there, or a file cannot be written."""
        with self.opened(parsed_args) as journal:
            read = one(journal, parsed_args)
        now = read.head.read_at if read.owner_alive else None
        shown = timeline(read.events, read.history, owner_alive=read.owner_alive, now=now)
        if parsed_args.operation is not None:
            shown = only(shown, parsed_args.operation)
            if not shown.operations:
                msg = (
                    f"Cluster {read.history.stream!r} has no operation {parsed_args.operation}."
                    f" `provjournal operation list --cluster {read.history.stream}` names them."
                )
                raise CommandError(msg)
        if parsed_args.format == "chrome-trace":
            _write(json.dumps(trace(shown), ensure_ascii=False).encode() + b"\n", parsed_args.output)
        elif parsed_args.output is None:
            _print(_console(sys.stdout), shown, read, parsed_args)
        else:
            file = io.StringIO()
            _print(_console(file), shown, read, parsed_args)
            _write(file.getvalue().encode(), parsed_args.output)
        return OK


class ReportCommand(LookingCommand, FreeCommand):
    """Write an HTML page that tells all of a cluster: how it stands, what to do next, what happened, and what would be deleted.

    The page needs nothing but itself: it can be mailed, attached to a ticket, read on a phone, and printed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and the file."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_at(parser)
        parser.add_argument(
            "--limit",
            metavar="N",
            type=limit,
            default=REPORTED,
            help="tell of at most N steps, N resources and N events: first what did not succeed, or is to be decided or done,"
            f" then the latest; 0 tells of all (default: {REPORTED})",
        )
        parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the page to write")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Write the page. Raises CommandError if it cannot be written."""
        with self.opened(parsed_args) as journal:
            read = one(journal, parsed_args)
        page = report(
            read.events,
            read.history,
            owner_alive=read.owner_alive,
            is_past=read.is_past,
            utc=parsed_args.utc,
            limit=parsed_args.limit,
        )
        _write(page.encode(), parsed_args.output)
        say(f"{read.history.stream}, {counted(len(read.events), 'event')}: written to {parsed_args.output}")
        return OK


class _Piped(Console):
    """A console whose reader may go away: that is told to whoever called, as of any other output."""

    def on_broken_pipe(self) -> None:
        """Raise it again, where rich would end the process with 1."""
        raise  # noqa: PLE0704 (rich calls this while it handles the error)


def _console(file: IO[str]) -> Console:
    """Return a console whose lines are as wide as the terminal, if it is one."""
    console = _Piped(file=file, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _print(console: Console, shown: Timeline, read: Read, parsed_args: argparse.Namespace) -> None:
    encoding = "utf-8" if parsed_args.output else console.encoding
    status = past_status(read.history) if read.is_past else shown_status(read.history, owner_alive=read.owner_alive)
    told = (f"cluster {shown.cluster}", status, f"version {read.history.version}")
    shortest = shortened(shown, parsed_args.limit)
    for line in chart(shortest, told, width=console.width, encoding=encoding, utc=parsed_args.utc):
        console.print(line)


def _write(text: bytes, path: Path | None) -> None:
    with output(path) as file:
        file.write(text)
        file.flush()
