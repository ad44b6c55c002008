"""The library, its peers and the raw driver, side by side: `make bench`.

Prints ratios as tables, and what the figures are of. A name of --only stands for all measures that begin with it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from servers.process import ServerMissing

from benchmarks.contest import Contest, Outcome
from benchmarks.contestants import OURS, PEERS, RAW, ROOT, Programs
from benchmarks.databases import Galera, Place, Postgresql, Sqlite
from benchmarks.machine import machine, pins, warnings
from benchmarks.measures import ALL, GROWN, HELP, IMPORT, Measure, chosen
from benchmarks.report import document, put_into, report
from benchmarks.startup import help_, imports

SLOW_SECONDS: Final = 30.0
"""Whoever would need longer for one reading of ten times as much is left out there."""
ENGINES: Final = ("sqlite", "postgresql", "galera")
NONE: Final = "none"


def main() -> int:
    """Measure, and print. Ends with 1 if a contestant failed, whatever targets are met."""
    args = parsed()
    programs = Programs.prepared(args.peers, args.envs, progress)
    if args.growth is not None:
        from benchmarks.growth import grow  # noqa: PLC0415 (it alone draws, with a library that only it needs)

        with places(args, args.measures) as there:
            grow(there, programs, args, progress)
        return 0
    began = time.monotonic()
    described = machine(Path(tempfile.gettempdir()))
    for warning in warnings(described):
        progress(f"note: {warning}")
    with places(args, args.measures) as there:
        facts = {place.name: place.facts() for place in there}
        outcomes: list[Outcome] = []
        try:
            outcomes += measured(args, there, programs)
        except KeyboardInterrupt:
            progress("stopped: what has been measured follows")
    run = {
        "rounds": str(args.rounds),
        "seconds of each": f"{args.seconds:g}",
        "took": f"{(time.monotonic() - began) / 60:.0f} min",
    }
    described |= pins(tuple(args.peers)) | run
    if args.scale != 1:
        described["scale"] = f"histories are {args.scale:g} of what the titles say: a look, no result"
    told = report(described, facts, outcomes)
    print(told)
    if args.into is not None:
        args.into.write_text(put_into(args.into.read_text(), told))
    if args.json is not None:
        shown = {name: getattr(args, name) for name in ("only", "rounds", "seconds", "scale", "large")}
        args.json.write_text(json.dumps(document(described, facts, shown, outcomes), indent=1, ensure_ascii=False) + "\n")
    problems = [(outcome, name, said) for outcome in outcomes for name, said in outcome.problems.items()]
    for outcome, name, said in problems:
        progress(f"{outcome.measure.name}, {outcome.engine}: {name} failed: {said}")
    return 1 if problems else 0


def parsed() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="MEASURE", help=f"of {names(ALL)}; with --growth of {names(GROWN)}")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contestant in each round (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put the tables between the marks of a page, too")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="default: all that are installed")
    parser.add_argument("--url", help="a PostgreSQL of yours whose user may make databases (default: one is started)")
    parser.add_argument("--peers", nargs="+", choices=(*PEERS, NONE), default=PEERS, help="default: all")
    parser.add_argument(
        "--envs", type=Path, default=ROOT / ".venv-bench", help="where the peers' environments are (default: %(default)s)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="make all histories this much as long, for a look")
    parser.add_argument("--large", action="store_true", help="with a million clusters, and a million events of one")
    parser.add_argument(
        "--growth",
        nargs="?",
        type=Path,
        const=ROOT / "docs" / "benchmarks",
        metavar="FOLDER",
        help="instead, write tables and plots there of how cost grows with history (default: docs/benchmarks)",
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="how far history grows then (default: %(default)s)")
    args = parser.parse_args()
    args.peers = [name for name in args.peers if name != NONE]
    try:
        args.measures = chosen(args.only, ALL if args.growth is None else GROWN, large=args.large)
    except ValueError as error:
        parser.error(str(error))
    return args


def names(measures: Sequence[Measure]) -> str:
    """Return the names of measures, for people."""
    return ", ".join(measure.name for measure in measures)


@contextmanager
def places(args: argparse.Namespace, measures: Sequence[Measure]) -> Iterator[list[Place]]:
    """Start the databases that are asked for, wanted and installed."""
    wanted = {engine for measure in measures for engine in measure.targets if engine in args.engines}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provjournal-bench-")))
        makers: dict[str, Callable[[], Place]] = {
            "sqlite": lambda: Sqlite(folder),
            "postgresql": Postgresql.started if args.url is None else lambda: Postgresql(args.url),
            "galera": Galera,
        }
        found: list[Place] = []
        for engine in ENGINES:
            if engine not in wanted:
                continue
            try:
                place = makers[engine]()
            except ServerMissing as missing:
                progress(f"note: {missing} is not installed, so nothing is measured on {engine}")
                continue
            stack.callback(place.close)
            found.append(place)
        yield found


def measured(args: argparse.Namespace, there: list[Place], programs: Programs) -> Iterator[Outcome]:
    """Yield what comes of each measure on each engine."""
    slow: set[tuple[str, str, str]] = set()
    for measure in args.measures:
        if measure in (IMPORT, HELP):
            yield (imports if measure == IMPORT else help_)(measure, programs, args.rounds, progress)
            continue
        for place in there:
            if place.name not in measure.targets:
                continue
            without = {name for engine, job, name in slow if (engine, job) == (place.name, measure.job)}
            contest = Contest(measure.scaled(args.scale), place, programs, args.seconds, progress)
            outcome = contest.run(args.rounds, without)
            slow |= {(place.name, measure.job, name) for name in too_slow(measure, outcome)}
            yield outcome


def too_slow(measure: Measure, outcome: Outcome) -> Iterator[str]:
    """Yield the peers that needed too long for one reading."""
    for one in outcome.contestants:
        values = outcome.values(one.name)
        is_peer = one.name not in (RAW, OURS) and measure.cost
        if is_peer and values is not None and 10 * values.median / is_peer > SLOW_SECONDS:
            yield one.name


def progress(said: str) -> None:
    """Tell what is going on, beside what is printed at the end."""
    print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
