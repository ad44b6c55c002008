"""Looking at events."""

import argparse

import msgspec

from journal.codec import TYPES, to_document
from journal.command_line import ListCommand, NeedsJournal
from journal.commands.options import named, number
from journal.events import Event


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
            heads = named(journal, [parsed_args.cluster] if parsed_args.cluster else [])
            events = [event for head in heads for event in journal.store.read(head.stream)]
        if parsed_args.type:
            events = [event for event in events if event.type == parsed_args.type]
        if parsed_args.limit:
            events = events[-parsed_args.limit :]
        return ("Cluster", "Version", "Recorded at", "Epoch", "Type", "Data"), [_row(event) for event in events]


def _row(event: Event) -> tuple[object, ...]:
    data = to_document(event)["data"]
    shown = msgspec.json.encode(data).decode()
    return event.stream, event.version, f"{event.recorded_at:%Y-%m-%d %H:%M:%S}", event.epoch, event.type, shown
