"""At which calls what is tried: each call's points, with their numbers, and what comes there."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import attrs

from journal.steps import Step
from rollback.errors import CloudRefused
from rollback.testing.crashing import STORE_CALLS
from rollback.testing.faults import Fault
from rollback.testing.world import SimulatedProcess

LATE_SECONDS: Final = 1.0
"""How long before its deadline a late request arrives."""
CREATES: Final = ("before create_server #", "before create_resource #")


@attrs.frozen
class Try:
    """What happens at one point. `happen` comes there in the process that is tried."""

    point: str
    at: int
    label: str
    happen: Callable[[SimulatedProcess], None]
    kills: bool = False
    at_once: bool = False
    """Whether somebody cleans up at once: the lease is given up, as when a process is told to stop."""


def crashes(points: Sequence[str], prefix: str) -> Iterator[Try]:
    """Yield the death of the process at each point."""
    for at, point in enumerate(points):
        yield Try(point, at, f"{prefix}{point}", lambda process: process.points.kill(), kills=True)


def lost_requests(points: Sequence[str]) -> Iterator[Try]:
    """Yield its death during each create, whose request arrives afterwards."""
    for at, point in enumerate(points):
        if point.startswith(CREATES):
            label = f"crash during {point.removeprefix('before ')}"
            yield Try(point, at, label, _lose_request, kills=True, at_once=True)


def placed(faults: Mapping[str, Fault], points: Sequence[str]) -> Iterator[Try]:
    """Yield each fault at each point where it can come."""
    for name, fault in faults.items():
        for at, point in enumerate(points):
            if (fault.at_journal or not _is_of_store(point)) and (fault.after or point.startswith("before ")):
                yield Try(point, at, f"{name} {point}", fault.happen)


def _lose_request(process: SimulatedProcess) -> None:
    """Let the process die while the request that it is about to send is on its way."""

    def lose(step: Step, arrive: Callable[[], object]) -> NoReturn:
        def arrive_late() -> None:
            with suppress(CloudRefused):
                arrive()

        left = (step.deadline - process.clock.now()).total_seconds()
        process.clock.later(max(0.0, left - LATE_SECONDS), arrive_late)
        process.points.kill()

    process.watch.lose = lose


def numbered(seen: Sequence[str]) -> tuple[str, ...]:
    """Return the points with the number of each call among those of its name: `before append #2`."""
    counts: Counter[str] = Counter()
    points = []
    for point in seen:
        side, _, name = point.partition(" ")
        counts[name] += side == "before"
        points.append(f"{point} #{counts[name]}")
    return tuple(points)


def _is_of_store(point: str) -> bool:
    return point.split()[1] in STORE_CALLS
