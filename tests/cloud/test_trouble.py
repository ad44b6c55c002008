"""The trouble that the simulated cloud makes, on a real Nova: the same contract."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.cloud import BOOT_FAILS, DELETE_FAILS, NONE, SLOW_BUILD, SLOW_DELETE, SoftDeleteContract, TroubleContract
from faults_settings import SETTINGS
from waiting import until

from examples.cloud import local_cloud
from journal.steps import Step
from rollback import OpenStackCloud

INJECTED = {
    SLOW_BUILD: "spawn_slow:3",
    BOOT_FAILS: "spawn_fail",
    SLOW_DELETE: "destroy_slow:3",
    DELETE_FAILS: "destroy_fail",
}
"""How the local cloud is asked for each."""


class OnNova:
    """A real Nova, told by the fixture `ready`."""

    @pytest.fixture
    def cloud(self, ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStackCloud]:
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", ready["clouds_yaml"])
        cloud = OpenStackCloud.connect("demo", SETTINGS)
        yield cloud
        cloud.connection.close()

    @pytest.fixture
    def troubled(self, cloud: OpenStackCloud, ready: dict[str, Any]) -> Callable[[str], tuple[str, UUID]]:
        def troubled(which: str) -> tuple[str, UUID]:
            journal = uuid4()
            step = Step(journal, "c-1", uuid4(), cloud.now() + timedelta(seconds=60), f"trouble-{uuid4().hex[:8]}")
            metadata = {} if which == NONE else {"inject": INJECTED[which]}
            given = {"image_id": ready["image"], "flavor_id": ready["flavor"], "networks": "none", "metadata": metadata}
            server_id = cloud.create_server(step, **given)
            if which in (SLOW_DELETE, DELETE_FAILS):
                until(lambda: cloud.is_active(server_id))
            return server_id, journal

        return troubled

    @pytest.fixture
    def settled(self) -> Callable[[Callable[[], bool]], None]:
        return until


class TestTroubleOfRealNova(OnNova, TroubleContract):
    @pytest.fixture
    def ready(self, nova: dict[str, Any]) -> dict[str, Any]:
        return nova

    @pytest.fixture
    def lock(self, cloud: OpenStackCloud) -> Callable[..., None]:
        compute = cloud.connection.compute

        def lock(server_id: str, *, locked: bool) -> None:
            (compute.lock_server if locked else compute.unlock_server)(server_id)

        return lock

    @pytest.fixture
    def ignoring(self, cloud: OpenStackCloud, ready: dict[str, Any]) -> Iterator[Callable[[str], None]]:
        """Set in Nova's own database what its API does not let anybody set."""
        path = Path(ready["clouds_yaml"]).parent / "nova_cell1.db"
        ignored: list[str] = []

        def set_ignored(server_id: str, *, ignores: bool) -> None:
            with closing(sqlite3.connect(path, timeout=30)) as database, database:
                database.execute("UPDATE instances SET disable_terminate = ? WHERE uuid = ?", (ignores, server_id))

        def ignoring(server_id: str) -> None:
            set_ignored(server_id, ignores=True)
            ignored.append(server_id)

        yield ignoring
        for server_id in ignored:
            set_ignored(server_id, ignores=False)
            cloud.delete(server_id)


class TestSoftDeleteOfRealNova(OnNova, SoftDeleteContract):
    @pytest.fixture
    def ready(self, tmp_path: Path) -> Iterator[dict[str, Any]]:
        with local_cloud(tmp_path / "cloud", "--hosts", "1", "--reclaim", "86400") as ready:
            yield ready

    @pytest.fixture
    def restore(self, cloud: OpenStackCloud) -> Callable[[str], None]:
        def restore(server_id: str) -> None:
            cloud.connection.compute.restore_server(server_id)

        return restore
