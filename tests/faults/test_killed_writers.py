"""Writers that are killed while they append: what they were acknowledged is there, once, on each engine."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from journal.sql.store import open_store
from journal.verify import verify_stream

ROUNDS = int(os.environ.get("PROVJOURNAL_KILLED_WRITERS", "3"))
"""How many writers are killed on each engine. `make durability` kills more."""

WRITER = """
import sys
from builders import create_server
from contracts.store import begin, follow
from journal.sql.store import open_store
store = open_store(sys.argv[1])
last = begin(store, sys.argv[2])
while True:
    print(last[-1].hash, flush=True)
    last = follow(store, last, create_server())
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mariadb", "galera"])
def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(new_database: Callable[[str], list[str]], engine: str) -> None:
    urls = new_database(engine)
    with closing(open_store(urls[-1], upgrade=True)) as store:
        for number in range(ROUNDS):
            acknowledged = killed(urls[0], f"s-{number}", after=5 * (number % 10 + 1))
            head = store.head(f"s-{number}")
            assert head is not None
            assert set(verify_stream(store, head)) == {None}
            stored = [event.hash for event in store.read(f"s-{number}")]
            assert stored[: len(acknowledged)] == acknowledged
            assert len(stored) <= len(acknowledged) + 1, "at most the one that was on its way"


def killed(url: str, stream: str, after: int) -> list[str]:
    """Kill a writer after so many appends, and return the hashes of those that it was acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url, stream], stdout=subprocess.PIPE, text=True, env=environment)
    with writer:
        assert writer.stdout is not None
        acknowledged = [next(writer.stdout) for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line for line in writer.stdout if line.endswith("\n")]
    return [line.strip() for line in acknowledged]
