"""Commands on the journal itself: its events, and moving, checking and upgrading it."""

import argparse
import getpass
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import msgspec

from journal.codec import FIRST_HASH, TYPES, encode_line, to_document
from journal.command_line import (
    OK,
    PROBLEM,
    CommandError,
    FreeCommand,
    ListCommand,
    NeedsJournal,
    ShowCommand,
    counted,
    say,
    tracked,
)
from journal.errors import AppendRefused, EventIdReused, Malformed, OutOfOrder, UnknownStream
from journal.events import Event
from journal.files import read_file
from journal.journal import Journal
from journal.store import EventStore
from journal.verify import Damage, verify_stream

IMPORTED_AT_ONCE = 1000
"""Events in one transaction of an import."""


class EventList(NeedsJournal, ListCommand):
    """List events, of one cluster or of all."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--cluster", metavar="ID", help="only this cluster's")
        parser.add_argument("--type", metavar="TYPE", choices=TYPES, help="only events of this type")
        parser.add_argument("--limit", type=number, metavar="N", help="only the last N")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of events."""
        with self.opened(parsed_args) as journal:
            streams = _named(journal, [parsed_args.cluster] if parsed_args.cluster else [])
            events = [event for stream in streams for event in journal.store.read(stream)]
        if parsed_args.type:
            events = [event for event in events if event.type == parsed_args.type]
        if parsed_args.limit:
            events = events[-parsed_args.limit :]
        return ("Cluster", "Version", "Recorded at", "Epoch", "Type", "Data"), [_row(event) for event in events]


class _Said(NeedsJournal, FreeCommand):
    """A command by which an operator says something of a cluster, with name and reason."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, who says it, and why."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        _add_by(parser)
        parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for whoever reads it later")
        return parser


class Hold(_Said):
    """Hold a cluster: until the hold is released nothing is deleted in it, not even for a user's deletion."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Place the hold."""
        with self.opened(parsed_args) as journal:
            event = journal.hold(parsed_args.cluster, by=parsed_args.by, reason=parsed_args.reason)
        say(f"cluster {parsed_args.cluster} is held since version {event.version}: nothing is deleted in it")
        return OK


class Release(_Said):
    """Release a held cluster: what its plan says may be deleted again."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Lift the hold."""
        with self.opened(parsed_args) as journal:
            event = journal.release(parsed_args.cluster, by=parsed_args.by, reason=parsed_args.reason)
        say(f"cluster {parsed_args.cluster} is released since version {event.version}")
        return OK


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
            streams = _named(journal, parsed_args.clusters)
            out = _output(parsed_args.output, stack)
            count = 0
            for stream in tracked(streams, "exporting", len(streams)):
                for event in journal.store.read(stream):
                    out.write(encode_line(event))
                    count += 1
            out.flush()
        if parsed_args.output:
            say(f"{counted(count, 'event')} of {counted(len(streams), 'cluster')} exported to {parsed_args.output}")
        return OK


class JournalImport(NeedsJournal, FreeCommand):
    """Read clusters from a file of JSON Lines into the journal. All of it is checked before anything is changed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file."""
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", type=Path)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Import."""
        streams: dict[str, list[Event]] = {}
        for event in tracked(read_file(parsed_args.file), "reading"):
            streams.setdefault(event.stream, []).append(event)
        _check_ids_differ(parsed_args.file, streams)
        with self.opened(parsed_args) as journal:
            todo = {stream: _missing(journal.store, stream, events) for stream, events in streams.items()}
            _check_ids_are_new(journal, todo)
            for stream in tracked(todo, "importing", len(todo)):
                _import(journal.store, streams[stream], len(todo[stream]))
        count = sum(map(len, todo.values()))
        there = sum(map(len, streams.values())) - count
        say(f"{counted(count, 'event')} of {counted(len(streams), 'cluster')} imported; {there} were there already")
        return OK


