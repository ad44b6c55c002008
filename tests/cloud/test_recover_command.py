"""`provjournal recover` on a real Nova, as an operator runs it: what dead conductors left is found, cleaned up and told."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import openstack
import pytest
from faults_settings import SETTINGS
from servers.process import free_ports

from journal.events import OperationKind
from journal.journal import Journal
from journal.store import Claim
from projections.fold import fold
from rollback import OpenStackCloud

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def journal(nova: dict[str, Any], tmp_path: Path) -> Journal:
    """A journal with two clusters whose conductor died, in the middle of a create, and one that is being created."""
    journal = Journal.open(f"sqlite:///{tmp_path}/journal.db", upgrade=True, conductor="dead", settings=SETTINGS)
    cloud = OpenStackCloud.connect("demo", SETTINGS)
    server = {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none"}
    for cluster in ("recover-1", "recover-2", "recover-3"):
        op = journal.begin(cluster, OperationKind.CREATE, cloud.name)
        op.create_server("worker", f"{cluster}-w0").run(lambda step: step.created(cloud.create_server(step, **server)))
        cloud.create_server(op.create_server("worker", f"{cluster}-w1").__enter__(), **server)
        (tmp_path / f"{cluster}.json").write_text("{}")
    for cluster in ("recover-1", "recover-2"):
        journal.store.release(cluster, "dead", epoch=1)
    journal.store.renew("recover-3", Claim("dead", 1000), epoch=1)
    cloud.connection.close()
    return journal


def command_in(folder: Path) -> list[str]:
    """The command, of the journal in this folder."""
    program = str(Path(sys.executable).with_name("provjournal"))
    options = ["--yes", "--cloud", "demo", "--settle-seconds", "1"]
    return [program, "--journal", f"sqlite:///{folder}/journal.db", "recover", *options]


def recover(tmp_path: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    records = f"{sys.executable} -m examples.records {tmp_path}"
    return subprocess.run(
        [*command_in(tmp_path), "--record-command", records, *more],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=os.environ,
    )


def left() -> set[str]:
    with openstack.connect(cloud="demo") as connection:
        return {server.name for server in connection.compute.servers() if server.status != "DELETED"}


def test_all_that_dead_conductors_left_is_recovered_and_told(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "recover-2.json").unlink()
    there = {f"recover-{cluster}-w{number}" for cluster in (1, 2, 3) for number in (0, 1)}
    assert there <= left()

    dry = recover(tmp_path, "--dry-run", "-f", "json")
    assert dry.returncode == 0, dry.stderr
    assert [(row["Cluster"], row["Status"], row["Deleted"]) for row in json.loads(dry.stdout)] == [
        ("recover-1", "Error", 2),
        ("recover-2", "Deleted", 2),
    ]
    assert there <= left()

    done = recover(tmp_path, "-f", "json")
    assert done.returncode == 0, done.stderr
    assert [(row["Cluster"], row["Status"], row["Deleted"], row["Left to do"]) for row in json.loads(done.stdout)] == [
        ("recover-1", "Error", 2, ""),
        ("recover-2", "Deleted", 2, ""),
    ]
    assert there & left() == {"recover-3-w0", "recover-3-w1"}, "its owner is alive"
    assert json.loads((tmp_path / "recover-1.json").read_text())["status"] == "Error"
    assert not (tmp_path / "recover-2.json").exists()

    again = recover(tmp_path)
    assert (again.returncode, again.stdout.strip(), again.stderr) == (0, "", "nothing to recover\n")

    journal.request_deletion("recover-3", by="user")
    assert recover(tmp_path).returncode == 0
    assert there & left() == set()
    assert fold(journal.store.read("recover-3")).deleted is not None


def test_watching_recovers_until_it_is_interrupted_and_serves_metrics(journal: Journal, tmp_path: Path) -> None:
    journal.request_deletion("recover-3", by="user")
    (port,) = free_ports(1)
    with subprocess.Popen(
        [*command_in(tmp_path), "--watch", "0.2", "--metrics", f"127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stderr is not None
        recovered = set()
        for line in watching.stderr:
            if line.startswith("cluster "):
                recovered.add(line.split()[1])
            if len(recovered) == 3:
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            metrics = answer.read().decode()
        watching.send_signal(2)
        rest = watching.stderr.read()
    assert watching.returncode == 130
    assert "interrupted; the journal is consistent" in rest
    assert recovered == {"recover-1", "recover-2", "recover-3"}
    assert "provjournal_deletions_total 6.0" in metrics
    assert not any(name.startswith("recover-") for name in left())
