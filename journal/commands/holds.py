"""What an operator says of clusters: hold, release."""

import argparse

from journal.command_line import OK, PROBLEM, FreeCommand, NeedsJournal, counted, say, tracked
from journal.commands.options import add_by, named, newest_first, text
from journal.errors import AppendRefused, DamagedStream, Malformed, OutOfOrder
from journal.events import HoldPlaced, HoldReleased


class _Said(NeedsJournal, FreeCommand):
    """A command by which an operator says something of a cluster, with name and reason."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, who says it, and why."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_by(parser)
        parser.add_argument("--reason", metavar="TEXT", type=text, required=True, help="why, for whoever reads it later")
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
            (head,) = named(journal, [parsed_args.cluster])
            holds = (event.data for event in newest_first(journal, head) if isinstance(event.data, HoldPlaced | HoldReleased))
            if not isinstance(next(holds, None), HoldPlaced):
                say(f"cluster {parsed_args.cluster} is not held: there is nothing to release")
                return OK
            event = journal.release(parsed_args.cluster, by=parsed_args.by, reason=parsed_args.reason)
        say(f"cluster {parsed_args.cluster} is released since version {event.version}")
        return OK


class JournalRestored(NeedsJournal, FreeCommand):
    """Hold every cluster. To be run after any restore: the journal may not know all that exists in the cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add who says it, and why."""
        parser = super().get_parser(prog_name)
        add_by(parser)
        restored = "the journal was restored from a backup"
        parser.add_argument(
            "--reason", metavar="TEXT", default=restored, help=f"why, for whoever reads it later (default: {restored})"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Place a hold on each cluster, whatever the others are like."""
        held = 0
        problems: list[str] = []
        with self.opened(parsed_args) as journal:
            damaged: list[DamagedStream] = []
            heads = list(journal.store.heads(damaged=damaged))
            problems += [f"cluster {damage.stream!r} could not be held: {damage}" for damage in damaged]
            for head in tracked(heads, "holding", len(heads)):
                try:
                    journal.hold(head.stream, by=parsed_args.by, reason=parsed_args.reason)
                    held += 1
                except (AppendRefused, DamagedStream, Malformed, OutOfOrder) as error:
                    problems.append(f"cluster {head.stream!r} could not be held: {error}")
        for problem in problems:
            say(problem)
        say(f"{counted(held, 'cluster')} held: nothing is deleted in them until `provjournal release CLUSTER --reason …`")
        return PROBLEM if problems else OK
