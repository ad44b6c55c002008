"""Dying at a chosen call: wrappers around the ports that end a process before or after its n-th effect.

A run without a chosen point records which points there are, so no list of them is kept anywhere.
"""

from collections.abc import Callable, Collection
from typing import Any, NoReturn


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
        self.killed: Killed | None = None
        """What ended the process, once it is dead."""
        self.called_dead: list[str] = []
        """What the process called although it was dead already."""
        self._die = die
        self._pause = pause

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        """Make one call of a port, unless the process dies before it."""
        if self.killed is not None:
            self.called_dead.append(name)
        self._pass(f"before {name}")
        result = effect()
        self._pass(f"after {name}")
        return result

    def kill(self) -> NoReturn:
        """End the process, in whatever call it is."""
        self.killed = Killed()
        raise self.killed

    def _pass(self, point: str) -> None:
        if self.killed is not None:
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
        self.kill()


class Crashing:
    """A port whose named methods are crash points, each called by its name with `prefix` before it."""

    def __init__(self, port: Any, points: CrashPoints, methods: Collection[str], prefix: str = "") -> None:
        self._port = port
        self._points = points
        self._methods = methods
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._methods:
            return found
        return lambda *args, **kwargs: self._points.call(f"{self._prefix}{name}", lambda: found(*args, **kwargs))


STORE_CALLS = frozenset({"append", "renew", "release", "settle"})
CLOUD_CALLS = frozenset(
    {
        *("create_server", "create_resource", "delete_server", "delete_resource"),
        *("delete", "get", "list_journal", "list_all", "list_kind", "mark"),
    }
)
POLLS = frozenset({"is_active", "is_gone", "is_usable"})
"""Called as often as a wait takes: crash points where time is simulated."""
