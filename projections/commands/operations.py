"""Looking at operations and at their steps."""

import argparse
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from journal.command_line import CommandError, ListCommand, ShowCommand
from journal.commands.columns import Data, Listed
from journal.commands.options import (
    LookingCommand,
    add_at,
    add_between,
    add_clusters,
    add_limit,
    add_operation,
    first,
    is_within,
    matching,
    shown,
)
from journal.errors import JournalError
from journal.events import OperationKind
from journal.journal import Journal
from journal.moments import lasting
from journal.wording import subject
from projections.commands.reading import Read, many
from projections.fold import Operation, Step
from projections.status import operation_outcome, step_outcome


class OperationList(LookingCommand, ListCommand):
    """List operations: what was asked for, and how it ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        add_clusters(parser)
        add_operation(parser)
        parser.add_argument(
            "--type",
            metavar="KIND",
            choices=[str(kind) for kind in OperationKind],
            help="only of this kind: " + ", ".join(OperationKind),
        )
        parser.add_argument("--unfinished", action="store_true", help="only those that have not ended")
        add_between(parser, "began")
        add_limit(parser, "first")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of operations."""
        with self.opened(parsed_args) as journal:
            found = _operations(journal, parsed_args, self.tell_of_damage)
            rows = [_operation_row(read, op, parsed_args) for read, op in first(found, parsed_args)]
        columns = (
            "Cluster",
            "Operation",
            "Kind",
            "Began at",
            "Lasted",
            "Outcome",
            "Status",
            "Stage",
            "Steps",
            "Unfinished",
            "Reason",
        )
        return columns, rows


class OperationShow(LookingCommand, ShowCommand):
    """Show one operation, with its steps."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="OPERATION", help="its id; the beginning of it will do")
        add_clusters(parser)
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Return the operation's fields. Raises CommandError unless exactly one is meant."""
        with self.opened(parsed_args) as journal:
            reads = many(journal, parsed_args, self.tell_of_damage)
            found = [
                (r, op) for r in reads for op in r.history.operations.values() if str(op.id).startswith(parsed_args.operation)
            ]
        if len(found) != 1:
            which = ", ".join(str(operation.id) for _, operation in found)
            what = (
                f"more than one begins so: {which}." if found else "there is none. `provjournal operation list` names them all."
            )
            msg = f"Operation {parsed_args.operation}: {what}"
            raise CommandError(msg)
        ((read, operation),) = found
        fields = {
            "cluster": read.history.stream,
            "operation": str(operation.id),
            "kind": str(operation.kind),
            "conductor": operation.asked.conductor,
            "cloud": operation.asked.cloud,
            "began_at": shown(operation.started_at, parsed_args),
            "ended_at": shown(operation.finished_at, parsed_args),
            "outcome": operation_outcome(operation, owner_alive=read.owner_alive),
            "cluster_status": str(operation.cluster_status or ""),
            "reason": operation.reason,
            "furthest_stage": str(operation.furthest_stage or "none"),
            "victims": Listed(operation.victims),
            "request": Data(operation.asked.request),
            "took_over": str(operation.took_over.id) if operation.took_over else "",
            "taken_over_by": str(operation.taken_over_by.id) if operation.taken_over_by else "",
            "steps": Listed(map(_step_line, operation.steps), separator="\n"),
        }
        return tuple(fields), tuple(fields.values())


class StepList(LookingCommand, ListCommand):
    """List steps: what each was about and how it ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--unfinished", action="store_true", help="only steps without a completion in operations that have not ended"
        )
        add_clusters(parser)
        add_operation(parser)
        parser.add_argument("--action", metavar="ACTION", help="only of this action: create_server, configure, …")
        add_between(parser, "began")
        add_limit(parser, "first")
        add_at(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of steps."""
        columns = ("Cluster", "Version", "Began at", "Stage", "Action", "Subject", "Outcome", "Step")
        with self.opened(parsed_args) as journal:
            found = (
                _indexed(journal, parsed_args, self.tell_of_damage)
                if parsed_args.unfinished and parsed_args.at is None
                else _steps(journal, parsed_args, self.tell_of_damage)
            )
            asked = (
                row
                for row, operation in found
                if is_within(row[2], parsed_args)
                and parsed_args.action in (None, row[4])
                and (parsed_args.operation is None or str(operation).startswith(parsed_args.operation))
            )
            rows = first(asked, parsed_args)
        return columns, [(cluster, version, shown(began, parsed_args), *more) for cluster, version, began, *more in rows]


_Row = tuple[str, int, datetime, str, str, str, str, str]
"""Cluster, version, when it began, stage, action, subject, outcome and step."""


def _indexed(
    journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]
) -> Iterator[tuple[_Row, UUID]]:
    """Yield the unfinished steps by the index of them: no history is read."""
    asked = None if parsed_args.cluster is None else {head.stream for head in matching(journal, parsed_args.cluster, tell)}
    for s in journal.store.unfinished_steps():
        if asked is None or s.stream in asked:
            yield (s.stream, s.version, s.recorded_at, s.stage, s.action, s.subject, "unfinished", str(s.step)), s.operation


def _steps(
    journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]
) -> Iterator[tuple[_Row, UUID]]:
    for read in many(journal, parsed_args, tell):
        for step in read.history.steps.values():
            if not parsed_args.unfinished or (step.completion is None and step.operation.finished is None):
                intent = step.intent
                told = (str(intent.stage), intent.action, subject(intent), step_outcome(step), str(step.id))
                yield (read.history.stream, step.begun, step.recorded_at, *told), step.operation.id


def _operations(
    journal: Journal, parsed_args: argparse.Namespace, tell: Callable[[JournalError], None]
) -> Iterator[tuple[Read, Operation]]:
    for read in many(journal, parsed_args, tell):
        for operation in read.history.operations.values():
            if (
                is_within(operation.started_at, parsed_args)
                and parsed_args.type in (None, operation.kind)
                and (parsed_args.operation is None or str(operation.id).startswith(parsed_args.operation))
                and not (parsed_args.unfinished and operation.finished)
            ):
                yield read, operation


def _operation_row(read: Read, operation: Operation, parsed_args: argparse.Namespace) -> tuple[object, ...]:
    ended_at = operation.finished_at or (read.events[-1].recorded_at if read.is_past else read.head.read_at)
    return (
        read.history.stream,
        str(operation.id),
        str(operation.kind),
        shown(operation.started_at, parsed_args),
        lasting(ended_at - operation.started_at),
        operation_outcome(operation, owner_alive=read.owner_alive),
        str(operation.cluster_status or ""),
        str(operation.furthest_stage or "none"),
        len(operation.steps),
        sum(step.completion is None for step in operation.steps),
        operation.reason,
    )


def _step_line(step: Step) -> str:
    reason = "" if step.completion is None or not step.completion.reason else f" ({step.completion.reason})"
    return f"{step.begun}: {step.intent.action} {subject(step.intent)}: {step_outcome(step)}{reason}"
