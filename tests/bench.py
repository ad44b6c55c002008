"""A journal, the real Nova, and what an operator types, for tests of what commands do."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import openstack
from faults_settings import SETTINGS
from waiting import until

from journal.events import OperationKind
from journal.journal import Journal
from journal.steps import Refused, Step
from projections.fold import fold
from rollback import Handler, NoRecord, OpenStackCloud


class Bench:
    """A journal, the real Nova, and what an operator types."""

    def __init__(self, nova: dict[str, Any], folder: Path, cloud: str = "demo") -> None:
        self.folder = folder
        self.cloud_name = cloud
        self.cloud = OpenStackCloud.connect(cloud, SETTINGS)
        self.journal = Journal.open(f"sqlite:///{folder}/journal.db", upgrade=True, settings=SETTINGS)
        self._server = {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none"}

    def create(self, step: Step, **more: Any) -> str:
        return self.cloud.create_server(step, **self._server, **more)

    def dead_create(self, cluster: str, servers: int, **more: Any) -> list[str]:
        """A create whose conductor died once it had created some servers."""
        op = self.journal.begin(cluster, OperationKind.CREATE, self.cloud.name)
        steps = [op.create_server("worker", f"{cluster}-w{number}") for number in range(servers)]
        made = op.run_all(steps, lambda step: step.created(self.create(step, **more)))
        op.release()
        return [str(step.server_id) for step in made]

    def active(self, cluster: str, servers: int, **more: Any) -> list[str]:
        """The same, with servers that are ACTIVE by now."""
        ids = self.dead_create(cluster, servers, **more)
        until(lambda: all(self.cloud.is_active(server_id) for server_id in ids))
        return ids

    def in_flight(self, cluster: str) -> str:
        """A server whose conductor died before it had recorded the answer; its deadline is near."""
        self.journal.settings = attrs.evolve(SETTINGS, api_timeout_seconds=2)
        op = self.journal.begin(cluster, OperationKind.CREATE, self.cloud.name)
        server = self.create(op.create_server("worker", f"{cluster}-w0").__enter__())
        op.release()
        return server

    def late(self, cluster: str) -> str:
        """A server whose create was called refused, and which turned up after its cluster was compensated."""
        steps: list[Step] = []
        with (
            Handler(self.journal, self.cloud, NoRecord).operation(cluster, OperationKind.CREATE) as op,
            op.create_server("worker", f"{cluster}-late") as step,
        ):
            steps.append(step)
            raise Refused("HTTP 409")
        (step,) = steps
        return self.create(Step(step.journal, cluster, step.id, step.deadline + timedelta(hours=1), step.name))

    def run(self, *command: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
        """Run a command, and return its exit code, its rows and what it said."""
        program = Path(sys.executable).with_name("provjournal")
        url = f"sqlite:///{self.folder}/journal.db"
        deletes = () if command[0] == "adopt" else ("--settle-seconds", "1", "--yes")
        more = ("--cloud", self.cloud_name, *deletes, "-f", "json")
        done = subprocess.run(
            [program, "--journal", url, *command, *more],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            env={**os.environ, **environment},
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout or "[]"), done.stderr

    def deletes(self, cluster: str, server_id: str) -> list[tuple[str, str | None]]:
        """How each delete of a server ended, as the journal has it; "unfinished" where it did not."""
        steps = fold(self.journal.store.read(cluster)).resources[server_id].deletes
        completions = [step.completion for step in steps]
        return [("unfinished", None) if end is None else (str(end.outcome), end.reason) for end in completions]

    @property
    def left(self) -> set[str]:
        with openstack.connect(cloud=self.cloud_name) as connection:
            return {server.id for server in connection.compute.servers()}
