"""Looking at servers and at what they bring along."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress

from journal.command_line import CommandError, ListCommand
from journal.commands.options import LookingCommand, add_at, add_clusters, add_limit, first, refuse_version_of_many, shown
from journal.errors import DAMAGE, JournalError, NoSuchMoment
from journal.events import PlanAction, ResourceKind, VerdictName
from journal.journal import Journal
from projections.cases import Reading
from projections.commands.reading import Read, many, one
from projections.fold import History
from projections.lifecycle import lifecycle
from projections.story import Story, meant, story
from projections.verdicts import Verdict, verdicts


class ServerList(LookingCommand, ListCommand):
    """List servers and what they bring along: how far each has come, and what replay says of it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        add_clusters(parser)
        parser.add_argument("--kind", choices=list(ResourceKind), help="only of this kind")
        parser.add_argument("--verdict", choices=list(VerdictName), help="only with this verdict")
        parser.add_argument("--action", choices=list(PlanAction), help="only those with which a plan would do this")
        add_limit(parser, "first")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of servers and other resources."""
        with self.opened(parsed_args) as journal:
            rows = first(_rows(journal, parsed_args, self.tell_of_damage), parsed_args)
        return ("Cluster", "Kind", "Id", "Name", "Node group", "Lifecycle", "Status", "Verdict", "Action", "Because"), rows


class ServerExplain(LookingCommand, ListCommand):
    """Tell the story of one server, or of what one brings along: every event that led to its verdict, in words."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "id", metavar="ID", help="its id, the beginning of it, or its name; of a create in doubt, the id of its step"
        )
        parser.add_argument("--cluster", metavar="CLUSTER", help="the cluster that it is of, if you know it: that is faster")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the story. Raises CommandError if nothing is known of it."""
        with self.opened(parsed_args) as journal:
            found = list(_stories(journal, parsed_args, self.tell_of_damage))
        if not found:
            who = "No cluster knows" if parsed_args.cluster is None else f"Cluster {parsed_args.cluster!r} does not know"
            msg = f"{who} {parsed_args.id}. `provjournal server list` names what each knows."
            raise CommandError(msg)
        rows = [row for cluster, told in found for row in _told(cluster, told, parsed_args)]
        return ("Cluster", "Version", "Recorded at", "Evidence", "What"), rows


def _rows(
    journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]
) -> Iterator[tuple[object, ...]]:
    for read in many(journal, parsed_args, tell):
        reading = Reading(read.history)
        for verdict in verdicts(read.history):
            if (
                parsed_args.kind in (None, verdict.kind)
                and parsed_args.verdict in (None, verdict.verdict)
                and parsed_args.action in (None, verdict.action)
            ):
                yield _row(read.history, reading, verdict)


def _row(history: History, reading: Reading, verdict: Verdict) -> tuple[object, ...]:
    resource = None if verdict.id is None else history.resources[verdict.id]
    return (
        history.stream,
        str(verdict.kind),
        verdict.id or f"of create {verdict.step}",
        verdict.name or "",
        "" if resource is None else resource.node_group or "",
        "not known to exist" if resource is None else str(lifecycle(reading, resource)),
        "" if resource is None else resource.status or "",
        str(verdict.verdict),
        str(verdict.action),
        verdict.because,
    )


def _stories(
    journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]
) -> Iterator[tuple[str, Story]]:
    for read in _asked(journal, parsed_args, tell):
        for id_ in meant(read.history, parsed_args.id):
            told = story(read.events, id_)
            if told is not None:
                yield read.head.stream, told


def _asked(journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]) -> Iterator[Read]:
    """Yield the cluster that is named, else all that can know the id."""
    if parsed_args.cluster is not None:
        yield one(journal, parsed_args)
        return
    refuse_version_of_many(parsed_args)
    for cluster in journal.store.mentioning(parsed_args.id):
        with suppress(NoSuchMoment):
            try:
                read = one(journal, argparse.Namespace(cluster=cluster, at=parsed_args.at))
            except DAMAGE as error:
                tell(error)
            else:
                yield read


def _told(cluster: str, told: Story, parsed_args: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    for chapter in told.chapters:
        mark = "*" if chapter.is_evidence else ""
        yield cluster, chapter.version, shown(chapter.recorded_at, parsed_args), mark, chapter.what
    yield cluster, told.last_version, None, "", _conclusion(cluster, told)


def _conclusion(cluster: str, told: Story) -> str:
    if told.verdict is None:
        return f"{told.id} of cluster {cluster}: replay says nothing of it"
    verdict = told.verdict
    evidence = ", ".join(map(str, verdict.evidence))
    action = "nothing is to be done" if verdict.action is PlanAction.NONE else f"to {verdict.action}"
    return f"{verdict.kind} {told.id} of cluster {cluster} is {verdict.verdict}, {action}: {verdict.because} (events {evidence})"
