"""A plot of each table of how cost grows: `python -m benchmarks.plots FOLDER` draws all that are in a folder again."""

import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contestants import OURS
from benchmarks.measures import GROWN
from benchmarks.report import ENGINES

COLOURS: Final = {"sqlite": "#0b6e4f", "postgresql": "#28539e"}
TITLES: Final = {measure.name: measure.title for measure in GROWN}


def draw(path: Path) -> None:
    """Draw the table in a file beside it: one line an engine and contestant, both axes in powers of ten."""
    lines: dict[tuple[str, str], list[tuple[int, float, float, float]]] = defaultdict(list)
    unit = ""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            point = (int(row["size"]), float(row["median"]), float(row["least"]), float(row["most"]))
            lines[row["engine"], row["contestant"]].append(point)
            unit = row["unit"]
    mpl.rcParams.update({"svg.hashsalt": path.stem, "font.size": 10})  # so that the same table is drawn the same
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (engine, contestant), points in lines.items():
        size, median, least, most = zip(*points, strict=True)
        style = "-" if contestant == OURS else ":"
        axes.plot(size, median, style, marker="o", color=COLOURS[engine], label=f"{contestant}, {ENGINES[engine]}")
        axes.fill_between(size, least, most, color=COLOURS[engine], alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log", ylabel=unit, title=TITLES[path.stem])
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    for table in sorted(Path(sys.argv[1]).glob("*.csv")):
        draw(table)
