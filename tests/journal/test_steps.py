"""Steps as a conductor runs them: in parallel, with keys, and waiting for what they have set off."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from journal.errors import Fenced, KeyReused, OutOfOrder, StepInDoubt, WaitTimedOut
from journal.events import Completion, Intent, OperationKind, Stage, StepOutcome
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.recorder import Operation
from journal.steps import Absent, Refused, Step
from journal.store import Claim
from journal.threads import SystemThreads, Threads
from rollback.testing.clock import SimulatedClock
from rollback.testing.threads import SimulatedThreads

CLOUD = "RegionOne/5f0c4d"
SECONDS = 30


class CountingStore(MemoryStore):
    """Counts appends, and tells when a failure is recorded."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.appends = 0
        self.failure_recorded = threading.Event()

    def append(self, events: Any, **kwargs: Any) -> Any:
        self.appends += 1
        stored = super().append(events, **kwargs)
        if any(isinstance(e.data, Completion) and e.data.outcome is StepOutcome.FAILED for e in events):
            self.failure_recorded.set()
        return stored


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def store(clock: SimulatedClock) -> CountingStore:
    return CountingStore(clock.now)


@pytest.fixture(params=["threads of the process", "one after the other"])
def op(request: pytest.FixtureRequest, clock: SimulatedClock, store: CountingStore) -> Operation:
    threads: Threads = SystemThreads() if "process" in request.param else SimulatedThreads()
    return Journal(store, conductor="a", clock=clock, threads=threads).begin("c-1", OperationKind.CREATE, CLOUD)


@pytest.fixture
def threaded(clock: SimulatedClock, store: CountingStore) -> Operation:
    return Journal(store, conductor="a", clock=clock).begin("c-1", OperationKind.CREATE, CLOUD)


def creates(op: Operation, count: int) -> list[Any]:
    return [op.create_server("worker", f"w{number}") for number in range(count)]


def create(step: Step) -> None:
    step.created(f"id-{step.name}")


def outcomes(store: MemoryStore) -> dict[str, str]:
    """What each step has come to, by its name or what it acts on."""
    found: dict[Any, str] = {}
    names: dict[Any, str] = {}
    for event in store.read("c-1"):
        if isinstance(event.data, Intent):
            names[event.data.step] = getattr(event.data, "name", "") or ", ".join(getattr(event.data, "server_ids", ()))
            found[names[event.data.step]] = "unfinished"
        elif isinstance(event.data, Completion):
            found[names[event.data.step]] = str(event.data.outcome)
    return found


def test_steps_in_parallel_are_all_recorded_and_returned_in_order(op: Operation, store: CountingStore) -> None:
    steps = op.run_all(creates(op, 25), create, at_once=4)
    assert [step.server_id for step in steps] == [f"id-w{number}" for number in range(25)]
    assert set(outcomes(store).values()) == {"succeeded"}
    op.succeed()


def test_no_more_run_at_once_than_was_asked_for(threaded: Operation) -> None:
    running, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(3)

    def body(step: Step) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(SECONDS)
        with lock:
            running -= 1
        create(step)

    threaded.run_all(creates(threaded, 9), body, at_once=3)
    assert most == 3


def test_the_intents_of_steps_that_start_together_go_into_one_append(threaded: Operation, store: CountingStore) -> None:
    before, together = store.appends, threading.Barrier(50)

    def body(step: Step) -> None:
        together.wait(SECONDS)
        create(step)

    threaded.run_all(creates(threaded, 50), body, at_once=50)
    assert len([event for event in store.read("c-1") if isinstance(event.data, Intent)]) == 50
    intents = [event.version for event in store.read("c-1") if isinstance(event.data, Intent)]
    assert intents == list(range(2, 52)), "no completion came in between"
    assert store.appends - before <= 51


def test_a_step_creates_one_server(op: Operation, store: CountingStore) -> None:
    def twice(step: Step) -> None:
        step.created("vm-1")
        step.created("vm-1")
        with pytest.raises(ValueError, match="the step 'w0' created vm-1; vm-2 needs a step of its own"):
            step.created("vm-2")

    assert creates(op, 1)[0].run(twice).server_id == "vm-1"


def test_a_body_sees_its_intent_committed(op: Operation, store: CountingStore) -> None:
    def body(step: Step) -> None:
        assert step.id in {unfinished.step for unfinished in store.unfinished_steps()}
        create(step)

    op.run_all(creates(op, 5), body, at_once=2)


