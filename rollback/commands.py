"""Commands that plan and act: replay, plan show, rollback."""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import msgspec

from journal.command_line import OK, PROBLEM, CommandError, FreeCommand, ListCommand, NeedsJournal, say, tracked
from journal.errors import UnknownStream
from journal.events import PlanAction
from journal.files import read_file
from journal.journal import Journal
from journal.settings import Settings
from projections.fold import History, fold
from projections.verdicts import Verdict
from rollback.cloud import Cloud
from rollback.compensator import Report, preview, rollback_cluster
from rollback.errors import RollbackError, UnknownCloud
from rollback.plan import Plan, plan

COLUMNS = ("Cluster", "Server", "Name", "Verdict", "Action", "Because", "Evidence")


class Replay(ListCommand):
    """Replay a file of events: what it says of each VM, and why. Needs neither a database nor a cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file, and what to show of it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", type=Path, help="JSON Lines, as `provjournal journal export` writes them")
        parser.add_argument("--plan", action="store_true", help="print the plan document, one JSON object a cluster")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print plan documents as they are, and leave tables to cliff."""
        if not parsed_args.plan:
            return super().run(parsed_args)
        return _PlanDocuments(self.app, self.app_args, cmd_name=self.cmd_name).run(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of verdicts."""
        histories = _replayed(parsed_args)
        for history in histories:
            say(_summary(history, plan(history)))
        return COLUMNS, [row for history in histories for row in _rows(plan(history))]


class _PlanDocuments(FreeCommand):
    """`replay --plan`."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        for history in _replayed(parsed_args):
            _print_document(plan(history))
        return OK


class PlanShow(NeedsJournal, ListCommand):
    """Show the plan of a cluster as its journal stands: what would be done, and why. Looks at no cloud."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Return the table of verdicts."""
        with self.opened(parsed_args) as journal:
            head = journal.store.head(parsed_args.cluster)
            if head is None:
                raise UnknownStream(parsed_args.cluster)
            history = fold(journal.stream(parsed_args.cluster).events)
        if history.unfinished is not None and head.owner_alive:
            say(
                f"operation {history.unfinished.kind} is running, owned by {head.owner}; this is what would happen if it died now"
            )
        made = plan(history)
        say(_summary(history, made))
        return COLUMNS, _rows(made)


class Rollback(NeedsJournal, ListCommand):
    """Bring the cloud to a safe state for a cluster whose operation failed. Exit code 1 if something is left to do."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cluster, the cloud and how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument(
            "--cloud", metavar="NAME", default=os.environ.get("OS_CLOUD"), help="cloud of clouds.yaml (default: OS_CLOUD)"
        )
        parser.add_argument("--dry-run", action="store_true", help="list the cloud and show the plan; change and append nothing")
        settle = Settings().settle_seconds
        parser.add_argument(
            "--settle-seconds",
            metavar="SECONDS",
            type=_seconds,
            default=settle,
            help=f"how far apart the two listings are that prove a server absent (default: {settle:g})",
        )
        parser.add_argument("--wait", action="store_true", help="wait until the lease of the cluster's owner has run out")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; its exit code says whether anything is left to do."""
        self.code = OK
        return super().run(parsed_args) or self.code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Roll back, or show what a rollback would do."""
        from rollback.openstack import OpenStackCloud  # noqa: PLC0415 (only what acts on a cloud loads openstacksdk)

        act = _preview if parsed_args.dry_run else self._roll_back
        try:
            with self.opened(parsed_args) as journal:
                journal.settings = attrs.evolve(journal.settings, settle_seconds=parsed_args.settle_seconds)
                journal.stream(parsed_args.cluster)
                cloud = OpenStackCloud.connect(parsed_args.cloud, journal.settings)
                return act(journal, cloud, parsed_args)
        except UnknownCloud as error:
            raise CommandError(str(error)) from error
        except RollbackError as error:
            raise CommandError(str(error), PROBLEM) from error

    def _roll_back(
        self, journal: Journal, cloud: Cloud, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        report = rollback_cluster(journal, cloud, parsed_args.cluster, wait=parsed_args.wait, progress=say)
        say(_told(report))
        self.code = OK if report.complete else PROBLEM
        results = [_result(report, verdict) for verdict in report.planned.verdicts]
        return (*COLUMNS, "Result"), [(*row, result) for row, result in zip(_rows(report.planned), results, strict=True)]


def _preview(journal: Journal, cloud: Cloud, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    made = preview(journal, cloud, parsed_args.cluster, wait=parsed_args.wait, progress=say)
    say(f"{_counts(made)}; cluster {made.stream} would become {made.cluster_status}. This was a dry run: nothing was changed")
    return COLUMNS, _rows(made)


def _result(report: Report, verdict: Verdict) -> str:
    match verdict.action:
        case PlanAction.DELETE:
            return "deleted" if verdict.server_id in report.deleted else "not deleted"
        case PlanAction.KEEP:
            return "kept"
        case PlanAction.FIND:
            return "in doubt"
        case PlanAction.NONE:
            return ""


def _seconds(text: str) -> float:
    seconds = float(text)
    if seconds < 0:
        msg = "expected 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def _replayed(parsed_args: argparse.Namespace) -> list[History]:
    histories: dict[str, History] = {}
    for event in tracked(read_file(parsed_args.file), "replaying"):
        histories.setdefault(event.stream, History()).apply(event)
    return list(histories.values())


def _rows(made: Plan) -> list[tuple[object, ...]]:
    return [
        (
            made.stream,
            verdict.server_id or "",
            verdict.name or "",
            str(verdict.verdict),
            str(verdict.action),
            verdict.because,
            ", ".join(map(str, verdict.evidence)),
        )
        for verdict in made.verdicts
    ]


def _summary(history: History, made: Plan) -> str:
    operation = history.unfinished
    state = "no operation is unfinished" if operation is None else f"operation {operation.kind} is unfinished"
    held = f"; a hold stands, placed by {history.hold.by}: nothing is deleted" if history.hold else ""
    return f"cluster {made.stream} at version {made.version}: {state}; the cluster becomes {made.cluster_status}{held}"


def _counts(made: Plan) -> str:
    counted = ((action, len(made.having(action))) for action in dict.fromkeys(verdict.action for verdict in made.verdicts))
    return ", ".join(f"{count} to {action}" for action, count in counted if action != "none") or "nothing to do"


def _told(report: Report) -> str:
    deleted = f"{len(report.deleted)} deleted" if report.deleted else "nothing deleted"
    lines: Iterable[str] = (f"left to do: {problem}" for problem in report.problems)
    return "\n".join(
        (f"cluster {report.cluster} is {report.cluster_status}; {deleted}, {len(report.kept)} kept as unsafe", *lines)
    )


def _print_document(made: Plan) -> None:
    print(msgspec.json.encode(made.document()).decode())  # noqa: T201 (the command's output)
