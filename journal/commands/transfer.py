"""Moving clusters out of the journal and into it."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO

from journal.archive import archive_stream, finish_archiving, reason_to_keep
from journal.codec import FIRST_HASH, encode_line
from journal.command_line import ERRORS, OK, PROBLEM, CommandError, FreeCommand, NeedsJournal, counted, say, tracked
from journal.commands.options import named, number
from journal.errors import AppendRefused, DamagedStream, EventIdReused
from journal.events import Event
from journal.files import read_file
from journal.journal import Journal
from journal.store import EventStore, Head
from journal.verify import checked

OLD_DAYS = 30
"""How long a cluster is unchanged before it is archived."""
IMPORTED_AT_ONCE = 1000
"""Events in one transaction of an import."""


class JournalExport(NeedsJournal, FreeCommand):
    """Write clusters as JSON Lines, in the interchange format, with their hashes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to export and where to."""
        parser = super().get_parser(prog_name)
        parser.add_argument("clusters", nargs="*", metavar="CLUSTER", help="which ones (default: all)")
        parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to (default: standard output)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Export."""
        with self.opened(parsed_args) as journal, ExitStack() as stack:
            heads = named(journal, parsed_args.clusters)
            out = _output(parsed_args.output, stack)
            count = 0
            for head in tracked(heads, "exporting", len(heads)):
                for event in checked(journal.store, head):
                    out.write(encode_line(event))
                    count += 1
            out.flush()
        if parsed_args.output:
            say(f"{counted(count, 'event')} of {counted(len(heads), 'cluster')} exported to {parsed_args.output}")
        return OK


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
            type=number,
            metavar="DAYS",
            default=OLD_DAYS,
            help="without CLUSTER, only those unchanged for so long; VMs that land late are accounted for until then "
            "(default: %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be archived, and change nothing")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Archive."""
        problems: list[str] = []
        with self.opened(parsed_args) as journal:
            if not parsed_args.dry_run:
                _make_folder(parsed_args.output)
                if count := finish_archiving(journal.store):
                    say(f"{counted(count, 'cluster')} of an earlier run, which was interrupted, now removed")
            heads = named(journal, parsed_args.clusters)
            old = timedelta(days=0 if parsed_args.clusters else parsed_args.older_than)
            for head in tracked(heads, "archiving", len(heads)):
                if head.read_at - head.changed_at < old:
                    continue
                reason = reason_to_keep(journal.store, head)
                if reason is None:
                    problems += _archive(journal.store, head, None if parsed_args.dry_run else parsed_args.output)
                elif parsed_args.clusters:
                    problems.append(f"cluster {head.stream!r} is kept: {reason}")
        for problem in problems:
            ERRORS.print(f"provjournal: {problem}", markup=False)
        return PROBLEM if problems else OK


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


class JournalImport(NeedsJournal, FreeCommand):
    """Read clusters from a file of JSON Lines into the journal. All of it is checked before anything is changed.

    The file may be compressed (gzip). Clusters that were archived come back as they were.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file."""
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", type=Path)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Import."""
        path: Path = parsed_args.file
        with self.opened(parsed_args) as journal:
            last = {event.stream: event for event in tracked(read_file(path), "checking")}
            archived = [head for head in journal.store.archived() if head.stream in last]
            _check_ends(path, archived, last)
            for head in tracked(archived, "restoring", len(archived)):
                journal.store.restore(head.stream, partial(_read_stream, path, head.stream))
            if archived:
                say(f"{counted(len(archived), 'archived cluster')} brought back")
            streams = _other_streams(path, {head.stream for head in archived}) if len(archived) < len(last) else {}
            _check_ids_differ(path, streams)
            todo = {stream: _missing(journal.store, stream, events) for stream, events in streams.items()}
            _check_ids_are_new(journal, todo)
            for stream in tracked(todo, "importing", len(todo)):
                _import(journal.store, streams[stream], len(todo[stream]))
        count = sum(map(len, todo.values()))
        there = sum(map(len, streams.values())) - count
        say(f"{counted(count, 'event')} of {counted(len(streams), 'cluster')} imported; {there} were there already")
        return OK


def _check_ends(path: Path, archived: list[Head], last: dict[str, Event]) -> None:
    for head in archived:
        event = last[head.stream]
        if (event.version, event.hash) != (head.version, head.hash):
            msg = (
                f"{path}: cluster {head.stream!r} ends with version {event.version}, but what was archived to "
                f"{head.archived_to} ends otherwise, with version {head.version}. Nothing was imported."
            )
            raise CommandError(msg)


def _read_stream(path: Path, stream: str) -> Iterator[Event]:
    return (event for event in read_file(path) if event.stream == stream)


def _other_streams(path: Path, but: set[str]) -> dict[str, list[Event]]:
    streams: dict[str, list[Event]] = {}
    for event in tracked(read_file(path), "reading"):
        if event.stream not in but:
            streams.setdefault(event.stream, []).append(event)
    return streams


def _output(path: Path | None, stack: ExitStack) -> IO[bytes]:
    if path is None:
        return sys.stdout.buffer
    try:
        return stack.enter_context(path.open("wb"))
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}"
        raise CommandError(msg) from error


def _check_ids_differ(path: Path, streams: dict[str, list[Event]]) -> None:
    twice = [id_ for id_, count in Counter(event.id for events in streams.values() for event in events).items() if count > 1]
    if twice:
        msg = f"{path}: event id {twice[0]} stands in two clusters; each event has its own. Nothing was imported."
        raise CommandError(msg)


def _missing(store: EventStore, stream: str, events: list[Event]) -> list[Event]:
    """Return the events that the store lacks. Raises CommandError if what it holds is not the beginning of these."""
    stored = [event.hash for event in store.read(stream)]
    given = [event.hash for event in events]
    common = min(len(stored), len(given))
    if stored[:common] != given[:common]:
        version = next(i for i in range(common) if stored[i] != given[i]) + 1
        msg = f"cluster {stream!r} is in the journal with another version {version} than in the file. Nothing was imported."
        raise CommandError(msg)
    return events[common:]


def _check_ids_are_new(journal: Journal, todo: dict[str, list[Event]]) -> None:
    new = {event.id: stream for stream, events in todo.items() for event in events}
    if not new:
        return
    for head in journal.store.heads():
        for event in journal.store.read(head.stream):
            if event.id in new:
                msg = f"{EventIdReused(new[event.id], event.id)} Nothing was imported."
                raise CommandError(msg)


def _import(store: EventStore, events: list[Event], missing: int) -> None:
    for start in range(len(events) - missing, len(events), IMPORTED_AT_ONCE):
        before = events[start - 1] if start else None
        previous = FIRST_HASH if before is None or before.hash is None else before.hash
        epoch = 1 if before is None else before.epoch
        store.append(events[start : start + IMPORTED_AT_ONCE], previous_hash=previous, expected_epoch=epoch)
