"""Play schedules in a simulated world: python -m simulate [--schedules N] [--seed S].

Ends with 1 if an invariant was breached: what happened is then printed, shrunk, and written as a test that fails. The
last line is the summary as JSON.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import attrs
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulate import faults
from simulate.choices import Choices
from simulate.failure import failure
from simulate.world import play

SCHEDULES: Final = 100_000
AT_A_TIME: Final = 200
"""How many schedules a process plays before it says what came of them."""
MOST_SHOWN: Final = 3
"""How many breaches are shrunk and shown; the others are counted."""


@attrs.define
class Tally:
    """What some schedules came to."""

    schedules: int = 0
    events: int = 0
    hit: Counter[str] = attrs.field(factory=Counter)
    """How many schedules each kind of fault was part of."""
    breached: dict[int, tuple[Sequence[str], Sequence[int]]] = attrs.field(factory=dict)
    """By number: what a schedule breached, and its choices."""

    def add(self, other: "Tally") -> None:
        """Add what other schedules came to."""
        self.schedules += other.schedules
        self.events += other.events
        self.hit.update(other.hit)
        self.breached |= other.breached


def played(seed: int, numbers: range) -> Tally:
    """Play some schedules of a seed."""
    tally = Tally()
    for number in numbers:
        outcome = play(Choices(Random(f"{seed} {number}")))
        tally.schedules += 1
        tally.events += len(outcome.events)
        tally.hit.update(outcome.counts.keys())
        if outcome.breaches:
            tally.breached[number] = (outcome.breaches, outcome.made)
    return tally


def run(seed: int, schedules: int, processes: int) -> Tally:
    """Play all schedules, in several processes, under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    tally = Tally()
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar, multiprocessing.Pool(processes) as pool:
        task = bar.add_task("schedules", total=schedules)
        for some in pool.imap_unordered(partial(played, seed), _parts(schedules)):
            tally.add(some)
            bar.update(task, completed=tally.schedules)
    return tally


def _parts(schedules: int) -> Iterator[range]:
    return (range(first, min(first + AT_A_TIME, schedules)) for first in range(0, schedules, AT_A_TIME))


def table(tally: Tally) -> str:
    """Return how many schedules each kind of fault was part of, as a Markdown table."""
    lines = ["| fault | schedules |", "|---|---|"]
    return "\n".join([*lines, *(f"| {fault} | {tally.hit[fault]:,} |" for fault in faults.COUNTED)])


def main() -> int:
    """Play, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help=f"how many (default: {SCHEDULES:,})")
    parser.add_argument("--seed", type=int, default=None, help="of all that is left to chance (default: a random one)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many play at the same time")
    parser.add_argument("--tests", type=Path, default=Path.cwd(), help="where tests that fail are written")
    args = parser.parse_args()
    seed = time.time_ns() % 10**9 if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    tally = run(seed, args.schedules, args.processes)
    seconds = time.monotonic() - began
    print(table(tally))
    for number in sorted(tally.breached)[:MOST_SHOWN]:
        found = failure(seed, number, tally.breached[number][1])
        print(f"\nBREACH: {found}\n  a test that fails: {found.write(args.tests)}")
    never = [fault for fault in faults.COUNTED if not tally.hit[fault]]
    summary = {
        "seed": seed,
        "schedules": tally.schedules,
        "events": tally.events,
        "seconds": round(seconds, 1),
        "breached": {str(number): breaches for number, (breaches, _) in sorted(tally.breached.items())},
        "never_hit": never,
    }
    print(json.dumps(summary, ensure_ascii=False))
    return 1 if tally.breached else 0


if __name__ == "__main__":
    sys.exit(main())
