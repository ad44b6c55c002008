"""What commands that act on a cloud have in common: which cloud, whose records, and how their errors end."""

import argparse
import math
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import rich.progress
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from journal.command_line import OK, PROBLEM, REFUSED, TOLD, CommandError, ListCommand, NeedsJournal, say
from journal.journal import Journal
from journal.settings import Settings
from rollback.choice import Most
from rollback.errors import ChoiceRefused, NotAdoptable, RecordError, RollbackError, UnknownCloud, UnsuitableCloud, WrongCloud
from rollback.handler import Handler
from rollback.progress import Counted, Progress
from rollback.records import CommandRecord, Records, load_records

COUNTED_EVERY_SECONDS: Final = 10.0
"""How often a number is told where there is no bar to show it."""


class NeedsCloud(NeedsJournal):
    """A command that works on a journal and a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cloud."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--cloud", metavar="NAME", help="cloud of clouds.yaml (default: OS_CLOUD)")
        return parser

    def cloud_name(self, parsed_args: argparse.Namespace) -> str | None:
        """Return which cloud of clouds.yaml is meant; None for what the environment says."""
        name = parsed_args.cloud or getattr(self.app.options, "cloud", None) or os.environ.get("OS_CLOUD")
        return None if name is None else str(name)

    def settings(self, parsed_args: argparse.Namespace) -> Settings:  # noqa: ARG002 (of commands that take some)
        """Return how long things may take."""
        return Settings()

    def records(self, parsed_args: argparse.Namespace) -> Records | None:  # noqa: ARG002 (of commands that take some)
        """Return the conductor's records, if they can be reached."""
        return None

    @contextmanager
    def handler(self, parsed_args: argparse.Namespace, cluster: str | None = None) -> Iterator[Handler]:
        """Open journal and cloud for the length of a command; an unknown `cluster` is refused before the cloud is asked."""
        from rollback.openstack import OpenStackCloud  # noqa: PLC0415 (only what acts on a cloud loads openstacksdk)

        try:
            records = self.records(parsed_args)
            with self.opened(parsed_args) as journal:
                journal.settings = self.settings(parsed_args)
                _refuse_unknown(journal, cluster)
                cloud = OpenStackCloud.connect(self.cloud_name(parsed_args), journal.settings)
                with shown() as progress:
                    yield Handler(journal, cloud, records, progress=progress)
        except (UnknownCloud, WrongCloud, UnsuitableCloud, RecordError) as error:
            raise CommandError(str(error)) from error
        except ChoiceRefused as error:
            raise CommandError(error.summary, REFUSED, error.rows) from error
        except NotAdoptable as error:
            raise CommandError(str(error), REFUSED) from error
        except RollbackError as error:
            raise CommandError(str(error), PROBLEM) from error


class CompensatingCommand(NeedsCloud, ListCommand):
    """A command that shows rows, and whose exit code says whether anything is left to do."""

    code: int

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the conductor's records and the time to settle."""
        parser = super().get_parser(prog_name)
        settle = Settings().settle_seconds
        parser.add_argument(
            "--settle-seconds",
            metavar="SECONDS",
            type=seconds,
            default=settle,
            help=f"how far apart the two listings are that prove a server absent (default: {settle:g})",
        )
        records = parser.add_mutually_exclusive_group()
        records.add_argument(
            "--record",
            metavar="NAME",
            default=os.environ.get("PROVJOURNAL_RECORD"),
            help="the conductor's records, as an installed package offers them: who is told what became of a cluster",
        )
        records.add_argument(
            "--record-command",
            metavar="COMMAND",
            default=os.environ.get("PROVJOURNAL_RECORD_COMMAND"),
            help="the same as a command: `COMMAND exists CLUSTER`, `COMMAND set-status CLUSTER STATUS REASON VERSION`",
        )
        return parser

    def settings(self, parsed_args: argparse.Namespace) -> Settings:
        """Return how long things may take."""
        return Settings(settle_seconds=parsed_args.settle_seconds)

    def records(self, parsed_args: argparse.Namespace) -> Records | None:
        """Return the conductor's records, if they can be reached."""
        if parsed_args.record_command:
            return partial(CommandRecord, shlex.split(parsed_args.record_command))
        return load_records(parsed_args.record) if parsed_args.record else None

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command."""
        self.code = OK
        return super().run(parsed_args) or self.code


def add_most(parser: argparse.ArgumentParser) -> None:
    """Add how many servers and other resources may be deleted."""
    parser.add_argument(
        "--max-deletions",
        metavar="N|N%",
        type=_most,
        help="delete nothing of a cluster if that were more servers and other resources than this, or than this share of those "
        "that it has (default: as many as the operation created or declared, in a delete as many as the cluster has)",
    )


def _most(text: str) -> Most:
    try:
        return Most.read(text)
    except ValueError as error:
        msg = "expected a number, or a share such as 20%"
        raise argparse.ArgumentTypeError(msg) from error


@contextmanager
def shown() -> Iterator[Progress]:
    """Show what is going on: lines, and a bar for what is counted, if standard error is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with rich.progress.Progress(*columns, console=TOLD, transient=True, disable=TOLD.quiet or not TOLD.is_terminal) as bars:
        tasks: dict[str, rich.progress.TaskID] = {}
        counted_at = -COUNTED_EVERY_SECONDS

        def show(line: str) -> None:
            nonlocal counted_at
            if not isinstance(line, Counted):
                say(line)
                return
            if bars.disable:
                now = time.monotonic()
                if line.done == line.total or now - counted_at >= COUNTED_EVERY_SECONDS:
                    counted_at = now
                    say(line)
                return
            if line.what not in tasks:
                tasks[line.what] = bars.add_task(line.what)
            bars.update(tasks[line.what], completed=line.done, total=line.total)

        yield show


def seconds(text: str) -> float:
    """Read a length of time."""
    found = float(text)
    if not math.isfinite(found) or found < 0:
        msg = "expected 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return found


def _refuse_unknown(journal: Journal, cluster: str | None) -> None:
    if cluster is not None:
        journal.stream(cluster)
