"""Dying at a chosen call: wrappers around the ports that end a process before or after its n-th effect.

A run without a chosen point records which points there are, so no list of them is kept anywhere.
"""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The simulated process is dead: whatever port it calls from here on, nothing happens."""


class CrashPoints:
    """Counts the calls of ports; `die_at` is the point at which to die: 2n is before the n-th call, 2n+1 after it.

    With `pause`, that is called there instead, and the process goes on.
    """

    def __init__(
        self, die_at: int | None = None, die: Callable[[], None] | None = None, pause: Callable[[], None] | None = None
    ) -> None:
        self.die_at = die_at
        self.seen: list[str] = []
        self._die = die
        self._pause = pause
        self._dead = False

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        """Make one call of a port, unless the process dies before it."""
        self._pass(f"before {name}")
        result = effect()
        self._pass(f"after {name}")
        return result

    def _pass(self, point: str) -> None:
        if self._dead:
            raise Killed
        self.seen.append(point)
        if self.die_at == len(self.seen) - 1:
            self._end_here()

    def _end_here(self) -> None:
        if self._pause is not None:
            self._pause()
            return
        if self._die is not None:
            self._die()
        self._dead = True
        raise Killed


class Crashing:
    """A port whose named methods are crash points."""

    def __init__(self, port: Any, points: CrashPoints, methods: frozenset[str]) -> None:
        self._port = port
        self._points = points
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._methods:
            return found
        return lambda *args, **kwargs: self._points.call(name, lambda: found(*args, **kwargs))


STORE_CALLS = frozenset({"append", "renew", "release", "settle"})
CLOUD_CALLS = frozenset(
    {
        *("create_server", "create_resource", "delete_server", "delete_resource"),
        *("delete", "get", "list_journal", "list_all", "list_kind", "mark"),
    }
)
POLLS = frozenset({"is_active", "is_gone"})
"""Called as often as a wait takes: crash points where time is simulated."""
