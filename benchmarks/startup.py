"""How long programs take to start: importing the library, and its command's help, beside importing the peers."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.contest import Outcome, Progress, rotated
from benchmarks.contestants import CONTESTANTS, OURS, ROOT, Programs
from benchmarks.measures import MILLISECONDS, Measure

TIMES: Final = 3
"""How often in each round; the fastest counts, as nothing makes a start faster than it is."""
IMPORTS: Final = {
    OURS: ("import attrs, msgspec", "from journal import Journal, Operation"),
    "eventsourcing": ("pass", "import eventsourcing.application"),
    "DBOS": ("pass", "import dbos"),
    "TaskFlow": ("pass", "import taskflow.engines"),
}
"""What is imported before the clock runs, and what then; the rest is what the import costs. `import journal`
alone loads nothing, as its names are loaded when they are first used: here they are used."""
NOT_COMPILED: Final = "PYTHONDONTWRITEBYTECODE"
"""Is taken out of the environment: pip compiles what it installs, the peers, too; a checkout is compiled by its first run."""
HELP: Final = (str(Path(sys.executable).with_name("provjournal")), "--help")


def imports(measure: Measure, programs: Programs, rounds: int, progress: Progress) -> Outcome:
    """Measure imports."""
    there = tuple(one for one in CONTESTANTS if one.name in IMPORTS and one.peer in programs.pythons)
    outcome = Outcome(measure, "", there)
    for number in range(rounds):
        progress(f"import, round {number + 1} of {rounds}")
        values = {}
        for one in rotated(there, number):
            python = str(programs.pythons[one.peer])
            before, after = fastest(*((python, "-c", code) for code in IMPORTS[one.name]))
            values[one.name] = (after - before) * MILLISECONDS
        outcome.rounds.append(values)
    return outcome


def help_(measure: Measure, programs: Programs, rounds: int, progress: Progress) -> Outcome:
    """Measure the command's help."""
    outcome = Outcome(measure, "", tuple(one for one in programs.contestants if one.name == OURS))
    for number in range(rounds):
        progress(f"help, round {number + 1} of {rounds}")
        outcome.rounds.append({OURS: fastest(HELP)[0] * MILLISECONDS})
    return outcome


def fastest(*commands: Sequence[str]) -> list[float]:
    """Return how many seconds each command takes at its best, of several runs of one after the other."""
    best = [float("inf")] * len(commands)
    environment = {name: value for name, value in os.environ.items() if name != NOT_COMPILED}
    for _ in range(TIMES):
        for place, command in enumerate(commands):
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=ROOT, env=environment)
            best[place] = min(best[place], time.perf_counter() - began)
    return best
