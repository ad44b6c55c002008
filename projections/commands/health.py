"""Telling a monitor what somebody should look at."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from journal.command_line import OK, PROBLEM, CommandError, ListCommand, say, tracked
from journal.commands.options import LookingCommand, length, number, shown
from journal.errors import DAMAGE, DamagedStream, JournalError, StreamArchived
from journal.journal import Journal
from journal.metrics import JournalMetrics
from projections.health import FAILURES, UNFINISHED_FOR, Ailment, Limits, Symptom, symptoms


class Health(LookingCommand, ListCommand):
    """Tell what somebody should look at, for a monitor: exit code 1, and a line for each. Exit code 0 if there is nothing.

    That is: an operation unfinished for long or without a living owner, a compensation that keeps failing, what nobody
    accounts for or a person has to decide about, a damaged cluster, and settings of the database under which it could
    lose what it has acknowledged.
    """

    code: int

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the limits, and the form."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--unfinished-for",
            metavar="TIME",
            type=length,
            default=UNFINISHED_FOR,
            help="from when on an unfinished operation is told: 30m, 2h, 1d (default: 1h)",
        )
        parser.add_argument(
            "--failures",
            metavar="N",
            type=number,
            default=FAILURES,
            help=f"from how many failures on a compensation is told (default: {FAILURES})",
        )
        parser.add_argument("--prometheus", action="store_true", help="print how many there are of each as text for Prometheus")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command."""
        self.code = OK
        return super().run(parsed_args) or self.code

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Sequence[Any]]) -> int:
        """Print the table, unless it was printed for Prometheus."""
        return OK if parsed_args.prometheus else int(super().produce_output(parsed_args, column_names, data))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the table of symptoms."""
        with self.opened(parsed_args) as journal:
            found = list(_symptoms(journal, Limits(parsed_args.unfinished_for, parsed_args.failures)))
            if parsed_args.prometheus:
                _print_metrics(journal, found)
        self.code = PROBLEM if found else OK
        if not found:
            say("nothing needs looking at")
        return ("Problem", "Cluster", "Since", "What", "Next"), [
            (str(each.ailment), each.cluster, shown(each.since, parsed_args), each.told, each.next) for each in found
        ]


def _symptoms(journal: Journal, limits: Limits) -> Iterator[Symptom]:
    for weakness in journal.store.weaknesses():
        told = f"the database could lose what it has acknowledged: {weakness}"
        yield Symptom(Ailment.WEAK_DURABILITY, "", None, told, "set it right; --strict refuses it")
    damaged: list[DamagedStream] = []
    heads = list(journal.store.heads(damaged=damaged))
    yield from (_damage(damage.stream, damage) for damage in damaged)
    for head in tracked(heads, "looking at clusters", len(heads)):
        try:
            yield from symptoms(head, journal.stream(head.stream).events, limits)
        except StreamArchived:
            continue  # since the heads were read
        except DAMAGE as error:
            yield _damage(head.stream, error)


def _damage(cluster: str, error: JournalError) -> Symptom:
    return Symptom(Ailment.DAMAGED, cluster, None, str(error), "provjournal journal verify")


def _print_metrics(journal: Journal, found: list[Symptom]) -> None:
    try:
        from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415 (optional)
    except ModuleNotFoundError as error:
        msg = "Metrics need prometheus_client: `pip install 'provisioning-journal[metrics]'` brings it."
        raise CommandError(msg) from error
    registry = CollectorRegistry()
    registry.register(JournalMetrics(journal))
    gauge = Gauge("provjournal_problems", "What somebody should look at, by what it is.", ["problem"], registry=registry)
    counts = Counter(each.ailment for each in found)
    for ailment in Ailment:
        gauge.labels(str(ailment)).set(counts[ailment])
    print(generate_latest(registry).decode(), end="")  # noqa: T201 (the command's output)
