"""The simulated cloud keeps the contract."""

from collections.abc import Callable

import pytest
from contracts.cloud import CloudContract
from simulated import SimulatedClock, SimulatedCloud

from journal.steps import Step


class TestSimulatedCloud(CloudContract):
    @pytest.fixture
    def cloud(self) -> SimulatedCloud:
        return SimulatedCloud(SimulatedClock())

    @pytest.fixture
    def create(self, cloud: SimulatedCloud) -> Callable[[Step], str]:
        return cloud.create_server

    @pytest.fixture
    def settled(self, cloud: SimulatedCloud) -> Callable[[Callable[[], bool]], None]:
        def settled(seen: Callable[[], bool]) -> None:
            cloud.clock.sleep(1)
            assert seen()

        return settled
