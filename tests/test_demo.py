"""The demo that README promises: it runs, shows what it says, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openstack
import psutil

ROOT = Path(__file__).parent.parent


def test_the_demo_shows_what_was_lost_what_is_deleted_and_what_is_kept(nova: dict[str, Any]) -> None:
    cloud = ["--cloud", "demo", "--image", nova["image"], "--flavor", nova["flavor"]]
    before = listed()
    done = subprocess.run([sys.executable, "-m", "examples.demo", *cloud], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    for expected in (
        "Killed with SIGKILL: Nova had accepted a VM whose id the conductor had not recorded.",
        "| new | delete | operation create did not finish |",
        "VMs in the cloud after the rollback: none",
        "| unsafe | keep | operation scale failed while decommissioning: its data may not have moved |",
        "| new | delete | operation scale did not finish, and nothing was put on it |",
        "| unsafe | keep | operation scale failed in stage configure: it may hold data |",
        "| unsafe | keep | operation scale failed in stage start: it may hold data |",
    ):
        assert expected in told, f"{expected!r} is missing in\n{done.stdout}"
    assert listed() - before == set()


def listed() -> set[str]:
    """Return the ids of all servers in the cloud; other tests leave some."""
    with openstack.connect(cloud="demo") as connection:
        return {server.id for server in connection.compute.servers() if server.status != "DELETED"}


def test_interrupting_the_demo_leaves_no_process_behind() -> None:
    command = [sys.executable, "-m", "examples.demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "A conductor creates a cluster" in line:
                break
        started = psutil.Process(demo.pid).children(recursive=True)
        assert started
        os.killpg(demo.pid, signal.SIGINT)
        rest = demo.stdout.read()
    assert demo.returncode == 130, rest
    assert "Interrupted" in rest
    _, alive = psutil.wait_procs(started, timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
