"""Waiting for a real cloud."""

import time
from collections.abc import Callable

SECONDS = 60
PAUSE = 0.05


def until(seen: Callable[[], object]) -> None:
    """Ask a real cloud until it shows something; there is no event to await."""
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline, "the cloud did not show it in time"
        time.sleep(PAUSE)
