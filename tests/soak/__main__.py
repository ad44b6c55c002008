"""Soak: three conductors on one journal and a real Nova, killed, stopped and continued at random, until enough has happened.

make soak                                       every engine, at least 200 operations each
make soak SOAK="--engine sqlite --seed 7"       one engine, as it was
"""

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from servers.installed import installed
from servers.mariadb import GaleraCluster, MariadbServer
from servers.postgresql import PostgresqlServer

from examples.cloud import local_cloud
from journal.events import DeletionRequested, OperationStarted, OwnershipTaken
from journal.journal import Journal
from rollback import OpenStackCloud
from rollback.cloud import DeleteAnswer
from soak.oracle import breaches, settle
from soak.settings import SETTINGS

ENGINES = ("sqlite", "postgresql", "mariadb", "galera")
CONDUCTORS = 3
PAUSE_SECONDS = (0.5, 3 * SETTINGS.lease_seconds)
"""How long a conductor is stopped: less than a lease, or more."""
BETWEEN_SECONDS = (0.2, 3.0)
"""How long it is until the next conductor is killed or stopped."""


@attrs.frozen
class Wanted:
    """How much must happen."""

    operations: int
    kills: int
    pauses: int
    takeovers: int

    def is_reached(self, happened: Mapping[str, int]) -> bool:
        """Whether so much has happened."""
        return all(happened[what] >= number for what, number in attrs.asdict(self).items())


