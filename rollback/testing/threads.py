"""Simulated threads: what a pool is given runs at once, in the caller's thread."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from rollback.testing.clock import SimulatedClock

Result = TypeVar("Result")


class InlineExecutor(Executor):
    """Runs each call when it is handed in, in the caller's thread."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call; what ends a process ends it here too."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (as a pool does)
            future.set_exception(error)
        return future


class SimulatedThreads:
    """Threads of a process whose calls run one after the other; with a clock, its heart beats when time passes."""

    def __init__(self, clock: SimulatedClock | None = None) -> None:
        self._clock = clock

    def pool(self, at_once: int) -> Executor:  # noqa: ARG002 (the port's)
        """Return an executor."""
        return InlineExecutor()

    def first_over(self, running: Collection[Future[Result]]) -> Sequence[Future[Result]]:
        """Return all: each was over once it was handed in."""
        return list(running)

    @contextmanager
    def repeated(self, every_seconds: float, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` whenever so much simulated time has passed."""
        over = False

        def repeat() -> None:
            if not over and self._clock is not None:
                action()
                self._clock.later(every_seconds, repeat)

        if self._clock is not None:
            self._clock.later(every_seconds, repeat)
        try:
            yield
        finally:
            over = True
