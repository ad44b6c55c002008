"""Bringing one cluster to a safe state."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import attrs
import msgspec

from journal.command_line import OK, PROBLEM, REFUSED, CommandError, say
from journal.commands.options import add_by
from journal.events import ClusterStatus, PlanAction, PlanMade
from rollback.choice import Choice
from rollback.commands.confirming import add_yes, confirm, deletions, ids_of, numbered
from rollback.commands.options import CompensatingCommand, add_most
from rollback.commands.tables import COLUMNS, counts, result, rows, told, write_plan
from rollback.handler import Handler


class Rollback(CompensatingCommand):
    """Bring the cloud to a safe state for a cluster whose operation failed: list the cloud, plan, ask, and carry it out.

    Exit code 1 if something is left to do, 3 if a hold, a living owner or a limit stands against it.
    To carry out exactly what you have looked at: `rollback CLUSTER --dry-run --out FILE`, then `rollback CLUSTER --plan FILE`,
    which changes nothing if the plan is another one by then.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster and how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument("--wait", action="store_true", help="wait until the lease of the cluster's owner has run out")
        parser.add_argument("--dry-run", action="store_true", help="list the cloud and show the plan; change and append nothing")
        parser.add_argument("--out", metavar="FILE", type=Path, help="of a dry run: write the plan into this file, too")
        parser.add_argument(
            "--plan", metavar="FILE", type=Path, help="carry out the plan of this file without asking, and no other"
        )
        add_most(parser)
        parser.add_argument(
            "--only",
            metavar="ID",
            action="append",
            default=[],
            help="delete this server or resource and nothing else; all else is kept as unsafe, on your word (can be repeated)",
        )
        parser.add_argument(
            "--keep",
            metavar="ID",
            action="append",
            default=[],
            help="keep this server or other resource as unsafe, on your word (can be repeated)",
        )
        add_yes(parser)
        add_by(parser)
        parser.add_argument("--reason", metavar="TEXT", default="", help="why just these, for whoever reads it later")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Roll back, or show what a rollback would do."""
        choice = _choice(parsed_args)
        with self.handler(parsed_args, parsed_args.cluster) as handler:
            if parsed_args.dry_run:
                return _preview(handler, choice, parsed_args)
            if not parsed_args.yes and choice.plan is None:
                choice = _confirmed(handler, choice, parsed_args)
            return self._roll_back(handler, choice, parsed_args)

    def _roll_back(
        self, handler: Handler, choice: Choice, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        report = handler.compensate(parsed_args.cluster, wait=parsed_args.wait, choice=choice)
        say(told(report))
        self.code = OK if report.complete else REFUSED if report.is_refused else PROBLEM
        results = [result(report, verdict) for verdict in report.planned.verdicts]
        return (*COLUMNS, "Result"), [(*row, said) for row, said in zip(rows(report.planned), results, strict=True)]


def _preview(handler: Handler, choice: Choice, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    foreseen = handler.preview(parsed_args.cluster, choice=choice, wait=parsed_args.wait)
    made = foreseen.plan
    if parsed_args.out is not None:
        write_plan(parsed_args.out, made)
    if foreseen.for_deletion:
        say("the record of the cluster is gone: its deletion would be asked for")
    if foreseen.refusal is not None:
        say(f"a rollback would delete nothing: {foreseen.refusal}")
    say(f"{counts(made)}; cluster {made.stream} would become {made.cluster_status}. This was a dry run: nothing was changed")
    return COLUMNS, rows(made)


def _confirmed(handler: Handler, choice: Choice, parsed_args: argparse.Namespace) -> Choice:
    """Return the choice with what a person has said yes to; where nobody is asked, nothing may be deleted."""
    foreseen = handler.preview(parsed_args.cluster, choice=choice, wait=parsed_args.wait)
    due = foreseen.plan.having(PlanAction.DELETE)
    if not due or foreseen.refusal is not None:
        return attrs.evolve(choice, confirmed=())
    why = " Its record is gone." if foreseen.for_deletion else ""
    confirm(f"Delete {numbered(due)} of cluster {parsed_args.cluster} in cloud {handler.cloud.name}?{why}", deletions(due))
    return attrs.evolve(choice, plan=foreseen.plan.as_event(), confirmed=ids_of(due), for_deletion=foreseen.for_deletion)


def _choice(parsed_args: argparse.Namespace) -> Choice:
    if parsed_args.out is not None and not parsed_args.dry_run:
        msg = "--out writes the plan of a dry run: give --dry-run, too."
        raise CommandError(msg)
    looked_at = None if parsed_args.plan is None else _read(parsed_args.plan, parsed_args.cluster)
    return Choice(
        most=parsed_args.max_deletions,
        only=tuple(parsed_args.only),
        keep=tuple(parsed_args.keep),
        by=parsed_args.by,
        reason=parsed_args.reason,
        plan=looked_at,
        confirmed=None if looked_at is None else ids_of(row for row in looked_at.verdicts if row.action is PlanAction.DELETE),
        for_deletion=looked_at is not None and looked_at.cluster_status is ClusterStatus.DELETED,
    )


def _read(path: Path, cluster: str) -> PlanMade:
    """Return the plan of a file. Raises CommandError unless it is one, of this cluster."""
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        found = msgspec.convert({name: document[name] for name in ("verdicts", "cluster_status")}, PlanMade)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise CommandError(msg) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError) as error:
        msg = f"{path} is no plan, as `rollback CLUSTER --dry-run --out FILE` writes it: {error}."
        raise CommandError(msg) from error
    if document.get("stream") != cluster:
        msg = f"{path} is a plan of cluster {document.get('stream')!r}, expected {cluster!r}."
        raise CommandError(msg)
    return found
