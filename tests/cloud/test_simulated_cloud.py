"""The simulated cloud keeps the contract."""

from collections.abc import Callable

import pytest
from contracts.cloud import OTHERS, CloudContract, ResourceContract

from journal.events import ResourceKind
from journal.steps import Step
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud


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


class TestSimulatedResources(ResourceContract):
    @pytest.fixture(params=OTHERS)
    def kind(self, request: pytest.FixtureRequest) -> ResourceKind:
        return ResourceKind(request.param)

    @pytest.fixture
    def cloud(self) -> SimulatedCloud:
        return SimulatedCloud(SimulatedClock())

    @pytest.fixture
    def make(self, cloud: SimulatedCloud) -> Callable[[Step], str]:
        return cloud.create_resource

    @pytest.fixture
    def serve(self, cloud: SimulatedCloud) -> Callable[[Step, dict[ResourceKind, str]], str]:
        return lambda step, used: cloud.create_server(step, uses=list(used.values()))

    @pytest.fixture
    def settled(self, cloud: SimulatedCloud) -> Callable[[Callable[[], bool]], None]:
        def settled(seen: Callable[[], bool]) -> None:
            cloud.clock.sleep(1)
            assert seen()

        return settled
