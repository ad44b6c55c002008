"""The port for the running of threads: a simulation drives it; production has `SystemThreads`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

LONGEST_GOODBYE_SECONDS: Final = 1.0
"""How long the end of a repetition waits for a call that is under way."""


class Threads(Protocol):
    """Threads come in through here and nowhere else."""

    def pool(self, at_once: int) -> Executor:
        """Return an executor that runs so many calls at the same time."""

    def repeated(self, every_seconds: float, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `action`, which raises nothing, so often while the block runs; the first time after that many seconds."""


class SystemThreads:
    """The threads of this process."""

    def pool(self, at_once: int) -> Executor:
        """Return a pool of threads."""
        return ThreadPoolExecutor(at_once, thread_name_prefix="provjournal")

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
