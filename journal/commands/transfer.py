"""Copying clusters from the journal into files, and from files into the journal."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, takewhile
from pathlib import Path

import attrs

from journal.anonymise import Anonymiser
from journal.codec import FIRST_HASH, encode_line
from journal.command_line import OK, CommandError, FreeCommand, NeedsJournal, counted, say, tracked
from journal.commands.options import named
from journal.commands.output import output
from journal.errors import EventIdReused
from journal.events import Event
from journal.files import read_file
from journal.journal import Journal
from journal.redaction import redacted
from journal.store import EventStore, Head, chained
from journal.verify import checked


class JournalExport(NeedsJournal, FreeCommand):
    """Write clusters as JSON Lines, in the interchange format, with their hashes.

    With --redact or --anonymise events are written otherwise than they stand in the journal, and get other hashes. Such a
    file is for whoever must not see what was taken out, and for tests. It is no backup, and cannot be restored over the
    original.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to export and where to."""
        parser = super().get_parser(prog_name)
        parser.add_argument("clusters", nargs="*", metavar="CLUSTER", help="which ones (default: all)")
        parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to (default: standard output)")
        parser.add_argument(
            "--redact",
            action="store_true",
            help="take out of requests and reasons what counts as a secret now: some may be older than the rule; "
            "from the first event that this changes on, a cluster's hashes are others than the journal's",
        )
        parser.add_argument(
            "--anonymise",
            action="store_true",
            help="put numbered words in place of ids, names and texts, and empty objects in place of requests, so that no "
            "secret stays either; structure, times, statuses and the order of ids stay, and with them the plan",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Export."""
        with self.opened(parsed_args) as journal:
            heads = named(journal, parsed_args.clusters)
            rewrite = _rewriting(parsed_args, journal.store, heads)
            count = changed = 0
            with output(parsed_args.output) as out:
                for head in tracked(heads, "exporting", len(heads)):
                    for event, written in _rewritten(journal.store, head, rewrite):
                        out.write(encode_line(written))
                        count += 1
                        changed += written.data != event.data
                out.flush()
        if parsed_args.output:
            say(f"{counted(count, 'event')} of {counted(len(heads), 'cluster')} exported to {parsed_args.output}")
        if parsed_args.anonymise:
            say("anonymised: the file cannot be restored over the original")
        elif parsed_args.redact:
            say(_redacted(changed, count))
        return OK


Rewrite = Callable[[Event], Event]


def _rewriting(parsed_args: argparse.Namespace, store: EventStore, heads: list[Head]) -> Rewrite | None:
    """Return what changes each event before it is written; None if nothing does. Words are given once all ids are known."""
    if parsed_args.anonymise:
        events = chain.from_iterable(_until(store, head) for head in tracked(heads, "looking for names", len(heads)))
        return Anonymiser.of(events).anonymised
    if parsed_args.redact:
        return lambda event: attrs.evolve(event, data=redacted(event.data))
    return None


def _rewritten(store: EventStore, head: Head, rewrite: Rewrite | None) -> Iterator[tuple[Event, Event]]:
    """Yield the events of a stream, each with what is written of it; hashes are made anew if anything may be changed."""
    if rewrite is None:
        yield from ((event, event) for event in checked(store, head))
        return
    previous = FIRST_HASH
    for event in _until(store, head):
        (written,) = chained(previous, (rewrite(event),))
        previous = str(written.hash)
        yield event, written


def _until(store: EventStore, head: Head) -> Iterator[Event]:
    """Yield the events of a stream up to its guard row as it was read: two readings are of the same events."""
    return takewhile(lambda event: event.version <= head.version, checked(store, head))


def _redacted(changed: int, count: int) -> str:
    if not changed:
        return "nothing was taken out: the file is the same as without --redact"
    return (
        f"secrets were taken out of {changed} of {counted(count, 'event')}: the file's hashes differ from the journal's from "
        "there on, so it is no backup and cannot be restored over the original"
    )


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
            streams = _other_streams(path, {head.stream for head in archived}) if len(archived) < len(last) else {}
            _check_ids_differ(path, streams)
            todo = {stream: _missing(journal.store, stream, events) for stream, events in streams.items()}
            _refuse_live_owners(journal, todo)
            _check_ids_are_new(journal, todo)
            for head in tracked(archived, "bringing back", len(archived)):
                journal.store.restore(head.stream, partial(_read_stream, path, head.stream))
            for stream in tracked(todo, "importing", len(todo)):
                _import(journal.store, streams[stream], len(todo[stream]))
        if archived:
            say(f"{counted(len(archived), 'archived cluster')} brought back")
        count = sum(map(len, todo.values()))
        there = sum(map(len, streams.values())) - count
        if streams or not archived:
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


def _refuse_live_owners(journal: Journal, todo: dict[str, list[Event]]) -> None:
    """Raise OwnerAlive if a cluster that would be continued has an owner that lives: it works on what it has read."""
    for stream, events in todo.items():
        if events:
            journal.refuse_live_owner(stream, even_own=True)


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
    """Append what is missing of a stream in one transaction: half a history would have a plan of its own."""
    if not missing:
        return
    before = events[-missing - 1] if missing < len(events) else None
    previous = FIRST_HASH if before is None or before.hash is None else before.hash
    store.append(events[-missing:], previous_hash=previous, expected_epoch=1 if before is None else before.epoch)
