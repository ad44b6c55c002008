"""How fast `journal verify` goes through a large journal on SQLite, and how much memory it takes beside a small one.

    python -m benchmarks.verification [EVENTS]     a million by default, in clusters of a thousand

No event is held in memory, but of one cluster at a time the ids that its later events may name.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from rich.progress import track

from journal.clock import SystemClock
from journal.events import Completion, CreateServer, Data, OperationKind, OperationStarted, Stage, StepOutcome
from journal.sql.store import SqlStore, open_store
from journal.stream import Stream

AT_ONCE = 1000
VERIFY = [str(Path(sys.executable).with_name("provjournal")), "journal", "verify"]


def history(events: int) -> Iterator[list[Data]]:
    """Yield the events of one create, in two appends."""
    yield [OperationStarted(OperationKind.CREATE, "conductor", "RegionOne/project", (), {})]
    clock = SystemClock()
    steps = [CreateServer(uuid4(), Stage.INFRASTRUCTURE, clock.now(), "worker", "worker-1") for _ in range((events - 1) // 2)]
    done = [Completion(step.step, StepOutcome.SUCCEEDED, server_id=str(uuid4())) for step in steps]
    yield [event for pair in zip(steps, done, strict=True) for event in pair]


def write(store: SqlStore, name: str, events: int) -> None:
    """Write one stream."""
    stream, operation = Stream(store, name, SystemClock()), uuid4()
    for batch in history(events):
        stream.append(*batch, operation=operation)


def main() -> None:
    """Measure a journal of one cluster and one of many, and print seconds, peak memory and ratios."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    _, small = measure(1)
    seconds, large = measure(events // AT_ONCE)
    print(f"{events:>9} events verified in {seconds:.1f} s, {events / seconds:.0f} a second")
    print(f"peak memory {large:.0f} MiB, {large / small:.2f} of what {AT_ONCE} events take")


def measure(clusters: int) -> tuple[float, float]:
    """Return the seconds and the peak memory in MiB that verifying so many clusters takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/journal.db"
        store = open_store(url, upgrade=True)
        for number in track(range(clusters), f"writing {clusters} clusters", transient=True):
            write(store, f"c-{number}", AT_ONCE)
        store.close()
        began = time.perf_counter()
        child = os.posix_spawn(VERIFY[0], [*VERIFY, "--journal", url], os.environ)
        _, status, usage = os.wait4(child, 0)
        if status:
            sys.exit("the journal does not verify")
        return time.perf_counter() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