def main() -> int:
    """Soak the engines that were asked for. Return 1 on a breach, or if too little happened."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: every one")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--each", type=int, default=50, help="kills, pauses and takeovers, each")
    parser.add_argument("--minutes", type=float, default=60, help="per engine, after which it is given up")
    args = parser.parse_args()
    wanted = Wanted(args.operations, args.each, args.each, args.each)
    with tempfile.TemporaryDirectory(prefix="provjournal-soak-") as folder, local_cloud(Path(folder) / "cloud") as ready:
        os.environ["OS_CLIENT_CONFIG_FILE"] = ready["clouds_yaml"]
        good = [soak(engine, args.seed, wanted, args.minutes, ready, Path(folder)) for engine in args.engine or ENGINES]
    return 0 if all(good) else 1


def soak(engine: str, seed: int, wanted: Wanted, minutes: float, ready: dict[str, Any], folder: Path) -> bool:
    """Soak one engine, print what happened, and return whether all is well."""
    home = folder / f"{engine}-{seed}"
    home.mkdir()
    began = time.monotonic()
    with databases(engine, home) as urls:
        journal = Journal.open(urls[0], upgrade=True, settings=SETTINGS, conductor="supervisor")
        server = {"image_id": ready["image"], "flavor_id": ready["flavor"], "networks": "none"}
        happened = Chaos(urls, home, seed, server, journal).run(wanted, time.monotonic() + minutes * 60)
        cloud = OpenStackCloud.connect("demo", SETTINGS)
        settle(journal, cloud, home)
        found = list(breaches(journal, cloud, home))
        clusters = len(list(journal.store.heads()))
        clean_up(cloud, journal)
        journal.close()
    told = ", ".join(f"{number} {what}" for what, number in happened.items())
    enough = wanted.is_reached(happened)
    print(f"{engine}, seed {seed}: {told}; {clusters} clusters; {time.monotonic() - began:.0f} s", flush=True)
    for problem in found:
        print(f"  BREACH {problem}")
    if not enough:
        print(f"  TOO LITTLE happened in {minutes:g} minutes, wanted {attrs.asdict(wanted)}")
    if found or not enough:
        print(f"  the conductors' log ends with:\n{(home / 'log').read_text()[-3000:]}")
    return enough and not found


@contextmanager
def databases(engine: str, folder: Path) -> Iterator[list[str]]:
    """Start a server of the engine, and yield the URLs of a new database, one for each node."""
    with ExitStack() as stack:
        match engine:
            case "sqlite":
                yield [f"sqlite:///{folder}/journal.db"]
            case "galera":
                cluster = stack.enter_context(closing(installed(GaleraCluster)))
                cluster.nodes[0].make_database("soak")
                yield [node.url("soak") for node in cluster.nodes]
            case "mariadb":
                server = stack.enter_context(closing(installed(MariadbServer)))
                server.start()
                server.make_user()
                yield [server.make_database("soak")]
            case _:
                yield [stack.enter_context(closing(installed(PostgresqlServer))).make_database("soak")]


class Chaos:
    """Conductors, and what is done to them."""

    def __init__(self, urls: list[str], home: Path, seed: int, server: dict[str, Any], journal: Journal) -> None:
        self.urls = urls
        self.home = home
        self.seed = seed
        self.server = server
        self.random = random.Random(seed)
        self.reader = journal.catch_up()
        self.owners: dict[str, str] = {}
        self.happened: Counter[str] = Counter(operations=0, kills=0, pauses=0, takeovers=0)
        self.stopped: dict[int, float] = {}
        """Until when each stopped conductor stands still."""
        self.conductors = [self.start(place) for place in range(CONDUCTORS)]

    def start(self, place: int) -> "subprocess.Popen[bytes]":
        """Start a conductor, on a node of its own where there are several."""
        url, seed = self.urls[place % len(self.urls)], f"{self.seed}-{place}-{self.happened['kills']}"
        command = [sys.executable, "-m", "soak.conductor", url, str(self.home), seed, json.dumps(self.server)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (self.home / "errors").open("ab") as errors:
            return subprocess.Popen(command, env=environment, stderr=errors)

    def run(self, wanted: Wanted, until: float) -> "Counter[str]":
        """Kill, stop and continue conductors until enough has happened."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            with Progress(*columns) as progress:
                tasks = {what: progress.add_task(what, total=number) for what, number in attrs.asdict(wanted).items()}
                while time.monotonic() < until and not wanted.is_reached(self.happened):
                    time.sleep(self.random.uniform(*BETWEEN_SECONDS))
                    self.disturb()
                    self.count()
                    for what, task in tasks.items():
                        progress.update(task, completed=self.happened[what])
        finally:
            for conductor in self.conductors:
                conductor.kill()
                conductor.wait()
        self.count()
        return self.happened

    def disturb(self) -> None:
        """Kill one conductor and start another in its place, or stop one for a while; continue those that stood long enough."""
        for stopped in [place for place, until in self.stopped.items() if time.monotonic() >= until]:
            self.conductors[stopped].send_signal(signal.SIGCONT)
            del self.stopped[stopped]
        place = self.random.randrange(CONDUCTORS)
        conductor = self.conductors[place]
        assert conductor.poll() is None, (self.home / "errors").read_text()
        if self.random.random() < 0.5:
            conductor.kill()
            conductor.wait()
            self.stopped.pop(place, None)
            self.happened["kills"] += 1
            self.conductors[place] = self.start(place)
        elif place not in self.stopped:
            conductor.send_signal(signal.SIGSTOP)
            self.stopped[place] = time.monotonic() + self.random.uniform(*PAUSE_SECONDS)
            self.happened["pauses"] += 1

    def count(self) -> None:
        """Read on in the journal: operations begun, and unfinished ones taken over from another conductor."""
        for event in self.reader.read():
            match event.data:
                case OperationStarted(conductor=conductor):
                    self.happened["operations"] += 1
                    self.owners[event.stream] = conductor
                case OwnershipTaken(conductor=conductor) if event.operation is not None:
                    self.happened["takeovers"] += self.owners.get(event.stream) not in (None, conductor)
                    self.owners[event.stream] = conductor
                case DeletionRequested():
                    self.owners.pop(event.stream, None)  # whoever carries it out takes over from nobody
                case _:
                    pass


def clean_up(cloud: OpenStackCloud, journal: Journal) -> None:
    """Leave an empty cloud for the next engine."""
    while [server for server in cloud.list_journal(journal.id) if cloud.delete(server.id) is not DeleteAnswer.ABSENT]:
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
