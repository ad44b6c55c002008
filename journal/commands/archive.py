"""Moving deleted clusters out of the journal."""

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Final

from journal.archive import archive_stream, finish_archiving, reason_to_keep
from journal.command_line import OK, PROBLEM, CommandError, FreeCommand, NeedsJournal, counted, print_error, say, tracked
from journal.commands.options import named, number
from journal.errors import AppendRefused, DamagedStream
from journal.store import EventStore, Head

QUIET: Final = timedelta(days=30)
"""How long a cluster is unchanged before it is archived."""


def days(text: str) -> timedelta:
    """Return a number of days of at least 1: an argparse type."""
    try:
        return timedelta(days=number(text))
    except OverflowError as error:
        msg = "expected fewer days"
        raise argparse.ArgumentTypeError(msg) from error


class JournalArchive(NeedsJournal, FreeCommand):
    """Move deleted clusters out of the journal, each into a compressed file with its hashes. The only way to remove events.

    A cluster is kept if it was not deleted, if an operation on it is unfinished or owned, or if it is held. Its name stays
    taken. `journal verify FILE` checks a file, `journal import FILE` brings its cluster back.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to archive and where to."""
        parser = super().get_parser(prog_name)
        parser.add_argument("clusters", nargs="*", metavar="CLUSTER", help="which ones (default: all)")
        parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="where to")
        parser.add_argument(
            "--older-than",
            type=days,
            metavar="DAYS",
            default=QUIET,
            help="without CLUSTER, only those unchanged for so long; what lands late is accounted for until then "
            f"(default: {QUIET.days})",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be archived, and change nothing")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Archive."""
        problems: list[str] = []
        with self.opened(parsed_args) as journal:
            if not parsed_args.dry_run:
                _make_folder(parsed_args.output)
                problems += _finish(journal.store)
            heads = named(journal, parsed_args.clusters)
            quiet = timedelta(0) if parsed_args.clusters else parsed_args.older_than
            for head in tracked(heads, "archiving", len(heads)):
                reason = reason_to_keep(journal.store, head, quiet)
                if reason is None:
                    problems += _archive(journal.store, head, None if parsed_args.dry_run else parsed_args.output)
                elif parsed_args.clusters:
                    problems.append(f"cluster {head.stream!r} is kept: {reason}")
        if not heads and not problems:
            say("there is no cluster to archive")
        for problem in problems:
            print_error(problem)
        return PROBLEM if problems else OK


def _finish(store: EventStore) -> list[str]:
    """Finish what an earlier run left. Return what went wrong."""
    left = list(finish_archiving(store))
    if count := left.count(None):
        say(f"{counted(count, 'cluster')} of an earlier run, which was interrupted, now removed")
    return [problem for problem in left if problem is not None]


def _archive(store: EventStore, head: Head, folder: Path | None) -> list[str]:
    """Archive a cluster, and say so on standard output. Return what went wrong."""
    events = counted(head.version, "event")
    if folder is None:
        print(f"cluster {head.stream!r}, {events}, would be archived")  # noqa: T201 (the command's output)
        return []
    try:
        path = archive_stream(store, head, folder)
    except (AppendRefused, DamagedStream) as error:
        return [str(error)]
    except OSError as error:
        msg = f"{folder}: cannot be written to: {error.strerror}. Cluster {head.stream!r} and those after it are kept."
        raise CommandError(msg) from error
    print(f"cluster {head.stream!r}, {events}, is archived in {path}")  # noqa: T201 (the command's output)
    return []


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path}: cannot be made: {error.strerror}"
        raise CommandError(msg) from error
