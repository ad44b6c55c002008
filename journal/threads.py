"""The port for the running of threads: a simulation drives it; production has `SystemThreads`."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Final, Protocol, TypeVar

Result = TypeVar("Result")

LONGEST_GOODBYE_SECONDS: Final = 1.0
"""How long the end of a repetition waits for a call that is under way."""


class Threads(Protocol):
    """Threads come in through here and nowhere else."""

    def pool(self, at_once: int) -> Executor:
        """Return an executor that runs so many calls at the same time."""

    def first_over(self, running: Collection[Future[Result]]) -> Sequence[Future[Result]]:
        """Wait until some of these calls of a pool are over, and return those, in the order in which they were given."""

    def repeated(self, every_seconds: float, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `action`, which raises nothing, so often while the block runs; the first time after that many seconds."""


def as_they_end(threads: Threads, calls: Iterable[Callable[[], Result]], at_once: int) -> Iterator[Result]:
    """Make calls, so many at the same time, and yield what each returns as it ends; none starts after one that raises."""
    waiting = iter(calls)
    with threads.pool(at_once) as pool:
        try:
            running = [pool.submit(call) for call in islice(waiting, at_once)]
            while running:
                over = threads.first_over(running)
                running = [future for future in running if future not in over]
                running += [pool.submit(call) for call in islice(waiting, len(over))]
                yield from (future.result() for future in over)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class SystemThreads:
    """The threads of this process."""

    def pool(self, at_once: int) -> Executor:
        """Return a pool of threads."""
        return futures.ThreadPoolExecutor(at_once, thread_name_prefix="provjournal")

    def first_over(self, running: Collection[Future[Result]]) -> Sequence[Future[Result]]:
        """Wait until some calls are over."""
        over = futures.wait(running, return_when=futures.FIRST_COMPLETED).done
        return [future for future in running if future in over]

    @contextmanager
    def repeated(self, every_seconds: float, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` from a thread of its own, which does not keep the process alive."""
        over = threading.Event()

        def repeat() -> None:
            while not over.wait(every_seconds):
                action()

        thread = threading.Thread(target=repeat, name="provjournal-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(LONGEST_GOODBYE_SECONDS)
