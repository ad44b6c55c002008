"""How plans and reports are shown and written."""

from pathlib import Path

import msgspec

from journal.command_line import CommandError
from journal.commands.columns import Listed
from journal.events import PlanAction
from projections.fold import History
from projections.verdicts import Verdict
from rollback.compensator import Report
from rollback.plan import Plan

COLUMNS = ("Cluster", "Kind", "Id", "Name", "Verdict", "Action", "Because", "Evidence")


def rows(made: Plan) -> list[tuple[object, ...]]:
    """Return a plan as rows of a table."""
    return [
        (
            made.stream,
            str(verdict.kind),
            verdict.id or f"of create {verdict.step}",
            verdict.name or "",
            str(verdict.verdict),
            str(verdict.action),
            verdict.because,
            Listed(verdict.evidence),
        )
        for verdict in made.verdicts
    ]


def summary(history: History, made: Plan) -> str:
    """Return where a cluster stands, in a line."""
    operation = history.unfinished
    state = "no operation is unfinished" if operation is None else f"operation {operation.kind} is unfinished"
    held = f"; a hold stands, placed by {history.hold.by}: nothing is deleted" if history.hold else ""
    return f"cluster {made.stream} at version {made.version}: {state}; the cluster becomes {made.cluster_status}{held}"


def counts(made: Plan) -> str:
    """Return how much there is to do, by action."""
    counted = ((action, len(made.having(action))) for action in dict.fromkeys(verdict.action for verdict in made.verdicts))
    return ", ".join(f"{count} to {action}" for action, count in counted if action != "none") or "nothing to do"


def told(report: Report) -> tuple[str, ...]:
    """Return what a compensation came to, and what is left to do, a line each."""
    deleted = f"{len(report.deleted)} deleted" if report.deleted else "nothing deleted"
    lines = (f"left to do: {problem}" for problem in report.problems)
    return (f"cluster {report.cluster} is {report.cluster_status}; {deleted}, {len(report.kept)} kept as unsafe", *lines)


def write_plan(path: Path, made: Plan) -> None:
    """Write a plan document into a file. Raises CommandError if that cannot be done."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(made.document())) + b"\n")
    except OSError as error:
        msg = f"{path}: the plan cannot be written: {error.strerror}."
        raise CommandError(msg) from error


def result(report: Report, verdict: Verdict) -> str:
    """Return what became of one resource."""
    match verdict.action:
        case PlanAction.DELETE:
            return "deleted" if verdict.id in report.deleted else "not deleted"
        case PlanAction.KEEP:
            return "kept"
        case PlanAction.FIND:
            return "in doubt"
        case PlanAction.NONE:
            return ""
