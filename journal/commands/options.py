"""What commands ask for alike: filters, moments, times, and who says so."""

import argparse
import getpass
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Final, TypeVar

from journal.command_line import CommandError, NeedsJournal, say
from journal.commands.columns import Time
from journal.errors import DamagedStream, JournalError, StreamArchived, UnknownStream
from journal.events import Event
from journal.journal import Journal
from journal.moments import Moment, length_of, time_of, written
from journal.store import Head

PAGE: Final = 100
"""How many rows a list shows unless more are asked for."""
_FIRST_PAGE: Final = 20
_LAST_PAGE: Final = 1000
"""How many events are read at once: first few, as there may be many streams; then twice as many each time."""
_WILDCARDS: Final = frozenset("*?[")

Item = TypeVar("Item")


class LookingCommand(NeedsJournal):
    """A command that only looks: at the clusters that are named, at times of one's own zone or of UTC."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add how times are shown."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--utc", action="store_true", help="show times in UTC, not in the time zone of this machine")
        return parser

    @contextmanager
    def opened(self, parsed_args: argparse.Namespace) -> Iterator[Journal]:
        """Open the journal. Raises CommandError where nothing can have happened between the times that were given."""
        since, until = getattr(parsed_args, "since", None), getattr(parsed_args, "until", None)
        if since is not None and until is not None and since > until:
            msg = f"--since {written(since)} is after --until {written(until)}."
            raise CommandError(msg)
        with super().opened(parsed_args) as journal:
            yield journal


def shown(time: datetime | None, parsed_args: argparse.Namespace) -> Time | None:
    """Return a time as a cell of a table."""
    return None if time is None else Time(time, utc=parsed_args.utc)


def add_by(parser: argparse.ArgumentParser) -> None:
    """Add who says so."""
    parser.add_argument("--by", metavar="NAME", type=text, default=getpass.getuser(), help="who says so (default: you)")


def add_clusters(parser: argparse.ArgumentParser) -> None:
    """Add which clusters a list is of."""
    parser.add_argument("--cluster", metavar="ID", help="only this cluster, or those that match a pattern such as 'prod-*'")


def add_operation(parser: argparse.ArgumentParser) -> None:
    """Add which operation a list is of."""
    parser.add_argument("--operation", metavar="ID", help="only of this operation; the beginning of its id will do")


def add_between(parser: argparse.ArgumentParser, what: str) -> None:
    """Add from when to when; `what`: what happened then."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=time,
        help=f"only what {what} then or later: 2026-11-25T14:30, 2026-11-25T13:30Z, 2h (ago)",
    )
    parser.add_argument("--until", metavar="TIME", type=time, help=f"only what {what} then or before")


def add_limit(parser: argparse.ArgumentParser, which: str) -> None:
    """Add how many rows a list has at most."""
    parser.add_argument(
        "--limit", metavar="N", type=limit, default=PAGE, help=f"only the {which} N; 0 for all of them (default: {PAGE})"
    )


def add_at(parser: argparse.ArgumentParser) -> None:
    """Add the moment of which a command tells."""
    parser.add_argument(
        "--at",
        metavar="VERSION|TIME",
        type=moment,
        help="as it was then: at this version of the cluster, or at this time (2026-11-25T14:30, 2026-11-25T13:30Z, 2h ago)",
    )


def time(text: str) -> datetime:
    """Return a time: an argparse type."""
    return _parsed(time_of, text)


def moment(text: str) -> Moment:
    """Return a moment of the past: an argparse type."""
    found = _parsed(Moment.read, text)
    if found.time is not None and found.time > datetime.now(UTC):
        msg = f"{text} is in the future"
        raise argparse.ArgumentTypeError(msg)
    return found


def length(text: str) -> timedelta:
    """Return a length of time: an argparse type."""
    return _parsed(lambda given, _: length_of(given), text)


