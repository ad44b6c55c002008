"""A cluster of many servers whose conductor dies, and its rollback: interrupted in the middle, and carried on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs
import openstack
from hostile.proxy import HostileProxy

from examples.cloud import PYTHON, ROOT
from journal import Journal, Settings, Step
from journal.events import OperationKind
from journal.verify import verify_stream
from projections.fold import fold
from rollback import OpenStackCloud
from rollback.progress import Counted, Progress
from size.calls import Calls, table

CLUSTER: Final = "size-1"
AT_ONCE: Final = 8
SECONDS_A_SERVER: Final = 10.0
"""How long Nova may take until a server is ACTIVE, at most, if servers are made one after the other."""
UNTIL_INTERRUPTED: Final = "until Ctrl-C"
AFTER_IT: Final = "after it"
INTERRUPTED: Final = 130
SOMETHING_WAS_PURGED: Final = 1
"""With what nova-manage ends then."""


@attrs.frozen
class Result:
    """What the rollback of many servers came to."""

    runs: dict[str, Calls]
    breaches: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([table(self.runs), *(f"BREACH {breach}" for breach in self.breaches)])


def play(
    nova: dict[str, Any], folder: Path, servers: int, page: int, progress: Progress, metadata: Mapping[str, str] | None = None
) -> Result:
    """Create servers and roll their cluster back.

    Between two pages of a listing the server that marks where the second begins vanishes. In the middle of the deletes
    the command is interrupted, as by Ctrl-C, and then run again.
    """
    with HostileProxy(nova["ports"]["compute"]) as proxy, openstack.connect(cloud="demo") as connection:
        size = Size(nova, folder, servers, proxy, OpenStackCloud(connection), progress)
        size.create(metadata or {})
        proxy.page = page
        vanished = size.vanish_at_the_second_page()
        first = size.roll_back(interrupt_at=servers // 2)
        second = size.roll_back()
        breaches = [*size.breaches()]
    gone = {UNTIL_INTERRUPTED: set(vanished), AFTER_IT: {*vanished, *first.servers("DELETEs")}}
    runs = {UNTIL_INTERRUPTED: first, AFTER_IT: second}
    for name, calls in runs.items():
        breaches += [f"{name}: {breach}" for breach in calls.breaches(servers, page, gone[name], Settings())]
    if (len(vanished), first.answers[400]) != (1, 1):
        breaches.append(f"{len(vanished)} markers vanished, and Nova said so {first.answers[400]} times")
    return Result(runs, tuple(breaches))


@attrs.define
class Size:
    """One cluster of many servers on the real Nova, and a proxy in between."""

    nova: dict[str, Any]
    folder: Path
    servers: int
    proxy: HostileProxy
    cloud: OpenStackCloud
    progress: Progress
    problems: list[str] = attrs.field(factory=list)
    """What was wrong with how the command ended."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/journal.db"

    def create(self, metadata: Mapping[str, str]) -> None:
        """A conductor creates the servers, and dies before its operation ends."""
        with closing(Journal.open(self.url, upgrade=True)) as journal:
            op = journal.begin(CLUSTER, OperationKind.CREATE, self.cloud.name)
            created: list[str] = []

            def create(step: Step) -> None:
                server = {"image_id": self.nova["image"], "flavor_id": self.nova["flavor"], "networks": "none"}
                step.created(self.cloud.create_server(step, **server, metadata=metadata))
                created.append(step.name)
                self.progress(Counted(len(created), self.servers, "servers are created"))

            steps = [op.create_server("worker", f"{CLUSTER}-w{number}") for number in range(self.servers)]
            op.run_all(steps, create, at_once=AT_ONCE)
            op.release()
        self._await_active()

    def _await_active(self) -> None:
        until = time.monotonic() + SECONDS_A_SERVER * self.servers
        while (active := self.states()["active"]) < self.servers:
            assert time.monotonic() < until, f"{active} of {self.servers} servers are ACTIVE: {self.states()}"
            self.progress(Counted(active, self.servers, "servers are ACTIVE"))
            time.sleep(0.5)
        self.progress(Counted(self.servers, self.servers, "servers are ACTIVE"))

    def states(self) -> Counter[str]:
        """Return how many servers of the cluster there are, by state, as Nova's own database has it.

        The row of a server stays for a while after it is deleted: until its host has told Placement.
        """
        path = Path(self.nova["clouds_yaml"]).parent / "nova_cell1.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            statement = "SELECT vm_state FROM instances WHERE deleted = 0 AND vm_state != 'deleted' AND display_name LIKE ?"
            return Counter(state for (state,) in database.execute(statement, (f"{CLUSTER}-%",)))

    def vanish_at_the_second_page(self) -> list[str]:
        """Let the server that a page is to begin after be deleted by somebody else, right before Nova is asked for that page."""
        vanished: list[str] = []

        def watch(request: str) -> None:
            marker = parse_qs(urlsplit(request).query).get("marker")
            if marker and not vanished:
                vanished.extend(marker)
                vanish(self.nova, self.cloud, marker[0])

        self.proxy.watch = watch
        return vanished

    def roll_back(self, interrupt_at: int | None = None) -> Calls:
        """Run `provjournal rollback` and return what it asked for; with SIGINT once it has asked for so many deletes."""
        requests: list[str] = []
        deleting: list[float] = []
        deletes, passed_on, answered = count(1), self.proxy.watch, Counter(self.proxy.answers)

        def watch(request: str) -> None:
            requests.append(request)
            if request.startswith("DELETE "):
                deleting.append(time.monotonic())
                if next(deletes) == interrupt_at:
                    process.send_signal(signal.SIGINT)
            passed_on(request)

        self.proxy.watch, self.proxy.counts, began = watch, True, time.monotonic()
        with self._command() as process:
            shown, _ = process.communicate()
        ended = time.monotonic()
        self.proxy.watch, self.proxy.counts = passed_on, False
        if process.returncode != (0 if interrupt_at is None else INTERRUPTED):
            self.problems.append(f"the command ended with {process.returncode}")
        left = [row["Id"] for row in json.loads(shown or "[]") if row["Result"] not in ("deleted", "")]
        if left:
            self.problems.append(f"{len(left)} servers were not deleted: {', '.join(left)}")
        return Calls(requests, self.proxy.answers - answered, ended - began, ended - min(deleting, default=ended))

    def _command(self) -> "subprocess.Popen[str]":
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background, and what is started here ignored it, too
            signal.signal(signal.SIGINT, signal.default_int_handler)
        program = Path(sys.executable).with_name("provjournal")
        command = [
            program,
            "--journal",
            self.url,
            "rollback",
            CLUSTER,
            "--yes",
            "--cloud",
            "demo",
            "--settle-seconds",
            "1",
            "-f",
            "json",
        ]
        environment = {**os.environ, "http_proxy": self.proxy.url, "no_proxy": ""}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def breaches(self) -> Iterator[str]:
        """Yield what does not hold now that the rollback has come to its end."""
        yield from self.problems
        yield from (f"{number} servers are left, {state}" for state, number in self.states().items())
        with closing(Journal.open(self.url)) as journal:
            head = journal.store.head(CLUSTER)
            assert head is not None
            yield from (str(problem) for problem in verify_stream(journal.store, head) if problem is not None)
            history = fold(journal.store.read(CLUSTER))
        if history.unfinished is not None or len(history.resources) != self.servers:
            yield f"the journal knows {len(history.resources)} servers, and its operation is {history.unfinished}"


def vanish(nova: dict[str, Any], cloud: OpenStackCloud, server_id: str) -> None:
    """Delete a server and purge it from Nova's databases: as long as its row is there, pages can begin after it."""
    cloud.delete(server_id)
    until = time.monotonic() + SECONDS_A_SERVER
    while not cloud.is_gone(server_id):
        assert time.monotonic() < until, f"{server_id} is not deleted"
    state = Path(nova["clouds_yaml"]).parent
    manage = [PYTHON.with_name("nova-manage"), "--config-file", state / "nova.conf"]
    purged = subprocess.run(
        [*manage, "db", "archive_deleted_rows", "--all-cells", "--purge", "--until-complete"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert purged.returncode == SOMETHING_WAS_PURGED, purged.stderr
