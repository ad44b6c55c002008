"""On a real Nova: a conductor is stopped between an intent and its call, is taken for dead, and wakes up.

It is fenced at its next append; the one call that it had journaled is found by its mark, or is not made any more.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults_settings import SETTINGS

from journal import Journal
from journal.events import OperationOutcome
from projections.fold import Operation, fold
from rollback import Handler, NoRecord, OpenStackCloud, recover

SCRIPT = Path(__file__).parent / "killed_conductor.py"
SECONDS = 60


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(f"sqlite:///{tmp_path}/journal.db", upgrade=True, settings=SETTINGS, conductor="another")


@pytest.fixture
def stopped(journal: Journal, nova: dict[str, Any], tmp_path: Path) -> Callable[[str], AbstractContextManager[Any]]:
    """Runs a conductor that stands still before or after it sends its first create, whose intent is committed."""
    server = {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none"}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(point: str, *more: str) -> "subprocess.Popen[bytes]":
        url = f"sqlite:///{tmp_path}/{'recorded' if point == 'none' else 'journal'}.db"
        command = [sys.executable, str(SCRIPT), url, "create", "paused", point, json.dumps(server), *more]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    @contextmanager
    def stopped(at: str) -> Iterator[Any]:
        with run("none") as recorded:
            assert recorded.stdout is not None
            points: list[str] = json.loads(recorded.stdout.read())
        with run(str(points.index(at)), "SIGSTOP") as conductor:
            assert os.WSTOPSIG(os.waitpid(conductor.pid, os.WUNTRACED)[1]) == signal.SIGSTOP
            head = journal.store.head("paused")
            assert head is not None
            journal.store.release("paused", str(head.owner), epoch=head.epoch)  # as if its lease had run out
            yield conductor

    return stopped


def end_of(journal: Journal) -> Operation:
    (operation,) = fold(journal.store.read("paused")).operations.values()
    return operation


@pytest.mark.parametrize(
    ("at", "sent"),
    [
        pytest.param("before create_server", False, id="its call is not made any more"),
        pytest.param("after create_server", True, id="its call is found by its mark"),
    ],
)
def test_a_conductor_that_wakes_up_after_it_was_taken_over_leaks_nothing(
    journal: Journal, stopped: Callable[[str], AbstractContextManager[Any]], at: str, sent: bool
) -> None:
    cloud = OpenStackCloud.connect("demo", SETTINGS)
    with stopped(at) as conductor:
        assert [recovery.deleted for recovery in recover(Handler(journal, cloud, NoRecord))] == [int(sent)]
        version = fold(journal.store.read("paused")).version
        conductor.send_signal(signal.SIGCONT)
        assert conductor.wait(SECONDS) == 0, "it ends quietly"
    assert end_of(journal).outcome is OperationOutcome.ROLLED_BACK
    assert fold(journal.store.read("paused")).version == version, "its appends are refused"
    assert [server for server in cloud.list_journal(journal.id) if server.status != "DELETED"] == []
    cloud.connection.close()


def test_a_conductor_that_wakes_up_in_time_goes_on_and_is_left_alone(
    journal: Journal, stopped: Callable[[str], AbstractContextManager[Any]]
) -> None:
    cloud = OpenStackCloud.connect("demo", SETTINGS)
    with stopped("before create_server") as conductor:

        def progress(message: str) -> None:
            if "a create may still be on its way" in message:
                conductor.send_signal(signal.SIGCONT)
                conductor.wait(SECONDS)

        found = list(recover(Handler(journal, cloud, NoRecord, progress=progress)))
    assert [recovery.deleted for recovery in found] in ([], [0]), "there was nothing to do any more"
    assert end_of(journal).outcome is OperationOutcome.SUCCEEDED
    servers = [server for server in cloud.list_journal(journal.id) if server.status != "DELETED"]
    assert len(servers) == 2
    Handler(journal, cloud, NoRecord).delete("paused", by="user")
    cloud.connection.close()
