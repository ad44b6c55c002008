"""The simulated cloud keeps the contract."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from contracts.cloud import (
    BOOT_FAILS,
    DELETE_FAILS,
    OTHERS,
    SLOW_BUILD,
    SLOW_DELETE,
    CloudContract,
    ResourceContract,
    SoftDeleteContract,
    TroubleContract,
)

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


class TestTroubleOfSimulatedCloud(TroubleContract, SoftDeleteContract):
    @pytest.fixture
    def cloud(self) -> SimulatedCloud:
        return SimulatedCloud(SimulatedClock())

    @pytest.fixture
    def troubled(self, cloud: SimulatedCloud) -> Callable[[str], tuple[str, UUID]]:
        trouble = {
            SLOW_BUILD: ("build_seconds", 3.0),
            BOOT_FAILS: ("boots_to_error", 1),
            SLOW_DELETE: ("delete_seconds", 3.0),
            DELETE_FAILS: ("delete_goes_to_error", 1),
        }

        def troubled(which: str) -> tuple[str, UUID]:
            if which in trouble:
                setattr(cloud, *trouble[which])
            journal = uuid4()
            return cloud.create_server(Step(journal, "c-1", uuid4(), cloud.now() + timedelta(seconds=60), "w1")), journal

        return troubled

    @pytest.fixture
    def lock(self, cloud: SimulatedCloud) -> Callable[..., None]:
        def lock(server_id: str, *, locked: bool) -> None:
            cloud.locked = {server_id} if locked else set()

        return lock

    @pytest.fixture
    def ignoring(self, cloud: SimulatedCloud) -> Callable[[str], None]:
        return cloud.undeletable.add

    @pytest.fixture
    def restore(self, cloud: SimulatedCloud) -> Callable[[str], None]:
        cloud.reclaim_seconds = 1000.0

        def restore(server_id: str) -> None:
            cloud.servers[server_id].status = "ACTIVE"

        return restore

    @pytest.fixture
    def settled(self, cloud: SimulatedCloud) -> Callable[[Callable[[], bool]], None]:
        def settled(seen: Callable[[], bool]) -> None:
            cloud.clock.sleep(5)
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
