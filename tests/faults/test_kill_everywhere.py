"""On a real Nova: the conductor is killed before and after every append and every cloud call of a create and of a scale.

The points are those of a recorded run. After each the rollback runs in another process; then an oracle looks at Nova
itself: nothing leaked, nothing that may hold data deleted, and a second rollback makes no writing call to the cloud.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import attrs
import openstack
import pytest
from faults_settings import SETTINGS

from journal import Journal
from journal.events import OperationOutcome, VerdictName
from projections.fold import fold
from rollback import OpenStackCloud, rollback_cluster
from rollback.plan import plan
from rollback.testing.crashing import CLOUD_CALLS, Crashing, CrashPoints

AT_ONCE = 5
POINTS = int(os.environ.get("PROVJOURNAL_POINTS", "6"))
"""At how many points of each, chosen at random; `make durability` kills at all of them."""
SCRIPT = Path(__file__).parent / "killed_conductor.py"


@attrs.frozen
class Scene:
    """One cluster of one journal, in a folder of its own."""

    folder: Path
    cluster: str
    server: dict[str, Any]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/journal.db"

    def conduct(self, operation: str, point: str = "none") -> "subprocess.CompletedProcess[str]":
        """Run the conductor as a process of its own."""
        command = [sys.executable, str(SCRIPT), self.url, operation, self.cluster, point, json.dumps(self.server)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def roll_back(self) -> "subprocess.CompletedProcess[str]":
        """Run the rollback as a process of its own."""
        program = str(Path(sys.executable).parent / "provjournal")
        command = [
            program,
            "--journal",
            self.url,
            "rollback",
            self.cluster,
            "--yes",
            "--cloud",
            "demo",
            "--wait",
            "--settle-seconds",
            "1",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def states(self) -> dict[str, str]:
        """Return what Nova says of the cluster's servers: by id, the state that the plugin noted.

        For a moment Nova lists servers that are gone, as DELETED.
        """
        with openstack.connect(cloud="demo") as connection:
            connection.compute.default_microversion = "2.69"
            servers = (s for s in connection.compute.servers() if s.status != "DELETED")
            ours = (server for server in servers if server.name.startswith(f"{self.cluster}-"))
            return {server.id: server.metadata.get("state", "") for server in ours}


@pytest.fixture
def server(nova: dict[str, Any]) -> dict[str, Any]:
    return {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none"}


def scene(folder: Path, name: str, server: dict[str, Any]) -> Scene:
    (folder / name).mkdir()
    return Scene(folder / name, name, server)


def recorded(done: "subprocess.CompletedProcess[str]") -> list[str]:
    assert done.returncode == 0, done.stderr
    points: list[str] = json.loads(done.stdout)
    return points


def ended(played: Scene) -> dict[str, str]:
    """Roll back twice, check what must hold of every run, and return the servers that are left."""
    with Journal.open(played.url, settings=SETTINGS) as journal:
        if journal.store.head(played.cluster) is None:
            assert played.states() == {}, "nothing is made before it stands in the journal"
            return {}
    done = played.roll_back()
    assert done.returncode == 0, done.stderr
    left = played.states()
    with Journal.open(played.url, settings=SETTINGS) as journal:
        history = fold(journal.store.read(played.cluster))
        kept = {v.id for v in plan(history).verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
        assert set(left) == kept, "every server that is left is accounted for"
        assert history.unfinished is None
        calls = CrashPoints()
        cloud: Any = Crashing(OpenStackCloud.connect("demo", SETTINGS), calls, CLOUD_CALLS)
        assert not rollback_cluster(journal, cloud, played.cluster).changed
        assert not [call for call in calls.seen if "delete" in call or "create" in call]
    return left


def was_killed(done: "subprocess.CompletedProcess[str]", at: int, point: str) -> bool:
    """Whether a conductor died at its point. It may have come to its end before: the lease was renewed less often."""
    if done.returncode == -signal.SIGKILL:
        return True
    assert len(recorded(done)) <= at, f"{point}: it lives"
    return False


def in_parallel(check: Any, count: int) -> int:
    """Check points, several at once, and return at how many it was killed; all failures are told together."""
    chosen = sorted(Random(secrets.randbelow(10**6)).sample(range(count), min(POINTS, count)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checks = [(at, pool.submit(check, at)) for at in chosen]
    failed = [f"point {at}: {error!r}" for at, future in checks if (error := future.exception()) is not None]
    assert not failed, "\n".join(failed)
    killed = sum(future.result() for _, future in checks)
    assert killed >= len(chosen) / 2, "most of the points are reached in every run"
    return killed


def test_a_create_that_is_killed_anywhere_leaves_nothing(
    tmp_path: Path, server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    points = recorded(scene(tmp_path, "create-recorded", server).conduct("create"))

    def check(at: int) -> bool:
        played = scene(tmp_path, f"create-{at}", server)
        done = played.conduct("create", str(at))
        killed = was_killed(done, at, points[at])
        with Journal.open(played.url) as journal:
            history = fold(journal.store.read(played.cluster))
        finished = any(op.outcome is OperationOutcome.SUCCEEDED for op in history.operations.values())
        left = ended(played)
        assert len(left) == (2 if finished else 0), points[at]
        return killed

    killed = in_parallel(check, len(points))
    with capsys.disabled():
        print(f"\ncreate: killed at {killed} of {len(points)} points on a real Nova")


def test_a_scale_that_is_killed_anywhere_loses_no_data_and_leaves_nothing(
    tmp_path: Path, server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = scene(tmp_path, "scale-recorded", server)
    recorded(first.conduct("create"))
    points = recorded(first.conduct(min(first.states())))

    def check(at: int) -> bool:
        played = scene(tmp_path, f"scale-{at}", server)
        recorded(played.conduct("create"))
        victim, stays = sorted(played.states())
        done = played.conduct(victim, str(at))
        killed = was_killed(done, at, points[at])
        before = played.states()
        left = ended(played)
        assert stays in left, points[at]
        if before.get(victim, "decommissioned") != "decommissioned":
            assert victim in left, f"{points[at]}: its data had not moved"
        for server_id, state in before.items():
            if server_id not in (victim, stays) and state:
                assert server_id in left, f"{points[at]}: a new server in state {state} may hold data"
        return killed

    killed = in_parallel(check, len(points))
    with capsys.disabled():
        print(f"\nscale: killed at {killed} of {len(points)} points on a real Nova")
