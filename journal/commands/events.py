"""Looking at events: a list, one of them, and those to come."""

import argparse
import heapq
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from journal.catch_up import CatchUp, Seen
from journal.codec import TYPES, encode_line, to_document
from journal.command_line import OK, PROBLEM, CommandError, FreeCommand, ListCommand, ShowCommand, say
from journal.commands.columns import Data
from journal.commands.options import (
    LookingCommand,
    add_between,
    add_clusters,
    add_limit,
    add_operation,
    is_matched,
    is_of_many,
    is_within,
    last,
    limit,
    matching,
    named,
    newest_first,
    shown,
)
from journal.errors import DAMAGE, JournalError, JournalRegressed, StreamArchived
from journal.events import Completion, Event, Intent
from journal.journal import Journal
from journal.moments import written
from journal.store import Head
from journal.wording import legible, told

LOOK_BACK: Final = 200
"""How many events before a completion its intent is looked for in."""
TAIL: Final = 10
"""How many events are shown before those to come."""
CLOCKS_DIFFER: Final = timedelta(seconds=60)
"""How far the clock of a writer, by which events are recorded, may be ahead of that of the database, by which streams change."""
POLL_SECONDS: Final = 0.5
"""How often is looked for events to come."""


class EventList(LookingCommand, ListCommand):
    """List events, of one cluster in their order, or of several by the time at which they were recorded."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        add_clusters(parser)
        add_operation(parser)
        add_between(parser, "was recorded")
        parser.add_argument("--type", metavar="TYPE", choices=TYPES, help=f"only events of this type: {', '.join(TYPES)}")
        parser.add_argument("--action", metavar="ACTION", help="only intents of this action: create_server, configure, …")
        parser.add_argument("--long", action="store_true", help="show also the epoch, the operation and the data of each")
        add_limit(parser, "last")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of events."""
        with self.opened(parsed_args) as journal:
            latest = _latest_first(journal, parsed_args, self.tell_of_damage)
            events = last((event for event in latest if _is_asked(event, parsed_args)), parsed_args)
            telling = Telling(journal)
            words = [telling.of(event) for event in events]
        more = ("Epoch", "Operation", "Data") if parsed_args.long else ()
        columns = ("Cluster", "Version", "Recorded at", "Type", "What", *more)
        return columns, [_row(event, said, parsed_args) for event, said in zip(events, words, strict=True)]


class EventShow(LookingCommand, ShowCommand):
    """Show one event as it is stored, with its hash."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument("version", metavar="VERSION", type=int, help="the number of the event in its cluster")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the event's fields."""
        with self.opened(parsed_args) as journal:
            (head,) = named(journal, [parsed_args.cluster])
            if not 1 <= parsed_args.version <= head.version:
                msg = f"Cluster {head.stream!r} has no version {parsed_args.version}: its versions are 1 to {head.version}."
                raise CommandError(msg)
            event = next(journal.store.read(head.stream, after=parsed_args.version - 1))
            said = Telling(journal).of(event)
        data = to_document(event)["data"]
        fields = {
            "cluster": event.stream,
            "version": event.version,
            "what": said,
            "recorded_at": shown(event.recorded_at, parsed_args),
            "type": event.type,
            **{name: Data(value) if isinstance(value, dict | list) else value for name, value in data.items()},
            "epoch": event.epoch,
            "operation": str(event.operation or ""),
            "id": str(event.id),
            "hash": event.hash,
        }
        return tuple(fields), tuple(fields.values())


