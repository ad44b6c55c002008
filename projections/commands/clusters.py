"""Looking at clusters."""

import argparse
from collections import Counter

from journal.command_line import ListCommand, ShowCommand
from journal.commands.columns import Counts, Listed
from journal.commands.options import LookingCommand, add_at, add_between, add_clusters, add_limit, first, is_within, shown
from journal.events import PlanAction
from journal.moments import lasting
from journal.wording import subject
from projections.advice import advice
from projections.commands.reading import Read, many, one
from projections.fold import Operation, Step
from projections.status import cluster_status, past_status, shown_status
from projections.verdicts import Verdict, verdicts


class ClusterList(LookingCommand, ListCommand):
    """List the clusters: what they are now, what is unfinished, and who is at work."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        add_clusters(parser)
        parser.add_argument("--unfinished", action="store_true", help="only clusters with an unfinished operation")
        add_between(parser, "changed last")
        add_limit(parser, "first")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of clusters."""
        with self.opened(parsed_args) as journal:
            asked = (read for read in many(journal, parsed_args, self.tell_of_damage) if _is_asked(read, parsed_args))
            rows = [_row(read, parsed_args) for read in first(asked, parsed_args)]
        columns = ("Cluster", "Status", "Operation", "Unfinished steps", "Verdicts", "Owner", "Lease", "Changed at", "Version")
        return columns, rows


class ClusterShow(LookingCommand, ShowCommand):
    """Show one cluster at a glance: how it stands, what is unfinished, what would be deleted, and what to do next."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and the moment."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the cluster's fields."""
        with self.opened(parsed_args) as journal:
            read = one(journal, parsed_args)
        history, found = read.history, verdicts(read.history)
        fields = {
            "cluster": history.stream,
            "status": _status(read),
            "next": "" if read.is_past else advice(history, found, owner_alive=read.owner_alive),
            "operation": _operation(history.unfinished),
            "began_at": None if history.unfinished is None else shown(history.unfinished.started_at, parsed_args),
            "furthest_stage": str(history.unfinished.furthest_stage or "none") if history.unfinished else "",
            "unfinished_steps": Listed(map(_step, history.unfinished_steps), separator="\n"),
            "owner": _owner(read),
            "lease": _lease(read),
            "last_error": history.errors[-1] if history.errors else "",
            "hold": f"{history.hold.by}: {history.hold.reason}" if history.hold else "",
            "deletion_requested": "yes" if history.deletion_asked else "no",
            "verdicts": _counts(found),
            "resources": Listed(map(_resource, found), separator="\n"),
            "would_become": str(cluster_status(history, found)),
            "cloud": history.cloud,
            "version": history.version,
            "epoch": history.epoch,
            "changed_at": shown(read.events[-1].recorded_at, parsed_args),
        }
        return tuple(fields), tuple(fields.values())


def _is_asked(read: Read, parsed_args: argparse.Namespace) -> bool:
    unfinished = read.history.unfinished is not None or not parsed_args.unfinished
    return unfinished and is_within(read.events[-1].recorded_at, parsed_args)


def _row(read: Read, parsed_args: argparse.Namespace) -> tuple[object, ...]:
    history = read.history
    return (
        history.stream,
        _status(read),
        _operation(history.unfinished),
        sum(1 for _ in history.unfinished_steps),
        _counts(verdicts(history)),
        _owner(read),
        _lease(read),
        shown(read.events[-1].recorded_at, parsed_args),
        history.version,
    )


def _status(read: Read) -> str:
    return past_status(read.history) if read.is_past else shown_status(read.history, owner_alive=read.owner_alive)


def _operation(operation: Operation | None) -> str:
    return "" if operation is None else f"{operation.kind} {operation.id}"


def _counts(found: tuple[Verdict, ...]) -> Counts:
    return Counts(dict(sorted(Counter(str(verdict.verdict) for verdict in found).items())))


def _owner(read: Read) -> str:
    return (read.history.owner if read.is_past else read.head.owner) or ""


def _lease(read: Read) -> str:
    """Return how long the lease of the owner lives on, or how long it has been over."""
    head = read.head
    if read.is_past or head.owner is None or head.lease_expires_at is None:
        return ""
    left = head.lease_expires_at - head.read_at
    return f"for {lasting(left)}" if head.owner_alive else f"over for {lasting(-left)}"


def _step(step: Step) -> str:
    return f"{step.intent.action} {subject(step.intent)} (version {step.begun})"


def _resource(verdict: Verdict) -> str:
    action = "" if verdict.action is PlanAction.NONE else f" → {verdict.action}"
    return f"{verdict.about}: {verdict.verdict}{action} ({verdict.because})"
