"""Commands that tell what the journal means: clusters and steps."""

import argparse
from collections import Counter

from journal.command_line import ListCommand, NeedsJournal, ShowCommand
from journal.errors import UnknownStream
from journal.journal import Journal
from journal.store import Head
from projections.fold import History, Step, fold
from projections.status import shown_status
from projections.verdicts import verdicts


class ClusterList(NeedsJournal, ListCommand):
    """List the clusters: what they are now, what is unfinished, and who is at work."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of clusters."""
        with self.opened(parsed_args) as journal:
            rows = [_cluster_row(head, fold(journal.stream(head.stream).events)) for head in journal.store.heads()]
        return ("Cluster", "Status", "Operation", "Unfinished steps", "Servers", "Owner", "Version"), rows


class ClusterShow(NeedsJournal, ShowCommand):
    """Show one cluster."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the cluster's fields."""
        with self.opened(parsed_args) as journal:
            head, history = _read(journal, parsed_args.cluster)
        operation = history.unfinished
        fields = {
            "cluster": history.stream,
            "status": shown_status(history, owner_alive=head.owner_alive),
            "operation": _operation(history),
            "furthest_stage": str(operation.furthest_stage or "none") if operation else "",
            "unfinished_steps": "\n".join(map(_step, history.unfinished_steps)),
            "servers": _servers(history),
            "deletion_requested": "yes" if history.deletion_asked else "no",
            "hold": f"{history.hold.by}: {history.hold.reason}" if history.hold else "",
            "last_error": history.errors[-1] if history.errors else "",
            "owner": _owner(head),
            "cloud": history.cloud,
            "version": history.version,
            "epoch": history.epoch,
        }
        return tuple(fields), tuple(fields.values())


class StepList(NeedsJournal, ListCommand):
    """List steps: what each was about and how it ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--unfinished", action="store_true", help="only steps without a completion in operations that have not ended"
        )
        parser.add_argument("--cluster", metavar="ID", help="only this cluster's")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of steps."""
        columns = ("Cluster", "Version", "Stage", "Action", "Subject", "Outcome", "Step")
        with self.opened(parsed_args) as journal:
            if parsed_args.cluster and journal.store.head(parsed_args.cluster) is None:
                raise UnknownStream(parsed_args.cluster)
            if parsed_args.unfinished:
                steps = (s for s in journal.store.unfinished_steps() if parsed_args.cluster in (None, s.stream))
                return columns, [(s.stream, s.version, s.stage, s.action, s.subject, "unfinished", str(s.step)) for s in steps]
            streams = [parsed_args.cluster] if parsed_args.cluster else [head.stream for head in journal.store.heads()]
            histories = [fold(journal.stream(stream).events) for stream in streams]
        return columns, [_step_row(history.stream, step) for history in histories for step in history.steps.values()]


def _read(journal: Journal, cluster: str) -> tuple[Head, History]:
    head = journal.store.head(cluster)
    if head is None:
        raise UnknownStream(cluster)
    return head, fold(journal.stream(cluster).events)


def _cluster_row(head: Head, history: History) -> tuple[object, ...]:
    status = shown_status(history, owner_alive=head.owner_alive)
    unfinished = sum(1 for _ in history.unfinished_steps)
    return history.stream, status, _operation(history), unfinished, _servers(history), _owner(head), history.version


def _operation(history: History) -> str:
    operation = history.unfinished
    return "" if operation is None else f"{operation.kind} {operation.id}"


def _servers(history: History) -> str:
    counted = Counter(str(verdict.verdict) for verdict in verdicts(history))
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


def _owner(head: Head) -> str:
    if head.owner is None or head.lease_expires_at is None:
        return ""
    until = "until" if head.owner_alive else "gone since"
    return f"{head.owner} ({until} {head.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC)"


def _subject(step: Step) -> str:
    return str(getattr(step.intent, "name", "")) or ", ".join(step.listed) or "the whole cluster"


def _step(step: Step) -> str:
    return f"{step.intent.action} {_subject(step)} (version {step.begun})"


def _step_row(cluster: str, step: Step) -> tuple[object, ...]:
    if step.completion is None:
        outcome = "unfinished" if step.operation.finished is None else "never finished"
    else:
        outcome = str(step.completion.outcome)
    return cluster, step.begun, str(step.intent.stage), step.intent.action, _subject(step), outcome, str(step.id)
