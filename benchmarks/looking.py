"""How long commands that look take on a large journal on SQLite, beside the same on a small one.

    python -m benchmarks.looking [EVENTS]     a million by default, in clusters of a hundred

A list is a page: it may take longer on the large journal only by what the page itself has more of.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.progress import track

from benchmarks.verification import write
from journal.sql.store import open_store

IN_EACH: Final = 100
"""How many events a cluster has."""
SMALL: Final = 100
"""How many clusters the small journal has: a page of them."""
TIMES: Final = 3
COMMANDS: Final = (
    "cluster list",
    "operation list",
    "event list",
    "step list",
    "step list --unfinished",
    "server list",
    "cluster show c-7",
    "plan show c-7",
    "event list --cluster c-7",
    "event tail",
    "journal stats",
)
PROGRAM: Final = Path(sys.executable).with_name("provjournal")


def main() -> None:
    """Measure, and print seconds and ratios."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        small, large = (made(folder, name, clusters) for name, clusters in (("small", SMALL), ("large", events // IN_EACH)))
        print(f"{'seconds':<26} {SMALL * IN_EACH:>9} {events:>9}   ratio (of events)")
        for command in COMMANDS:
            before, after = seconds(small, command), seconds(large, command)
            print(f"{command:<26} {before:>9.2f} {after:>9.2f}   {after / before:.2f}")


def made(folder: str, name: str, clusters: int) -> str:
    """Make a journal of so many clusters, and return its URL."""
    url = f"sqlite:///{folder}/{name}.db"
    store = open_store(url, upgrade=True)
    for number in track(range(clusters), f"writing {clusters} clusters", transient=True):
        write(store, f"c-{number}", IN_EACH)
    store.close()
    return url


def seconds(url: str, command: str) -> float:
    """Return how long a command takes, the best of a few."""
    best = float("inf")
    for _ in range(TIMES):
        began = time.perf_counter()
        subprocess.run(
            [PROGRAM, *command.split()], stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PROVJOURNAL_URL": url}
        )
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
