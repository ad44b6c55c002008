"""Waiting for what tells nobody when it comes: a real cloud, a lock in a database, a queue of threads."""

import time
from collections.abc import Callable

SECONDS = 60
PAUSE = 0.05


def until(seen: Callable[[], object], *, pause_seconds: float = PAUSE) -> None:
    """Ask until it is so; there is no event to await. The pause is as long as it takes what is asked to be asked."""
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(pause_seconds)
