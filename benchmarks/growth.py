"""How cost grows with history: the same measures on ever longer ones, as tables and as plots."""

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.contest import Contest, Outcome, Progress
from benchmarks.contestants import OURS, RAW, Programs
from benchmarks.databases import Place
from benchmarks.measures import EACH, Measure
from benchmarks.plots import draw

COLUMNS: Final = ("engine", "contestant", "size", "unit", "median", "least", "most")
MOST_CLUSTERS: Final = 100_000
"""A million clusters take half an hour to make, and are made only if asked for with --large."""


def grow(there: Sequence[Place], programs: Programs, args: argparse.Namespace, progress: Progress) -> None:
    """Measure on every size, and write a table and a plot of each measure."""
    args.growth.mkdir(parents=True, exist_ok=True)
    without = {one.name for one in programs.contestants} - {OURS, RAW}
    for measure in args.measures:
        rows: list[tuple[object, ...]] = []
        most = min(args.most, MOST_CLUSTERS) if measure.fill == "clusters" and not args.large else args.most
        for size in sizes(most):
            for place in there:
                if place.name in measure.targets:
                    progress(f"{size:,} …")
                    contest = Contest(measure.of_size(size), place, programs, args.seconds, progress)
                    rows += told(contest.run(args.rounds, without), measure, size)
        path = args.growth / f"{measure.name}.csv"
        write(path, rows)
        draw(path)


def sizes(most: int) -> Iterator[int]:
    """Yield sizes, each ten times the one before."""
    size = EACH
    while size <= most:
        yield size
        size *= 10


def told(outcome: Outcome, measure: Measure, size: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table."""
    for name in (RAW, OURS):
        found = outcome.values(name)
        if found is not None:
            yield (
                outcome.engine,
                name,
                size,
                measure.unit,
                *(f"{value:.4g}" for value in (found.median, found.least, found.most)),
            )


def write(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
