"""A person's yes before anything is deleted."""

import argparse
import sys
from collections.abc import Iterable

from journal.command_line import ERRORS, REFUSED, CommandError
from journal.events import PlanAction, PlannedVerdict
from journal.wording import legible
from projections.verdicts import Verdict


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add a yes that is given beforehand."""
    parser.add_argument("--yes", action="store_true", help="do not ask first: for scripts")


def confirm(question: str, details: Iterable[str] = ()) -> None:
    """Ask on the terminal, and return if the answer is yes. Raises CommandError if it is not, or nobody can be asked."""
    question = legible(question)
    if sys.stdin is None or not (sys.stdin.isatty() and ERRORS.is_terminal):
        msg = f"{question} Nobody can be asked here: give --yes to do it, or --dry-run to look first. Nothing was changed."
        raise CommandError(msg)
    for line in details:
        ERRORS.print(f"  {legible(line)}", markup=False, emoji=False)
    ERRORS.print(f"{question} [y/N] ", markup=False, emoji=False, end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        msg = "not confirmed: nothing was changed"
        raise CommandError(msg, REFUSED)


def deletions(verdicts: Iterable[Verdict]) -> list[str]:
    """Return what is to be deleted, a line each."""
    due = (verdict for verdict in verdicts if verdict.action is PlanAction.DELETE)
    return [f"{verdict.kind} {verdict.id} ({verdict.name or 'without a name'}): {verdict.because}" for verdict in due]


def ids_of(rows: Iterable[Verdict | PlannedVerdict]) -> frozenset[str]:
    """Return the ids of what is known by one."""
    return frozenset(row.id for row in rows if row.id is not None)


def numbered(verdicts: Iterable[Verdict]) -> str:
    """Return how many of each kind are to be deleted: `2 servers and 1 port`."""
    counts: dict[str, int] = {}
    for verdict in verdicts:
        if verdict.action is PlanAction.DELETE:
            counts[str(verdict.kind)] = counts.get(str(verdict.kind), 0) + 1
    told = [f"{count} {kind.replace('_', ' ')}{'' if count == 1 else 's'}" for kind, count in counts.items()]
    return " and ".join(filter(None, (", ".join(told[:-1]), *told[-1:])))
