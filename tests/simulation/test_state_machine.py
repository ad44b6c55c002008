"""The simulated world in Hypothesis' hands: it starts conductors, lets them go on call by call, arms faults, kills."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from simulate import acts, faults
from simulate.choices import Choices, Weights
from simulate.world import CLUSTERS, UNEXPECTED, World

CLUSTER = CLUSTERS[0]
MOST_PROCESSES = 6


class Hand(Choices):
    """Choices that a machine makes: nothing happens but what it has prepared."""

    def __init__(self) -> None:
        super().__init__(Random(0))
        self.armed: str | None = None
        """The fault that happens at the next call that can have it."""
        self.detail = 0
        """Which of several ways the next thing goes."""

    def weighted(self, weights: Weights) -> int:  # noqa: ARG002 (the port's)
        """Nothing is left to chance."""
        return 0

    def below(self, end: int) -> int:
        """Return what was prepared."""
        return self.detail % end

    def chance(self, probability: float) -> bool:  # noqa: ARG002 (the port's)
        """Nothing happens by itself."""
        return False

    def draw(self, _: Choices, kinds: Sequence[str]) -> str:
        """Return the armed fault, if a call can have it; else others may go on."""
        if self.armed in kinds:
            fault, self.armed = self.armed, None
            return str(fault)
        return faults.SWITCH


class WorldMachine(RuleBasedStateMachine):
    """One cluster, its conductors, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = Hand()
        self.world = World(self.hand)
        self.world.rates = self.hand  # type: ignore[assignment]
        self.world.is_faulty = True
        UNEXPECTED.world = self.world

    # ---- processes

    @property
    def can_start(self) -> bool:
        """Whether another process may start."""
        return len({actor.process for actor in self.world.scheduler.actors}) < MOST_PROCESSES

    @initialize(size=st.integers(0, 3), detail=st.integers(0, 4))
    def begin(self, size: int, detail: int) -> None:
        """A conductor scales a cluster that was created without trouble, or creates it."""
        if size:
            self.world.is_faulty = False
            self.world.settle(CLUSTER, size)
            self.world.is_faulty = True
        self.hand.detail = detail
        self.world.start_conductor(CLUSTER, "scale" if size else "create")
        self.go_on(0, 6)

    @precondition(lambda self: self.can_start and self.world.store.head(CLUSTER) is not None)
    @rule(what=st.sampled_from(["scale", "scale", "resume", "delete"]), detail=st.integers(0, 3))
    def another(self, what: str, detail: int) -> None:
        """Another conductor scales the cluster, carries on what was begun, or deletes it."""
        self.hand.detail = detail
        self.world.start_conductor(CLUSTER, what)

    @precondition(lambda self: self.can_start)
    @rule(act=st.sampled_from([partial(acts.recovers, times=1), acts.sweeps]))
    def recover(self, act: Any) -> None:
        """Another process cleans up."""
        self.world.start("recover", act)

    @precondition(lambda self: self.can_start and self.world.store.head(CLUSTER) is not None)
    @rule(act=st.sampled_from([acts.speaks, acts.says_gone, acts.holds, acts.abandons]), detail=st.integers(0, 3))
    def operate(self, act: Any, detail: int) -> None:
        """An operator says or does something."""
        self.hand.detail = detail
        self.world.start("ops", lambda process: act(process, CLUSTER))

    @precondition(lambda self: self.world.scheduler.actors)
    @rule(which=st.integers(0, 9), calls=st.sampled_from([1, 3, 10, 30, 100]))
    def go_on(self, which: int, calls: int) -> None:
        """An actor goes on for some calls, as far as it can."""
        for _ in range(calls):
            now = self.world.clock.now()
            ready = [actor for actor in self.world.scheduler.actors if actor.is_ready(now)]
            if not ready:
                self.pass_time(1)
                return
            self.world.scheduler.resume(ready[which % len(ready)])

    @precondition(lambda self: self.world.scheduler.actors)
    @rule(which=st.integers(0, 9))
    def kill(self, which: int) -> None:
        """A process dies."""
        actors = self.world.scheduler.actors
        actors[which % len(actors)].process.is_dead = True

    @precondition(lambda self: self.world.scheduler.actors)
    @rule(seconds=st.sampled_from([30, 100, 200, 600]))
    def all_go_on(self, seconds: int) -> None:
        """All actors go on, in turn, for some time."""
        world = self.world
        world.scheduler.run(world.scheduler.actors, world.clock.now() + timedelta(seconds=seconds))

    # ---- everything else

    @rule(seconds=st.sampled_from([1, 20, 61, 121, 400]))
    def pass_time(self, seconds: int) -> None:
        """Time passes."""
        self.world.clock.sleep(seconds)

    @rule(fault=st.sampled_from([*faults.OF_CALLS, *faults.OF_CREATES]), detail=st.integers(0, 4))
    def arm(self, fault: str, detail: int) -> None:
        """Something is to go wrong at the next call that it can happen to."""
        self.hand.armed, self.hand.detail = fault, detail

    @rule(trouble=st.sampled_from(faults.IN_CLOUD), detail=st.integers(0, 4))
    def trouble(self, trouble: str, detail: int) -> None:
        """Something is wrong in the cloud from now on."""
        self.hand.detail = detail
        self.world.begin_trouble(trouble)

    @rule(how=st.sampled_from([("removed", faults.MARKS_REMOVED), ("replaced", faults.MARKS_REPLACED)]), detail=st.integers(0, 4))
    def change_marks(self, how: tuple[str, str], detail: int) -> None:
        """Somebody changes a server's marks."""
        self.hand.detail = detail
        self.world.change_marks(*how)

    @rule()
    def lose_record(self) -> None:
        """The cluster's record goes."""
        self.world.records[CLUSTER].there = False

    @invariant()
    def nothing_is_breached(self) -> None:
        """So far, nothing happened which must not."""
        assert not self.world.oracle.breaches

    def teardown(self) -> None:
        """Once faults have stopped, everything comes to rest and is accounted for."""
        self.world.heal()
        UNEXPECTED.world = None
        self.world.oracle.check_end()
        assert not self.world.oracle.breaches


WorldMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=20, suppress_health_check=list(HealthCheck), derandomize=False
)
TestWorldMachine = WorldMachine.TestCase
