"""The same commands as a plugin of the real `openstack` client."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from command import Run

OPENSTACK = Path(sys.executable).with_name("openstack")


def openstack(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the client, that knows of no cloud."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return subprocess.run([OPENSTACK, *args], capture_output=True, text=True, check=False, env={**ours, **environment})


def test_every_command_is_there_under_its_name() -> None:
    own = {f"provisioning_{point.name}": point.value for point in entry_points(group="provjournal.commands")}
    assert {point.name: point.value for point in entry_points(group="openstack.provisioning.v1")} == own
    assert len(own) > 30


def test_the_clients_lists_say_what_ours_say(filled: Run) -> None:
    for command in (
        ["cluster", "list"],
        ["plan", "show", "c-1"],
        ["step", "list", "--unfinished"],
        ["server", "explain", "id-w3"],
    ):
        done = openstack("provisioning", *command, "-f", "json")
        assert done.returncode == 0
        assert json.loads(done.stdout) == json.loads(filled(*command, "-f", "json")[1])


def test_errors_and_exit_codes_are_ours(filled: Run) -> None:
    unknown = openstack("provisioning", "cluster", "show", "c-9")
    assert (unknown.returncode, "There is no cluster 'c-9'" in unknown.stderr, "Traceback" in unknown.stderr) == (2, True, False)
    assert openstack("provisioning", "health", "-f", "value").returncode == 1
    assert openstack("provisioning", "abandon", "c-1", "--reason", "x").returncode == 2


def test_the_journal_can_be_given_to_the_client(filled: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    done = openstack("--provisioning-journal", url, "provisioning", "journal", "verify", PROVJOURNAL_URL="sqlite:///nope.db")
    assert done.stdout == "19 events of 1 cluster verified, all as they were written\n"


@pytest.mark.parametrize("how", [["--os-cloud", "nope"], ["--cloud", "nope"]], ids=" ".join)
def test_the_cloud_is_the_clients(filled: Run, how: list[str]) -> None:
    before = how if how[0] == "--os-cloud" else []
    done = openstack(*before, "provisioning", "rollback", "c-1", "--dry-run", *(how if not before else []))
    assert (done.returncode, "Cloud nope was not found" in done.stderr) == (2 if not before else done.returncode, True)


def test_help_tells_of_every_option() -> None:
    done = openstack("help", "provisioning", "rollback")
    assert "usage: openstack provisioning rollback" in done.stdout
    assert "--max-deletions" in done.stdout