def test_a_step_that_fails_keeps_the_others_from_starting_and_those_in_flight_are_recorded(
    threaded: Operation, store: CountingStore
) -> None:
    together = threading.Barrier(3)

    def body(step: Step) -> None:
        together.wait(SECONDS)
        if step.name == "w1":
            raise Refused("quota exceeded")
        assert store.failure_recorded.wait(SECONDS)
        create(step)

    with pytest.raises(Refused, match="quota exceeded"):
        threaded.run_all(creates(threaded, 10), body, at_once=3)
    assert outcomes(store) == {"w0": "succeeded", "w1": "failed", "w2": "succeeded"}


def test_all_that_failed_is_told(threaded: Operation) -> None:
    together = threading.Barrier(2)

    def body(step: Step) -> None:
        together.wait(SECONDS)
        raise Refused(f"no room for {step.name}")

    with pytest.raises(Refused) as told:
        threaded.run_all(creates(threaded, 2), body, at_once=2)
    assert {str(told.value), *told.value.__notes__} in (
        {"no room for w0", "also: Refused: no room for w1"},
        {"no room for w1", "also: Refused: no room for w0"},
    )


def test_an_unknown_outcome_stays_unfinished_in_parallel_too(op: Operation, store: CountingStore) -> None:
    def body(step: Step) -> None:
        raise ConnectionError("reset by peer")

    with pytest.raises(ConnectionError):
        op.run_all(creates(op, 1), body)
    assert outcomes(store) == {"w0": "unfinished"}


def test_a_create_that_says_no_id_stays_unfinished_in_parallel_too(op: Operation, store: CountingStore) -> None:
    with pytest.raises(TypeError, match=r"'w0' returned without a call of step.created"):
        op.run_all(creates(op, 1), lambda _: None)
    assert outcomes(store) == {"w0": "unfinished"}


def test_a_delete_of_what_is_not_there_is_no_error(op: Operation, store: CountingStore) -> None:
    op.run_all(creates(op, 1), create)

    def body(step: Step) -> None:
        raise Absent("it was not there")

    op.run_all([op.delete_server("id-w0")], body)
    assert [event.data.outcome for event in store.read("c-1") if isinstance(event.data, Completion)] == [
        StepOutcome.SUCCEEDED,
        StepOutcome.ABSENT,
    ]


def test_under_a_lost_epoch_no_further_body_runs(op: Operation, store: CountingStore, clock: SimulatedClock) -> None:
    ran = []

    def body(step: Step) -> None:
        ran.append(step.name)
        if len(ran) == 1:
            Journal(store, conductor="api", clock=clock).request_deletion("c-1", by="user")
        create(step)

    with pytest.raises(Fenced):
        op.run_all(creates(op, 5), body, at_once=1)
    assert ran == ["w0"]


def test_what_is_over_is_recorded_even_if_what_was_to_start_is_refused(op: Operation, store: CountingStore) -> None:
    steps = [*creates(op, 1), op.delete_server("unknown")]
    with pytest.raises(OutOfOrder):
        op.run_all(steps, create, at_once=1)
    assert outcomes(store) == {"w0": "succeeded"}


