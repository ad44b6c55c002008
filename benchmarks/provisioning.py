"""The journal's part of the time that it takes to create servers in parallel on a real Nova, on the local cloud.

    python -m benchmarks.provisioning [SERVERS]     a hundred by default, ten at once, and until all are ACTIVE

What is counted as the journal's is all the time that the operation spends in `append`, from the call until the events are
durable, whether creates were under way meanwhile or not: at most that much longer is the run because of it.
"""

import logging
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs
import openstack

from examples.cloud import local_cloud
from journal import Journal, Operation, Step
from journal.events import Data, Event, OperationKind
from rollback import OpenStackCloud
from rollback.commands.options import shown
from rollback.progress import Counted, Progress

SERVERS: Final = 100
AT_ONCE: Final = 10
HOSTS: Final = 8
POLL_SECONDS: Final = 2.0
SECONDS_A_SERVER: Final = 10.0
"""How long Nova may take until a server is ACTIVE, at most."""


@attrs.define
class Timed:
    """The appends of one operation, and how long they took."""

    operation: Operation
    seconds: float = 0.0
    appends: int = 0
    events: int = 0

    def append(self, *data: Data) -> tuple[Event, ...]:
        """Append, and take the time."""
        began = time.perf_counter()
        appended = Operation.append(self.operation, *data)
        self.seconds += time.perf_counter() - began
        self.appends += 1
        self.events += len(appended)
        return appended


def create(nova: dict[str, Any], url: str, servers: int, progress: Progress) -> tuple[Timed, float]:
    """Create servers and wait until they are ACTIVE. Return the appends, and the seconds that all of it took."""
    with closing(Journal.open(url, upgrade=True)) as journal, openstack.connect(cloud="demo") as connection:
        cloud = OpenStackCloud(connection)
        operation = journal.begin("c-1", OperationKind.CREATE, cloud.name)
        timed = Timed(operation)
        operation.append = timed.append  # the one call that all of it records with
        created: list[str] = []

        def body(step: Step) -> None:
            step.created(cloud.create_server(step, image_id=nova["image"], flavor_id=nova["flavor"], networks="none"))
            created.append(step.name)
            progress(Counted(len(created), servers, "servers are created"))

        def all_active() -> bool:
            active = sum(found.status == "ACTIVE" for found in cloud.list_journal(journal.id))
            progress(Counted(active, servers, "servers are ACTIVE"))
            return active == servers

        began = time.perf_counter()
        operation.run_all(
            [operation.create_server("worker", f"c-1-worker-{number:03}") for number in range(servers)], body, at_once=AT_ONCE
        )
        operation.wait_until(
            all_active, "the servers are ACTIVE", timeout_seconds=SECONDS_A_SERVER * servers, poll_seconds=POLL_SECONDS
        )
        operation.succeed()
        return timed, time.perf_counter() - began


def main() -> int:
    """Start the cloud, create, and tell."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else SERVERS
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="provjournal-provisioning-") as name,
        local_cloud(Path(name) / "cloud", "--hosts", str(HOSTS)) as nova,
        shown() as progress,
    ):
        os.environ["OS_CLIENT_CONFIG_FILE"] = nova["clouds_yaml"]
        timed, seconds = create(nova, f"sqlite:///{name}/journal.db", servers, progress)
    print(f"{servers} servers, {AT_ONCE} at once: {seconds:.1f} s until all were ACTIVE")
    print(f"{timed.appends} appends of {timed.events} events took {timed.seconds:.3f} s, {timed.seconds / seconds:.2%} of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
