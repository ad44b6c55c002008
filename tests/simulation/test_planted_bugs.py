"""The simulation finds bugs: each that is planted into the production code, on seeds that nobody chose for it."""

import time
from random import Random

import pytest
from simulate.choices import Choices
from simulate.planted import PLANTED, Plant
from simulate.world import play

MOST = 5000
"""How many schedules of the default run may pass until a bug is found."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = time.time_ns() % 10**9
    plant(monkeypatch)
    for number in range(MOST):
        breaches = play(Choices(Random(f"{seed} {number}"))).breaches
        kinds = {breach.split(":")[0] for breach in breaches}
        if kinds & PLANTED[plant]:
            print(f"{plant.__name__}: found by schedule {number + 1} of seed {seed}: {breaches[0]}")
            return
    pytest.fail(f"seed {seed}: {MOST} schedules, and {plant.__name__} was not found")
