"""Who runs next: actors in turn, one at a time in one thread, and the time that passes while none of them can."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

from greenlet import getcurrent, greenlet

from rollback.testing.clock import SimulatedClock
from rollback.testing.crashing import Killed
from simulate.choices import Choices


class Actor:
    """What runs in turn with others: one thread of one process."""

    def __init__(self, process: Any, call: Callable[[], None]) -> None:
        self.process = process
        self.wakes: datetime | None = None
        """Until when it sleeps."""
        self.awaits: Sequence[Future[Any]] = ()
        """The calls of which one must be over before it goes on."""
        self.greenlet = greenlet(call)

    def is_ready(self, now: datetime) -> bool:
        """Whether it can go on."""
        process = self.process
        if process.is_dead:
            return True  # to find out
        if process.stopped_until > now or process.holder not in (None, self):
            return False
        if self.awaits:
            return any(future.done() for future in self.awaits)
        return self.wakes is None or self.wakes <= now


class Scheduler:
    """All actors of a world. They give way at the calls of their ports, and nowhere else."""

    def __init__(self, clock: SimulatedClock, choices: Choices) -> None:
        self.clock = clock
        self.choices = choices
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self._hub = getcurrent()

    def start(self, process: Any, call: Callable[[], None]) -> Actor:
        """Add an actor, whose turn comes when the choices say so."""

        def run() -> None:
            with suppress(Killed):
                if not process.is_dead:
                    call()
            self.actors.remove(actor)

        actor = Actor(process, run)
        actor.greenlet.parent = self._hub
        self.actors.append(actor)
        return actor

    def give_way(self) -> None:
        """Let others run; the actor goes on when its turn has come again. Raises Killed if its process died meanwhile."""
        actor = self.current
        assert actor is not None, "only actors give way"
        self._hub.switch()
        if actor.process.is_dead:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Let an actor sleep."""
        actor = self.current
        assert actor is not None, "only actors sleep"
        actor.wakes = self.clock.now() + timedelta(seconds=seconds)
        self.give_way()
        actor.wakes = None

    def wait(self, futures: Iterable[Future[Any]]) -> None:
        """Let an actor wait until one of these is over."""
        actor = self.current
        assert actor is not None, "only actors wait"
        actor.awaits = tuple(futures)
        if not any(future.done() for future in actor.awaits):
            self.give_way()
        actor.awaits = ()

    def run(self, awaited: Sequence[Actor], until: datetime) -> None:
        """Let actors run until those awaited are over, or it is so late."""
        while any(not actor.greenlet.dead for actor in awaited) and self.clock.now() < until:
            if not self.step():
                self._pass_time(until)

    def step(self) -> bool:
        """Let one actor go on, if there is one that can."""
        now = self.clock.now()
        ready = [actor for actor in self.actors if actor.is_ready(now)]
        if not ready:
            return False
        self.resume(ready[0] if len(ready) == 1 else self.choices.one_of(ready))
        return True

    def resume(self, actor: Actor) -> None:
        """Let this actor go on until it gives way."""
        self.current = actor
        actor.greenlet.switch()
        self.current = None

    def _pass_time(self, until: datetime) -> None:
        now = self.clock.now()
        moments = [max(a.wakes or now, a.process.stopped_until) for a in self.actors if not a.awaits]
        later = [moment for moment in moments if moment > now]
        self.clock.sleep((min(later, default=until) - now).total_seconds())


class ScheduledClock:
    """The simulated clock as an actor has it: he who sleeps gives way."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.now = scheduler.clock.now

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self._scheduler.sleep(seconds)


class _Waited(Future[Any]):
    """A call whose result is waited for by giving way."""

    scheduler: Scheduler

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.scheduler.wait([self])
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.done():
            self.scheduler.wait([self])
        return super().exception(timeout)


class _Pool(Executor):
    """Runs each call as an actor of its process, so many at a time."""

    def __init__(self, scheduler: Scheduler, process: Any, at_once: int) -> None:
        self._scheduler = scheduler
        self._process = process
        self._at_once = at_once
        self._waiting: list[tuple[_Waited, Callable[[], Any]]] = []
        self._running: list[_Waited] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Waited()
        future.scheduler = self._scheduler
        self._waiting.append((future, lambda: call(*args, **kwargs)))
        self._start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for future, _ in self._waiting:
                future.cancel()
            self._waiting.clear()
        while wait and self._running and not self._process.is_dead:
            self._scheduler.wait(self._running)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            future, call = self._waiting.pop(0)
            if future.cancelled():
                continue
            future.set_running_or_notify_cancel()
            self._running.append(future)
            self._scheduler.start(self._process, lambda future=future, call=call: self._run(future, call))

    def _run(self, future: _Waited, call: Callable[[], Any]) -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 (as a pool does)
            future.set_exception(error)
        finally:
            self._running.remove(future)
            if not self._process.is_dead:
                self._start()


class ScheduledThreads:
    """The threads of one simulated process: actors."""

    def __init__(self, scheduler: Scheduler, process: Any) -> None:
        self._scheduler = scheduler
        self._process = process

    def pool(self, at_once: int) -> Executor:
        """Return a pool of actors."""
        return _Pool(self._scheduler, self._process, at_once)

    def first_over(self, running: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Wait until some calls are over."""
        self._scheduler.wait(running)
        return [future for future in running if future.done()]

    @contextmanager
    def repeated(self, every_seconds: float, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` from an actor of its own."""
        over = False

        def repeat() -> None:
            while not over:
                self._scheduler.sleep(every_seconds)
                if not over:
                    action()

        self._scheduler.start(self._process, repeat)
        try:
            yield
        finally:
            over = True
