"""The clock's port: what time it is, and waiting. A simulation drives it; production has `SystemClock`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time comes in through here and nowhere else."""

    def now(self) -> datetime:
        """Return the time now, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait; an interrupt ends it."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the time now, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait; an interrupt ends it."""
        time.sleep(seconds)
