"""A conductor that dies at every call: its operation is run, killed, and cleaned up after, and then all must hold that is to.

    crash_everywhere(create)
    crash_everywhere(scale, after=[create], resume=carry_on, faults=CLOUD_ERRORS | DELETIONS)

One run without a fault shows which calls there are. Then there is a run for each fault at each of them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from random import Random
from typing import Final, NoReturn

import attrs

from journal.codec import encode_line
from journal.errors import JournalError
from journal.events import (
    DeletionRequested,
    ErrorRecorded,
    Event,
    Intent,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    Stage,
)
from journal.steps import reason_of
from rollback.errors import RollbackError
from rollback.testing.breach import Breach
from rollback.testing.crashing import STORE_CALLS, CrashPoints, Killed
from rollback.testing.faults import Fault
from rollback.testing.holding import made, rolled_back, violations
from rollback.testing.tries import Try, crashes, lost_requests, numbered, placed
from rollback.testing.world import SimulatedProcess, SimulatedWorld

Operation = Callable[[SimulatedProcess], object]
"""What a test tries: a function that builds a conductor from what a process has in its hands, and runs one operation."""
UNDISTURBED: Final = "without any fault"


@attrs.frozen
class Survived:
    """What was tried, and held. `points`: where, each as `only` takes it."""

    points: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.points)


def crash_everywhere(  # noqa: PLR0913 (a test says by name what it wants tried)
    operation: Operation,
    *,
    after: Sequence[Operation] = (),
    resume: Operation | None = None,
    faults: Mapping[str, Fault] | None = None,
    may_fail: bool = False,
    twice: int = 100,
    world: Callable[[], SimulatedWorld] = SimulatedWorld,
    only: str | None = None,
    history: str | Path | None = None,
) -> Survived:
    """Run an operation, kill its process before and after each of its calls, clean up, and check that all holds that must.

    Always tried: the process dies before or after a call of the journal or the cloud; it dies while its request for a
    create is on the way, which arrives afterwards, before its deadline; and then whoever cleans up dies as well, at so many
    pairs of points, drawn from all, as `twice` says.

    `after`: operations that have succeeded before. `resume`: carries the operation on with `handler.resume`, in place of
    a rollback, wherever that can be done; it then has to succeed, and what is made has to be what an undisturbed run
    makes. `faults`: what else is tried at each call, by name: `CLOUD_ERRORS | DELETIONS`, say, and faults of your own.
    `may_fail`: the operation fails by itself, and its handler cleans up. `world`: makes the world of each run.

    `only`: just one point, as a failure names it, and with its logs. `history`: a file to which the journal of a failed run
    is written, for `provjournal replay`. Raises Breach, and ValueError for a point that is not there.
    """
    __tracebackhide__ = True
    trial = _Trial(operation, tuple(after), resume, may_fail, world, None if history is None else Path(history))
    with _quiet():
        expected = trial.undisturbed()
    tries = [*crashes(expected.points, "crash "), *lost_requests(expected.points), *placed(faults or {}, expected.points)]
    if only is not None:
        return trial.one(only, tries)
    with _quiet():
        return trial.all(tries, twice)


@attrs.frozen
class _Expected:
    """What an undisturbed run comes to."""

    points: tuple[str, ...]
    made: Counter[str]


@attrs.define
class _Trial:
    """One operation, tried in many worlds."""

    operation: Operation
    after: tuple[Operation, ...]
    resume: Operation | None
    may_fail: bool
    new_world: Callable[[], SimulatedWorld]
    history: Path | None
    expected: _Expected = attrs.field(init=False)

    # ---- which runs there are

    def all(self, tries: Sequence[Try], twice: int) -> Survived:
        """Try all faults, then pairs of them."""
        __tracebackhide__ = True
        tried: list[str] = []
        pairs: list[tuple[Try, Try]] = []
        for fault in tries:
            calls = self.run(fault)
            tried.append(fault.label)
            if fault.kills:
                pairs += [(fault, second) for second in crashes(calls, f"{fault.label}, then crash ")]
        chosen = Random(0).sample(range(len(pairs)), min(twice, len(pairs)))  # noqa: S311 (each run is to be alike)
        for first, second in (pairs[number] for number in sorted(chosen)):
            self.run(first, second)
            tried.append(second.label)
        return Survived(tuple(tried))

    def one(self, label: str, tries: Sequence[Try]) -> Survived:
        """Try the fault, or the pair of them, that a label names. Raises ValueError if there is none."""
        __tracebackhide__ = True
        first = next((fault for fault in tries if label in (fault.label, fault.point)), None)
        if first is not None:
            self.run(first)
            return Survived((first.label,))
        by_label = {fault.label: fault for fault in tries}
        first = by_label.get(label.partition(", then ")[0])
        if first is not None:
            with _quiet():
                calls = self.run(first)
            seconds = {fault.label: fault for fault in crashes(calls, f"{first.label}, then crash ")}
            by_label |= seconds
            if label in seconds:
                self.run(first, seconds[label])
                return Survived((label,))
        near = get_close_matches(label, by_label, 3)
        hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
        msg = f"there is no point {label!r} among {len(by_label)}{hint}"
        raise ValueError(msg)

    # ---- one run

    def undisturbed(self) -> _Expected:
        """Run the operation without any fault. Raises Breach if that does not go well already."""
        __tracebackhide__ = True
        world = self._prepared()
        versions = _versions(world)
        process = world.process("conductor")
        self._operate(self.operation, process, UNDISTURBED)
        points = numbered(process.points.seen)
        if not points:
            why = (
                "the operation called neither the journal nor the cloud: build your conductor from what the process has in its "
                "hands (process.handler, process.journal, process.cloud)"
            )
            self._fail(world, UNDISTURBED, [why])
        failed = [] if self.may_fail else list(_failures(world, versions))
        found = [*world.oracle.breaches, *world.oracle.lost(), *(f"the operation fails {UNDISTURBED}: {why}" for why in failed)]
        if failed:
            found.append("if it is meant to, say may_fail=True")
        found = found or rolled_back(world.process("last")) or violations(world)
        if found:
            self._fail(world, UNDISTURBED, found)
        self.expected = _Expected(points, made(world))
        return self.expected

    def run(self, fault: Try, second: Try | None = None) -> tuple[str, ...]:
        """Run the operation with a fault, clean up, and check. Return the calls of whoever cleaned up."""
        __tracebackhide__ = True
        label = fault.label if second is None else second.label
        world = self._prepared()
        self._disturb(world, fault, label)
        if fault.at_once:
            _give_up_leases(world)
        elif fault.kills:
            world.clock.sleep(world.settings.lease_seconds)
        points = CrashPoints(None if second is None else second.at)
        found: list[str] = []
        try:
            found = self._bring_back(world, points, label)
        except Killed:
            world.clock.sleep(world.settings.lease_seconds)
        if second is not None:
            self._expect_reached(world, points, second, label)
            found = self._bring_back(world, CrashPoints(), label)
        found = found or violations(world)
        if found:
            self._fail(world, label, found)
        return numbered(points.seen)

    def _prepared(self) -> SimulatedWorld:
        """Return a world in which the operation can begin."""
        __tracebackhide__ = True
        world = self.new_world()
        world.oracle.meet_strangers()
        for number, operation in enumerate(self.after, start=1):
            versions = _versions(world)
            self._operate(operation, world.process(f"before-{number}"), f"before, in {_named(operation)}")
            failed = [*world.oracle.breaches, *_failures(world, versions)]
            if failed:
                self._fail(world, f"before, in {_named(operation)}", failed)
            world.clock.sleep(world.settings.lease_seconds)
        return world

    def _operate(self, operation: Operation, process: SimulatedProcess, where: str) -> None:
        __tracebackhide__ = True
        try:
            operation(process)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the test's failure)
            self._fail(process.world, where, [f"{_named(operation)} raised {reason_of(error)}"], error)

    def _disturb(self, world: SimulatedWorld, fault: Try, label: str) -> None:
        """Run the operation in a process to which something happens."""
        __tracebackhide__ = True
        came: list[BaseException] = []
        raised: BaseException | None = None

        def happen() -> None:
            try:
                fault.happen(process)
            except BaseException as error:
                process.watch.lose_answer()
                came.append(error)
                raise

        process = world.process("conductor", CrashPoints(fault.at, pause=happen))
        try:
            self.operation(process)
        except (Exception, Killed) as error:  # noqa: BLE001 (it is looked at below)
            raised = error
        self._expect_reached(world, process.points, fault, label)
        if fault.kills:
            found = list(_life_after_death(process.points, raised))
        elif (
            raised is None or isinstance(raised, JournalError | RollbackError) or any(_leads_to(raised, error) for error in came)
        ):
            found = []  # a conductor without a handler may raise what came, and any what its journal says
        else:
            found = [f"{_named(self.operation)} raised {reason_of(raised)}"]
        if found:
            self._fail(world, label, found, raised)

    def _expect_reached(self, world: SimulatedWorld, points: CrashPoints, fault: Try, label: str) -> None:
        __tracebackhide__ = True
        calls = numbered(points.seen)
        if len(calls) <= fault.at or calls[fault.at] != fault.point:
            came = f"it called {calls[fault.at]}" if len(calls) > fault.at else f"it made {len(calls)} calls"
            why = (
                f"the operation did other calls than in the run before, {came} where {fault.point} was expected: it must do the "
                "same each time. Keep nothing outside of the function; take time and threads from the process"
            )
            self._fail(world, label, [why])

    # ---- cleaning up

    def _bring_back(self, world: SimulatedWorld, points: CrashPoints, label: str) -> list[str]:
        """Carry the operation on, if that is wanted and can be done; then, or else, roll back. Return what went wrong."""
        __tracebackhide__ = True
        process = world.process("rescuer", points)
        if self.resume is None or not _is_resumable(world):
            return rolled_back(process)
        versions = _versions(world)
        self._operate(self.resume, process, label)
        found = [f"what was resumed did not succeed: {why}" for why in _failures(world, versions)]
        found += _differences(self.expected.made, made(world))
        return found or rolled_back(world.process("last"))

    def _fail(self, world: SimulatedWorld, label: str, violated: Sequence[str], cause: BaseException | None = None) -> NoReturn:
        __tracebackhide__ = True
        events = list(_events(world))
        again = ""
        if label != UNDISTURBED and not label.startswith("before, in "):
            again = f"just this again: crash_everywhere({_named(self.operation)}, …, only={label!r})"
        if self.history is not None:
            self.history.write_bytes(b"".join(encode_line(event) for event in events))
            again = f"{again}\nthe journal was written to {self.history}: provjournal replay {self.history} --plan".lstrip()
        raise Breach(label, list(dict.fromkeys((*world.oracle.breaches, *violated))), events, again) from cause


# ---- reading


def _named(operation: Operation) -> str:
    return str(getattr(operation, "__name__", operation))


def _events(world: SimulatedWorld) -> Iterator[Event]:
    for head in world.store.heads():
        yield from world.store.read(head.stream)


def _versions(world: SimulatedWorld) -> dict[str, int]:
    return {head.stream: head.version for head in world.store.heads()}


def _failures(world: SimulatedWorld, since: Mapping[str, int]) -> Iterator[str]:
    """Yield why what was run since some versions has not succeeded: of an end for a user's deletion it is not said."""
    fine = (OperationOutcome.SUCCEEDED, OperationOutcome.CANCELLED)
    for head in world.store.heads():
        errors: list[str] = []
        for event in world.store.read(head.stream, after=since.get(head.stream, 0)):
            match event.data:
                case ErrorRecorded(reason=reason):
                    errors.append(reason)
                case OperationFinished(outcome=outcome, reason=reason) if outcome not in fine:
                    yield "; ".join(dict.fromkeys((*errors, reason)))
                case _:
                    pass
        if head.operation is not None:
            yield "; ".join((f"an operation of {head.stream} is unfinished", *errors))


