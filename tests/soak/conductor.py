"""One conductor of the soak: it does random jobs on random clusters until it is killed.

python -m soak.conductor JOURNAL_URL FOLDER SEED SERVER_JSON
"""

import json
import logging
import os
import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from examples.conductor import Conductor
from examples.plugin import Plugin
from examples.records import Record
from journal import Journal
from journal.errors import JournalError
from rollback import Handler, OpenStackCloud, recover
from rollback.errors import RollbackError
from soak.settings import SETTINGS

MOST_CLUSTERS = 6
LOG = logging.getLogger(__name__)
FAILURES = ("decommission", "configure", "start")


class WitnessedPlugin(Plugin):
    """Writes down what it is about to do to a server, for the oracle: the server's own notes go with the server."""

    def __init__(self, connection: Any, witness: Path) -> None:
        super().__init__(connection)
        self.witness = witness

    def _note(self, server_ids: Sequence[str], state: str) -> None:
        for server_id in server_ids:
            with self.witness.open("a") as file:
                file.write(f"{server_id} {state}\n")
            super()._note([server_id], state)


class Worker:
    """Does one job after the other."""

    def __init__(self, url: str, folder: Path, seed: str, server: dict[str, Any]) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.journal = Journal.open(url, settings=SETTINGS)
        cloud = OpenStackCloud.connect("demo", SETTINGS)
        self.plugin = WitnessedPlugin(cloud.connection, folder / "witness")
        self.handler = Handler(self.journal, cloud, partial(Record, folder))
        self.conductor = Conductor(self.handler, cloud, self.plugin, at_once=2, **server)

    def work(self) -> None:
        """Recover what others left, then do a job."""
        while True:
            self.plugin.fail_in = self.random.choice(FAILURES) if self.random.random() < 0.15 else None
            try:
                self.resume_something()
                for _ in recover(self.handler):
                    pass
                self.do_something()
            except (JournalError, RollbackError) as error:
                LOG.info("%s", error)  # another conductor was faster

    def resume_something(self) -> None:
        """Now and then, carry a dead conductor's operation forward instead of rolling it back."""
        dead = [head for head in self.journal.store.heads(unsettled=True) if head.operation and not head.owner_alive]
        if dead and self.random.random() < 0.5:
            self.conductor.resume(self.random.choice(dead).stream)

    def do_something(self) -> None:
        """Create, scale or delete a cluster; or remove its record, as careless users do."""
        records = {path.stem: json.loads(path.read_text())["status"] for path in self.folder.glob("*.json")}
        there = [cluster for cluster, status in records.items() if status != "Deleted"]
        usable = [cluster for cluster in there if records[cluster] == "Active"]
        if len(there) < MOST_CLUSTERS and (not usable or self.random.random() < 0.4):
            cluster = f"soak-{os.getpid()}-{self.random.randrange(10**9)}"
            Record(self.folder, cluster).set_status("create")
            self.conductor.create(cluster, {"master": 1, "worker": self.random.randrange(1, 3)})
        elif usable and self.random.random() < 0.6:
            self.scale(self.random.choice(usable))
        elif there:
            cluster = self.random.choice(there)
            if self.journal.store.head(cluster) is None or self.random.random() < 0.1:
                Record(self.folder, cluster).path.unlink(missing_ok=True)
            else:
                self.conductor.delete(cluster)

    def scale(self, cluster: str) -> None:
        """Remove one server of a cluster, or none, and add one or two."""
        active = [server for server in self.conductor.cloud.list_journal(self.journal.id) if server.status == "ACTIVE"]
        servers = [server.id for server in active if server.marks and server.marks.cluster == cluster]
        victims = self.random.sample(servers, min(len(servers), self.random.randrange(2)))
        self.conductor.scale(cluster, {"worker": self.random.randrange(1, 3)}, victims)


def main() -> None:
    """Work until killed."""
    url, folder, seed, server = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(process)d %(asctime)s %(message)s", filename=Path(folder) / "log")
    Worker(url, Path(folder), seed, json.loads(server)).work()


if __name__ == "__main__":
    main()
