"""Bringing all clusters of dead conductors to a safe state."""

import argparse
from collections.abc import Iterator, Mapping, Sequence

from journal.command_line import PROBLEM, REFUSED, CommandError, counted, say
from journal.commands.options import number
from journal.errors import JournalError
from journal.events import PlanAction
from journal.metrics import JournalMetrics
from rollback.choice import Choice
from rollback.commands.confirming import add_yes, confirm, deletions, ids_of, numbered
from rollback.commands.options import CompensatingCommand, add_most, seconds
from rollback.handler import Handler
from rollback.recovery import AT_ONCE, Recovery, foresee, recover

COLUMNS = ("Cluster", "Status", "Deleted", "Kept", "Left to do")


class Recover(CompensatingCommand):
    """Bring all clusters to a safe state whose conductor died: list the cloud, plan, ask, and carry it out.

    Exit code 1 if something is left to do, 3 if only a hold or a limit stands against it.
    Clusters that a living conductor is at work on are left to it: run it wherever and as often as you like.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add how to go about it."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--watch", metavar="SECONDS", type=seconds, help="do it again and again, with this pause")
        parser.add_argument(
            "--metrics", metavar="HOST:PORT", type=_address, help="while watching, serve metrics for Prometheus there"
        )
        add_most(parser)
        add_yes(parser)
        parser.add_argument("--dry-run", action="store_true", help="list the cloud and show the plans; change and append nothing")
        parser.add_argument(
            "--at-once",
            metavar="N",
            type=number,
            default=AT_ONCE,
            help=f"how many clusters are recovered at the same time (default: {AT_ONCE})",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[object, ...]]]:
        """Recover once, again and again, or show what would be done."""
        _refuse_idle_options(parsed_args)
        with self.handler(parsed_args) as handler:
            if parsed_args.watch is not None:
                if parsed_args.metrics is not None:
                    _serve_metrics(handler, *parsed_args.metrics)
                _watch(handler, parsed_args)
            found = sorted(self._once(handler, parsed_args), key=lambda recovery: recovery.cluster)
        if parsed_args.dry_run:
            say("this was a dry run: nothing was changed")
        elif not found:
            say("nothing to recover")
        return COLUMNS, [_row(recovery) for recovery in found]

    def _once(self, handler: Handler, parsed_args: argparse.Namespace) -> list[Recovery]:
        if parsed_args.dry_run:
            foreseen = _foreseen(handler, parsed_args)
            self.code = PROBLEM if any(recovery.preview is None for recovery in foreseen) else self.code
            return foreseen
        choices = None if parsed_args.yes else _confirmed(handler, _foreseen(handler, parsed_args), parsed_args)
        found = list(_recovered(handler, parsed_args, choices))
        left = [recovery for recovery in found if not recovery.complete]
        if left:
            self.code = REFUSED if all(recovery.is_refused for recovery in left) else PROBLEM
        return found


def _refuse_idle_options(parsed_args: argparse.Namespace) -> None:
    """Raise CommandError where options are given that would do nothing together."""
    if parsed_args.watch is not None and (parsed_args.dry_run or not parsed_args.yes):
        msg = "--watch goes on without anybody there to be asked: give --yes, and not --dry-run."
        raise CommandError(msg)
    if parsed_args.metrics is not None and parsed_args.watch is None:
        msg = "--metrics serves while watching: give --watch SECONDS, too."
        raise CommandError(msg)


def _confirmed(handler: Handler, foreseen: Sequence[Recovery], parsed_args: argparse.Namespace) -> dict[str, Choice]:
    """Return what a person has said yes to, by cluster. Of what is not in it nothing may be deleted."""
    due = {
        recovery.cluster: recovery.preview.plan.having(PlanAction.DELETE)
        for recovery in foreseen
        if recovery.preview is not None and not recovery.is_refused
    }
    asked = [(cluster, verdict) for cluster, verdicts in due.items() for verdict in verdicts]
    if not asked:
        return {}
    clusters = counted(len({cluster for cluster, _ in asked}), "cluster")
    details = (f"{cluster}: {line}" for cluster, verdict in asked for line in deletions([verdict]))
    confirm(f"Delete {numbered(verdict for _, verdict in asked)} of {clusters} in cloud {handler.cloud.name}?", details)
    return {
        recovery.cluster: Choice(
            parsed_args.max_deletions,
            plan=recovery.preview.plan.as_event(),
            confirmed=ids_of(due[recovery.cluster]),
            for_deletion=recovery.preview.for_deletion,
        )
        for recovery in foreseen
        if recovery.preview is not None and due.get(recovery.cluster)
    }


def _foreseen(handler: Handler, parsed_args: argparse.Namespace) -> list[Recovery]:
    return list(foresee(handler, at_once=parsed_args.at_once, most=parsed_args.max_deletions))


def _recovered(
    handler: Handler, parsed_args: argparse.Namespace, choices: Mapping[str, Choice] | None = None
) -> Iterator[Recovery]:
    return recover(handler, at_once=parsed_args.at_once, most=parsed_args.max_deletions, choices=choices)


def _watch(handler: Handler, parsed_args: argparse.Namespace) -> None:
    """Recover until interrupted. A journal that is away for a while is waited for."""
    pause = parsed_args.watch
    while True:
        try:
            for recovery in _recovered(handler, parsed_args):
                say(_told(recovery))
        except JournalError as error:
            say(f"{error} Trying again in {pause:g} s.")
        handler.journal.clock.sleep(pause)


def _serve_metrics(handler: Handler, host: str, port: int) -> None:
    try:
        from prometheus_client import REGISTRY, start_http_server  # noqa: PLC0415 (optional)
    except ModuleNotFoundError as error:
        msg = "Metrics need prometheus_client: `pip install 'provisioning-journal[metrics]'` brings it."
        raise CommandError(msg) from error
    REGISTRY.register(JournalMetrics(handler.journal))
    try:
        start_http_server(port, host)
    except OSError as error:
        msg = f"Metrics cannot be served on {host}:{port}: {error.strerror}."
        raise CommandError(msg) from error
    say(f"metrics are served on http://{host}:{port}/metrics")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal()):
        msg = "expected HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    return host, int(port)


def _row(recovery: Recovery) -> tuple[object, ...]:
    return recovery.cluster, str(recovery.status), recovery.deleted, recovery.kept, "; ".join(recovery.problems)


def _told(recovery: Recovery) -> tuple[str, ...]:
    left = (f"  left to do: {problem}" for problem in recovery.problems)
    return (f"cluster {recovery.cluster} is {recovery.status}; {counted(recovery.deleted, 'resource')} deleted", *left)