def _is_resumable(world: SimulatedWorld) -> bool:
    """Whether a create or a scale is unfinished that nobody has begun to roll back, or asked to delete."""
    for head in world.store.heads():
        if head.operation is None:
            continue
        events = [event for event in world.store.read(head.stream) if event.operation == head.operation]
        asked = any(isinstance(event.data, DeletionRequested) for event in world.store.read(head.stream))
        rolled = any(isinstance(event.data, Intent) and event.data.stage is Stage.ROLLBACK for event in events)
        kinds = [event.data.kind for event in events if isinstance(event.data, OperationStarted)]
        if not asked and not rolled and OperationKind.DELETE not in kinds:
            return True
    return False


def _differences(expected: Counter[str], found: Counter[str]) -> Iterator[str]:
    for name in sorted(expected | found):
        if expected[name] != found[name]:
            hint = ": a step needs a key to be known again" if found[name] > expected[name] else ""
            yield f"there are {found[name]} of {name} after it was resumed, and {expected[name]} {UNDISTURBED}{hint}"


def _life_after_death(points: CrashPoints, raised: BaseException | None) -> Iterator[str]:
    """Yield what a process did after it was killed. The library gives up the lease then: that is of no effect, either."""
    if points.killed is None:
        return
    called = ", ".join(dict.fromkeys(name for name in points.called_dead if name not in STORE_CALLS))
    if called:
        yield (
            f"after the process was killed the operation went on to call {called}, in a finally or an except BaseException: "
            "leave cleaning up to the handler"
        )
    if not _leads_to(raised, points.killed):
        went_on = "returned" if raised is None else "went on"
        yield f"the operation caught what killed its process, and {went_on}: catch Exception, never BaseException"


def _leads_to(raised: BaseException | None, error: BaseException) -> bool:
    """Whether one was raised for the other, or is it."""
    while raised is not None and raised is not error:
        raised = raised.__cause__ or raised.__context__
    return raised is error


def _give_up_leases(world: SimulatedWorld) -> None:
    for head in list(world.store.heads()):
        if head.owner is not None:
            world.store.release(head.stream, head.owner, epoch=head.epoch)


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: hundreds of operations fail here on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