def test_an_interrupt_does_not_wait_for_what_is_in_flight(threaded: Operation, store: CountingStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def body(step: Step) -> None:
        begun.set()
        go_on.wait(SECONDS)

    append = store.append

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if begun.is_set():
            raise KeyboardInterrupt
        return append(*args, **kwargs)

    def body_that_ends(step: Step) -> None:
        assert begun.wait(SECONDS)
        create(step)

    store.append = interrupted  # type: ignore[method-assign]
    bodies = {"w0": body, "w1": body_that_ends}
    with pytest.raises(KeyboardInterrupt):
        threaded.run_all(creates(threaded, 2), lambda step: bodies[step.name](step), at_once=2)
    go_on.set()


def test_no_steps_are_no_work(op: Operation, store: CountingStore) -> None:
    before = store.appends
    assert op.run_all([], create) == []
    assert store.appends == before


# ---- keys


def test_a_step_whose_key_has_succeeded_does_not_run_again(op: Operation) -> None:
    first = op.create_server("worker", "w", key="w").run(create)
    again = op.create_server("worker", "w", key="w").run(lambda _: pytest.fail("it ran again"))
    assert (again.id, again.server_id, again.was_done) == (first.id, first.server_id, True)
    assert [s.was_done for s in op.run_all([op.create_server("worker", "w", key="w")], create)] == [True]


def test_a_with_statement_cannot_leave_out_a_step_that_has_succeeded(op: Operation) -> None:
    op.create_server("worker", "w", key="w").run(create)
    with pytest.raises(TypeError, match="has succeeded already"), op.create_server("worker", "w", key="w"):
        pytest.fail("it ran again")


def test_a_step_that_failed_for_certain_can_be_tried_again_under_its_key(op: Operation, store: CountingStore) -> None:
    def refused(step: Step) -> None:
        raise Refused("no")

    with pytest.raises(Refused):
        op.create_server("worker", "w", key="w").run(refused)
    assert op.create_server("worker", "w", key="w").run(create).server_id == "id-w"
    assert len({event.data.step for event in store.read("c-1") if isinstance(event.data, Intent)}) == 2


def test_a_step_in_doubt_cannot_be_tried_again(op: Operation) -> None:
    def lost(step: Step) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        op.create_server("worker", "w", key="w").run(lost)
    with pytest.raises(StepInDoubt, match="'w'"):
        op.create_server("worker", "w", key="w").run(create)


def test_a_key_stands_for_one_step_only(op: Operation) -> None:
    op.create_server("worker", "w", key="w").run(create)
    with pytest.raises(KeyReused, match="'w' already stands for another step"):
        op.create_server("worker", "another", key="w").run(create)


def test_the_ids_of_steps_with_keys_are_their_operations_own(op: Operation, clock: SimulatedClock) -> None:
    other = Journal(MemoryStore(clock.now), conductor="a", clock=clock).begin("c-1", OperationKind.CREATE, CLOUD)
    ids = {operation.create_server("worker", "w", key="w").run(create).id for operation in (op, other)}
    assert len(ids) == 2


# ---- waiting


def after(polls: int) -> Callable[[], str | None]:
    asked = iter(range(polls + 1))
    return lambda: "ready" if next(asked) == polls else None


def test_waiting_ends_with_the_answer(op: Operation, clock: SimulatedClock) -> None:
    told: list[str] = []
    begun = clock.now()
    assert op.wait_until(after(3), "it is ready", timeout_seconds=10, poll_seconds=2, progress=told.append) == "ready"
    assert (clock.now() - begun).total_seconds() == 6
    assert told == [f"waiting until it is ready, for at most {left} s more" for left in (10, 8, 6)]


def test_waiting_is_bounded_and_asks_once_more_at_its_end(op: Operation, clock: SimulatedClock) -> None:
    begun = clock.now()
    with pytest.raises(WaitTimedOut, match="'c-1': waited 5 s in vain until it is ready"):
        op.wait_until(lambda: False, "it is ready", timeout_seconds=5, poll_seconds=2)
    assert (clock.now() - begun).total_seconds() == 5
    assert op.wait_until(lambda: (clock.now() - begun).total_seconds() >= 10, "x", timeout_seconds=5, poll_seconds=9)


def by_deletion(journal: Journal) -> None:
    journal.request_deletion("c-1", by="user")


def by_takeover(journal: Journal) -> None:
    journal.clock.sleep(300)
    stream = journal.stream("c-1")
    stream.take("the owner is gone", Claim("b", 100))


@pytest.mark.parametrize("lose", [by_deletion, by_takeover])
def test_waiting_notices_that_the_operation_was_lost(
    op: Operation, store: CountingStore, clock: SimulatedClock, lose: Callable[[Journal], None]
) -> None:
    polls: Iterator[int] = iter(range(100))

    def never() -> bool:
        if next(polls) == 3:
            lose(Journal(store, conductor="b", clock=clock))
        return False

    with pytest.raises(Fenced):
        op.wait_until(never, "pigs fly", timeout_seconds=10_000)
    assert next(polls) == 4, "it was not asked again"


def test_what_the_condition_raises_ends_the_wait(op: Operation) -> None:
    def broken() -> bool:
        raise Refused("it went to ERROR")

    with pytest.raises(Refused):
        op.wait_until(broken, "it is ready", timeout_seconds=5)


def test_a_custom_step_is_recorded_with_what_it_may_do(op: Operation, store: CountingStore) -> None:
    with op.custom(Stage.CONFIGURE, "mkfs", may_hold_data=True):
        pass
    assert outcomes(store) == {"mkfs": "succeeded"}