class JournalVerify(NeedsJournal, FreeCommand):
    """Check that no stored event was changed, removed or moved. Exit code 1 if one was."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Verify."""
        damages: list[Damage] = []
        with self.opened(parsed_args) as journal:
            heads = list(journal.store.heads())
            steps = (step for head in heads for step in verify_stream(journal.store, head))
            count = 0
            for damage in tracked(steps, "verifying", sum(head.version for head in heads)):
                if damage is None:
                    count += 1
                else:
                    damages.append(damage)
        for damage in damages:
            print(f"cluster {damage.stream!r}, version {damage.version}: {damage.what}")  # noqa: T201 (the command's output)
        state = f"{len(damages)} of them damaged" if damages else "all as they were written"
        print(f"{counted(count, 'event')} of {counted(len(heads), 'cluster')} verified, {state}")  # noqa: T201 (the command's output)
        return PROBLEM if damages else OK


class JournalRestored(NeedsJournal, FreeCommand):
    """Hold every cluster. To be run after any restore: the journal may have lost history, and lacks VMs that exist."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add who says it, and why."""
        parser = super().get_parser(prog_name)
        _add_by(parser)
        restored = "the journal was restored from a backup"
        parser.add_argument(
            "--reason", metavar="TEXT", default=restored, help=f"why, for whoever reads it later (default: {restored})"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Place a hold on each cluster, whatever the others are like."""
        held, problems = 0, []
        with self.opened(parsed_args) as journal:
            heads = list(journal.store.heads())
            for head in tracked(heads, "holding", len(heads)):
                try:
                    journal.hold(head.stream, by=parsed_args.by, reason=parsed_args.reason)
                    held += 1
                except (AppendRefused, Malformed, OutOfOrder) as error:
                    problems.append(f"cluster {head.stream!r} could not be held: {error}")
        for problem in problems:
            say(problem)
        say(f"{counted(held, 'cluster')} held: nothing is deleted in them until `provjournal release CLUSTER --reason …`")
        return PROBLEM if problems else OK


class JournalStats(NeedsJournal, ShowCommand):
    """Show how much there is: clusters, events, what is unfinished and since when, and the size on disk."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the figures. No history is read for them."""
        with self.opened(parsed_args) as journal:
            clusters = events = operations = owned = 0
            for head in journal.store.heads():
                clusters += 1
                events += head.version
                operations += head.operation is not None
                owned += head.owner_alive
            begun = [step.recorded_at for step in journal.store.unfinished_steps()]
            fields = {
                "journal": str(journal.id),
                "clusters": clusters,
                "events": events,
                "unfinished_operations": operations,
                "unfinished_operations_with_a_live_owner": owned,
                "unfinished_steps": len(begun),
                "oldest_unfinished_step": f"{min(begun):%Y-%m-%dT%H:%M:%SZ}" if begun else None,
                "size_bytes": journal.store.size_bytes(),
            }
        return tuple(fields), tuple(fields.values())


class JournalUpgrade(NeedsJournal, FreeCommand):
    """Make the journal's tables, or bring them up to date."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Upgrade."""
        with Journal.open(self.journal_url(parsed_args), upgrade=True, strict=parsed_args.strict) as journal:
            say(f"the journal {journal.id} is up to date")
        return OK


def _row(event: Event) -> tuple[object, ...]:
    data = to_document(event)["data"]
    shown = msgspec.json.encode(data).decode()
    return event.stream, event.version, f"{event.recorded_at:%Y-%m-%d %H:%M:%S}", event.epoch, event.type, shown


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="who says so (default: you)")


def number(text: str) -> int:
    """Return a number of at least 1: an argparse type."""
    count = int(text)
    if count < 1:
        msg = "expected 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return count


def _named(journal: Journal, clusters: list[str]) -> list[str]:
    """Return the clusters that were named, or all. Raises UnknownStream."""
    for cluster in clusters:
        if journal.store.head(cluster) is None:
            raise UnknownStream(cluster)
    return clusters or [head.stream for head in journal.store.heads()]


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
