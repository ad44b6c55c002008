"""Steps in parallel: which of them start, and how their intents and completions are recorded together."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Protocol

from journal.errors import Fenced, Malformed, OutOfOrder
from journal.events import Completion, Data
from journal.steps import Absent, Body, PlannedStep, Step, reason_of, silent_create
from journal.telemetry import span
from journal.threads import Threads


class BatchRecorder(Protocol):
    """What records steps in batches: the operation that they belong to."""

    def begin_all(self, steps: Sequence[PlannedStep], *more: Data) -> list[Step]:
        """Commit the intents of steps, after whatever `more` there is to record, in one append."""

    def ended(self, step: Step, error: BaseException | None) -> Completion | None:
        """Return how the body of a step ended; None where that is unknown."""

    def done(self, planned: PlannedStep) -> Step | None:
        """Return the step if it has succeeded already."""


def run_all(recorder: BatchRecorder, steps: Sequence[PlannedStep], body: Body, threads: Threads, at_once: int) -> list[Step]:
    """Run steps, `at_once` at a time, and return them in the order in which they were given.

    When one fails, no further one starts; those in flight go on to their end and are recorded. An interrupt waits for
    nothing: what is in flight stays unfinished.
    """
    return _Run(recorder, steps, body, threads, at_once).run()


class _Run:
    """One run of many steps. All of it but the bodies happens in the caller's thread."""

    def __init__(self, recorder: BatchRecorder, steps: Sequence[PlannedStep], body: Body, threads: Threads, at_once: int) -> None:
        self.recorder = recorder
        self.body = body
        self.threads = threads
        self.pool = threads.pool(at_once)
        self.at_once = at_once
        self.steps: list[Step | None] = [recorder.done(planned) for planned in steps]
        self.waiting = deque((place, steps[place]) for place, done in enumerate(self.steps) if done is None)
        self.running: dict[Future[object], Step] = {}
        self.errors: list[BaseException] = []

    def run(self) -> list[Step]:
        try:
            self._go_on(())
            while self.running:
                self._go_on(self.threads.first_over(self.running))
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)
        if self.errors:
            raise _as_one(self.errors)
        return [step for step in self.steps if step is not None]

    def _go_on(self, over: Iterable[Future[object]]) -> None:
        """Record the steps that are over and the intents of those that start in their places, in one append."""
        completions = [found for future in over if (found := self._end(future)) is not None]
        free = 0 if self.errors else min(self.at_once - len(self.running), len(self.waiting))
        starting = [self.waiting.popleft() for _ in range(free)]
        try:
            begun = self._record([planned for _, planned in starting], completions)
        except Exception as error:  # noqa: BLE001 (those in flight go on to their end first)
            self.errors.append(error)
            return
        for (place, _), step in zip(starting, begun, strict=True):
            self.steps[place] = step
            # A copy for each: the body runs in the caller's context, whatever it is in (a span, a request's id).
            self.running[self.pool.submit(copy_context().run, self._spanned, step)] = step

    def _spanned(self, step: Step) -> object:
        with span(step.action, step.about):
            return self.body(step)

    def _record(self, starting: Sequence[PlannedStep], completions: Sequence[Completion]) -> list[Step]:
        try:
            return self.recorder.begin_all(starting, *completions)
        except (Malformed, OutOfOrder):
            if starting and completions:
                self.recorder.begin_all([], *completions)  # what is over stands, whatever is wrong with what was to start
            raise

    def _end(self, future: Future[object]) -> Completion | None:
        step, error = self.running.pop(future), future.exception()
        completion = self.recorder.ended(step, error)
        if error is None and completion is None:
            error = silent_create(step)
        if error is not None and not isinstance(error, Absent):
            self.errors.append(error)
        return completion


def _as_one(errors: Sequence[BaseException]) -> BaseException:
    """Return the error to raise: that the operation was fenced, if it was, else the first; the others are its notes."""
    first = next((error for error in errors if isinstance(error, Fenced)), errors[0])
    for other in errors:
        if other is not first:
            first.add_note(f"also: {reason_of(other)}")
    return first
