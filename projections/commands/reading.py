"""How commands read clusters: as they are, or as they were at a moment."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress

import attrs

from journal.commands.options import is_of_many, matching, named, refuse_version_of_many
from journal.errors import DAMAGE, JournalError, NoSuchMoment
from journal.events import Event
from journal.journal import Journal
from journal.moments import events_at
from journal.store import Head
from projections.fold import History, fold


@attrs.frozen
class Read:
    """One cluster as it was read; `head` is that of now, whatever the moment."""

    head: Head
    events: tuple[Event, ...]
    history: History
    is_past: bool
    """Whether it is shown as it was at a moment. Who was alive then is not known."""

    @property
    def owner_alive(self) -> bool:
        """Whether somebody is at work on it now."""
        return self.head.owner_alive and not self.is_past


def one(journal: Journal, parsed_args: argparse.Namespace) -> Read:
    """Return the cluster that is named. Raises UnknownStream, StreamArchived, NoSuchMoment and what `Stream.load` raises."""
    (head,) = named(journal, [parsed_args.cluster])
    return _read(journal, head, parsed_args)


def many(journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]) -> Iterator[Read]:
    """Yield the clusters that are asked for, without those that did not exist yet at the moment that is asked for.

    Of those that are damaged it is told. Where one is named, raises what `one` raises.
    """
    if not is_of_many(parsed_args.cluster):
        yield one(journal, parsed_args)
        return
    refuse_version_of_many(parsed_args)
    for head in matching(journal, parsed_args.cluster, tell):
        with suppress(NoSuchMoment):
            try:
                read = _read(journal, head, parsed_args)
            except DAMAGE as error:
                tell(error)
            else:
                yield read


def _read(journal: Journal, head: Head, parsed_args: argparse.Namespace) -> Read:
    events = journal.stream(head.stream).events
    if parsed_args.at is not None:
        events = tuple(events_at(events, parsed_args.at))
    return Read(head, events, fold(events), is_past=parsed_args.at is not None)