class EventTail(LookingCommand, FreeCommand):
    """Show the latest events, a line each, and with --follow every one that comes, until Ctrl-C.

    Each is shown once and none is missed, in whatever order conductors commit.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which, and how."""
        parser = super().get_parser(prog_name)
        add_clusters(parser)
        parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
        parser.add_argument(
            "-n",
            "--lines",
            metavar="N",
            type=limit,
            default=TAIL,
            help=f"begin with the last N events; 0 for all (default: {TAIL})",
        )
        parser.add_argument("--json", action="store_true", help="print each event as a line of JSON, as `journal export` does")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print events."""
        with self.opened(parsed_args) as journal:
            heads = list(matching(journal, parsed_args.cluster, self.tell_of_damage))
            tell = self.tell_of_damage if is_of_many(parsed_args.cluster) else refuse
            telling = Telling(journal)
            for event in list(islice(merged(journal, heads, tell), parsed_args.lines))[::-1]:
                _print(event, telling, parsed_args)
            if not parsed_args.follow:
                return OK
            seen = {head.stream: Seen(head.version, head.hash) for head in heads}
            catch_up = CatchUp(journal.store, seen, wanted=lambda cluster: is_matched(cluster, parsed_args.cluster))
            while not _reader_is_gone():
                self._print_news(catch_up, telling, parsed_args)
                time.sleep(POLL_SECONDS)
        return OK

    def _print_news(self, catch_up: CatchUp, telling: "Telling", parsed_args: argparse.Namespace) -> None:
        try:
            for event in catch_up.read():
                _print(event, telling, parsed_args)
        except StreamArchived as archived:
            say(str(archived))
        except JournalRegressed as regressed:
            raise CommandError(str(regressed), PROBLEM) from regressed


class Telling:
    """Tells of events in words, and of a completion also what its step was, which stands in an event before it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._intents = dict[UUID, Intent]()

    def of(self, event: Event) -> str:
        """Return an event in words. Those of a stream come in its order."""
        data = event.data
        if isinstance(data, Intent):
            self._intents[data.step] = data
        if isinstance(data, Completion) and data.step not in self._intents:
            before = self._journal.store.read(event.stream, after=max(0, event.version - 1 - LOOK_BACK))
            with suppress(JournalError):  # where the past cannot be read, the step's id has to do
                intents = (each.data for each in islice(before, LOOK_BACK) if isinstance(each.data, Intent))
                self._intents |= {intent.step: intent for intent in intents}
        return told(data, self._intents.get(data.step) if isinstance(data, Completion) else None)


def _reader_is_gone() -> bool:
    """Whether nobody reads any more what is written to standard output."""
    watch = select.poll()
    watch.register(sys.stdout, 0)
    return any(happened & select.POLLERR for _, happened in watch.poll(0))


def _latest_first(journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]) -> Iterator[Event]:
    heads = matching(journal, parsed_args.cluster, tell)
    since = parsed_args.since
    asked = [head for head in heads if since is None or head.changed_at + CLOCKS_DIFFER >= since]
    return merged(journal, asked, tell if is_of_many(parsed_args.cluster) else refuse)


def refuse(error: JournalError) -> None:
    """Raise what is told: it is of what was asked for."""
    raise error


def merged(journal: Journal, heads: Iterable[Head], tell: Callable[[JournalError], None]) -> Iterator[Event]:
    """Yield the events of streams, the latest first, reading of each stream no more than is asked for.

    Those of one stream come in its order; those of several by the time at which they were recorded. Of a stream that
    turns out to be damaged it is told, and the others go on.
    """
    waiting = sorted(heads, key=lambda head: head.changed_at)
    begun: list[tuple[float, str, int, Event, Iterator[Event]]] = []
    while waiting or begun:
        while waiting and (not begun or waiting[-1].changed_at + CLOCKS_DIFFER >= begun[0][3].recorded_at):
            _push(begun, newest_first(journal, waiting.pop()), tell)
        if begun:
            *_, event, older = heapq.heappop(begun)
            yield event
            _push(begun, older, tell)


def _push(
    begun: list[tuple[float, str, int, Event, Iterator[Event]]], events: Iterator[Event], tell: Callable[[JournalError], None]
) -> None:
    try:
        event = next(events, None)
    except DAMAGE as error:
        tell(error)
        return
    if event is not None:
        heapq.heappush(begun, (-event.recorded_at.timestamp(), event.stream, -event.version, event, events))


def _is_asked(event: Event, parsed_args: argparse.Namespace) -> bool:
    data = event.data
    return (
        is_within(event.recorded_at, parsed_args)
        and parsed_args.type in (None, event.type)
        and (parsed_args.operation is None or str(event.operation).startswith(parsed_args.operation))
        and (parsed_args.action is None or (isinstance(data, Intent) and data.action == parsed_args.action))
    )


def _row(event: Event, said: str, parsed_args: argparse.Namespace) -> tuple[object, ...]:
    operation = "" if event.operation is None else str(event.operation)
    more = (event.epoch, operation, Data(to_document(event)["data"])) if parsed_args.long else ()
    return event.stream, event.version, shown(event.recorded_at, parsed_args), event.type, said, *more


def _print(event: Event, telling: Telling, parsed_args: argparse.Namespace) -> None:
    if parsed_args.json:
        line = encode_line(event).decode().rstrip()
    else:
        line = legible(f"{written(event.recorded_at, utc=parsed_args.utc)}  {event.stream}  {event.version}  {telling.of(event)}")
    print(line, flush=True)  # noqa: T201 (the command's output)
