"""The simulated clock: time passes only when somebody sleeps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count


class SimulatedClock:
    """Time that passes only when somebody sleeps; what is due meanwhile happens then."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = count()

    def now(self) -> datetime:
        """Return the time now."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        until = self._now + timedelta(seconds=seconds)
        while self._due and self._due[0][0] <= until:
            at, _, what = heappop(self._due)
            self._now = max(self._now, at)
            what()
        self._now = until

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen once this much time has passed."""
        heappush(self._due, (self._now + timedelta(seconds=seconds), next(self._count), what))