def _parsed(read: Callable[[str, datetime], Item], text: str) -> Item:
    try:
        return read(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def text(given: str) -> str:
    """Return a text that says something: an argparse type."""
    if not given.strip():
        msg = "expected a text that is not empty"
        raise argparse.ArgumentTypeError(msg)
    return given


def number(text: str) -> int:
    """Return a number of at least 1: an argparse type."""
    count = int(text)
    if count < 1:
        msg = "expected 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return count


def limit(text: str) -> int | None:
    """Return how many rows there may be, None for any number: an argparse type."""
    count = int(text)
    if count < 0:
        msg = "expected 0, for all of them, or more"
        raise argparse.ArgumentTypeError(msg)
    return count or None


def is_within(time: datetime, parsed_args: argparse.Namespace) -> bool:
    """Whether something that happened at this time is asked for."""
    since, until = parsed_args.since, parsed_args.until
    return (since is None or time >= since) and (until is None or time <= until)


def first(items: Iterable[Item], parsed_args: argparse.Namespace) -> list[Item]:
    """Return as many of the items as are asked for, and say if there are more."""
    if parsed_args.limit is None:
        return list(items)
    found = list(islice(items, parsed_args.limit + 1))
    if len(found) > parsed_args.limit:
        say(f"only the first {parsed_args.limit}: --limit N shows more, --limit 0 all")
    return found[: parsed_args.limit]


def last(items: Iterable[Item], parsed_args: argparse.Namespace) -> list[Item]:
    """Return as many of the items as are asked for, which come latest first, in their order; say if there are more."""
    if parsed_args.limit is None:
        return list(items)[::-1]
    found = list(islice(items, parsed_args.limit + 1))
    if len(found) > parsed_args.limit:
        say(f"only the last {parsed_args.limit}: --limit N shows more, --limit 0 all")
    return found[: parsed_args.limit][::-1]


def matching(journal: Journal, pattern: str | None, tell: Callable[[JournalError], None]) -> Iterator[Head]:
    """Yield the guard rows of all clusters, of one, or of those that match a pattern; of several, tell of those that are damaged.

    Raises UnknownStream, StreamArchived or DamagedStream for one that is named.
    """
    if not is_of_many(pattern):
        yield from named(journal, [str(pattern)])
        return
    damaged: list[DamagedStream] = []
    for head in chain(journal.store.heads(damaged=damaged), (None,)):
        for damage in damaged:
            if is_matched(damage.stream, pattern):
                tell(damage)
        damaged.clear()
        if head is not None and is_matched(head.stream, pattern):
            yield head


def is_of_many(pattern: str | None) -> bool:
    """Whether more than one cluster can be meant."""
    return pattern is None or is_pattern(pattern)


def is_pattern(text: str) -> bool:
    """Whether a text can stand for more than one cluster."""
    return bool(_WILDCARDS.intersection(text))


def is_matched(cluster: str, pattern: str | None) -> bool:
    """Whether a cluster is asked for by its id, by a pattern, or because all are."""
    return pattern is None or cluster == pattern or fnmatchcase(cluster, pattern)


def named(journal: Journal, clusters: list[str]) -> list[Head]:
    """Return the guard rows of the clusters that were named, or of all.

    Raises UnknownStream or StreamArchived.
    """
    heads = []
    for cluster in clusters:
        head = journal.store.head(cluster)
        if head is None:
            raise UnknownStream(cluster)
        if head.archived_to is not None:
            raise StreamArchived(cluster, head.archived_to)
        heads.append(head)
    return heads if clusters else list(journal.store.heads())


def refuse_version_of_many(parsed_args: argparse.Namespace) -> None:
    """Raise CommandError where a version is asked for, and more than one cluster can be meant."""
    if is_of_many(parsed_args.cluster) and parsed_args.at is not None and parsed_args.at.version is not None:
        msg = f"--at {parsed_args.at.text} is a version, and each cluster has its own: name one with --cluster, or give a time."
        raise CommandError(msg)


def newest_first(journal: Journal, head: Head) -> Iterator[Event]:
    """Yield the events of a stream up to its head, the last one first, reading little more than is asked for."""
    until, page = head.version, _FIRST_PAGE
    while until > 0:
        after = max(0, until - page)
        events = list(islice(journal.store.read(head.stream, after=after), until - after))
        yield from reversed(events)
        until, page = after, min(2 * page, _LAST_PAGE)
