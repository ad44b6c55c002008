"""The library itself as a contestant: through its public API, as a conductor and its operators use it.

Two things have no call of `Journal`'s own and are asked of `journal.store`, which is public, too: the list of all
clusters (`heads`) and the index of unfinished steps (`unfinished_steps`).
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count, islice
from uuid import uuid4

from benchmarks.protocol import Run, Turn, counted, once, serve
from journal import Journal, Operation
from journal.clock import SystemClock
from journal.events import (
    ClusterStatus,
    Completion,
    Configure,
    CreateServer,
    Data,
    InventoryObserved,
    ObservedServer,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    Stage,
    StepOutcome,
)
from projections.fold import fold
from projections.verdicts import verdicts
from rollback.plan import plan as planned

CLOUD = "RegionOne/5f0c"
FILLING = 16
"""Threads of each process that fills a journal: their appends share transactions."""
AT_ONCE = 500
"""Clusters that a process fills a journal with until it takes the next ones."""

# ---- appending


def steps(url: str, seconds: float, threads: int) -> Run:
    """Run steps that create servers, each thread in an operation of its own."""
    journal = Journal.open(url)

    def make() -> Turn:
        operation = begun(journal)

        def step() -> int:
            with operation.create_server("worker", "worker-001") as created:
                created.created(str(uuid4()))
            return 1

        return step

    return counted(make, seconds, threads=threads, settings=lambda: {"weaknesses": journal.store.weaknesses()})


def run_all(url: str, seconds: float, threads: int) -> Run:
    """Run the steps of one operation in parallel, so many at once."""
    journal = Journal.open(url)

    def make() -> Turn:
        operation = begun(journal)

        def many() -> int:
            planned_steps = [operation.create_server("worker", "worker-001") for _ in range(100)]
            return len(operation.run_all(planned_steps, lambda step: step.created(str(uuid4())), at_once=threads))

        return many

    return counted(make, seconds, warm_up=1, settings=lambda: {"weaknesses": journal.store.weaknesses()})


def batch(url: str, seconds: float, events: int) -> Run:
    """Append so many events at a time to an operation; a cluster has ten such batches, then comes another."""
    journal = Journal.open(url)

    def make() -> Turn:
        operations = (operation for _ in count() for operation in [begun(journal)] * 10)

        def append() -> int:
            next(operations).append(*islice(created(events), events))
            return events

        return append

    return counted(make, seconds, warm_up=1, settings=lambda: {"weaknesses": journal.store.weaknesses()})


def begun(journal: Journal) -> Operation:
    """Begin the create of a new cluster."""
    return journal.begin(f"c-{uuid4()}", OperationKind.CREATE, CLOUD)


def created(events: int, servers: Sequence[str] = ()) -> Iterator[Data]:
    """Yield an intent and a completion for each server that is created, so many events in all."""
    clock = SystemClock()
    for number in range(events // 2):
        intent = CreateServer(uuid4(), Stage.INFRASTRUCTURE, clock.now(), "worker", "worker-001")
        yield intent
        yield Completion(intent.step, StepOutcome.SUCCEEDED, servers[number] if servers else str(uuid4()))


# ---- reading


def replay(url: str, seconds: float) -> Run:
    """Read every cluster, decode its events, and fold them to verdicts."""
    return read(url, seconds, verdicts)


def plan(url: str, seconds: float) -> Run:
    """Read every cluster, decode its events, and make its plan."""
    return read(url, seconds, planned)


def read(url: str, seconds: float, judge: Callable[..., object]) -> Run:
    """Read every cluster and judge it."""
    journal = Journal.open(url)

    def make() -> Turn:
        clusters = [head.stream for head in journal.store.heads()]

        def judge_all() -> int:
            done = 0
            for cluster in clusters:
                events = journal.stream(cluster).events
                assert judge(fold(events))
                done += len(events)
            return done

        return judge_all

    return counted(make, seconds, warm_up=0)


def recovery(url: str, seconds: float, unfinished: int) -> Run:
    """Open the journal, and learn the unfinished steps and their clusters."""

    def make() -> Turn:
        def recover() -> int:
            with Journal.open(url) as journal:
                found = [(step.stream, step.step) for step in journal.store.unfinished_steps()]
            assert len(found) == unfinished
            return 1

        return recover

    return counted(make, seconds, warm_up=1)


def memory(url: str, seconds: float) -> Run:  # noqa: ARG001 (it is done once)
    """Say how many bytes an event the plan of the one cluster takes at its most, beyond the decoded events."""

    def run() -> dict[str, object]:
        with Journal.open(url) as journal:
            (head,) = journal.store.heads()
            tracemalloc.start()
            events = journal.stream(head.stream).events
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert planned(fold(events)).verdicts
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"count": len(events), "seconds": most - before, "decoded": before / len(events)}

    return run


# ---- filling


def history(url: str, events: int, each: int) -> Run:
    """Fill a journal with clusters whose create succeeded, each with so many events."""

    def fill(journal: Journal, _: int) -> None:
        operation = begun(journal)
        operation.append(*created(each - 2))
        operation.succeed()

    return once(lambda: _fill(url, fill, range(events // each)))


def clusters(url: str, size: int, unfinished: int) -> Run:
    """Fill a journal with so many clusters, of which the last few have a step in flight."""

    def fill() -> None:
        parts = [range(first, min(first + AT_ONCE, size)) for first in range(0, size, AT_ONCE)]
        with ProcessPoolExecutor() as pool:
            for _ in pool.map(partial(_fill, url, partial(_fill_cluster, size - unfinished)), parts):
                pass

    return once(fill)


def _fill_cluster(finished: int, journal: Journal, number: int) -> None:
    operation = begun(journal)
    ended = OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, "")
    operation.append(*created(2), ended)
    if number >= finished:
        scale = journal.begin(operation.cluster, OperationKind.SCALE, CLOUD)
        scale.begin_all([scale.create_server("worker", "worker-002")])


def _fill(url: str, fill: Callable[[Journal, int], None], numbers: range) -> None:
    with closing(Journal.open(url)) as journal, ThreadPoolExecutor(FILLING) as pool:
        for _ in pool.map(partial(fill, journal), numbers):
            pass


def cluster(url: str, servers: int) -> Run:
    """Fill a journal with one cluster whose create has not ended: its servers were created, configured and listed."""

    def fill() -> None:
        with closing(Journal.open(url)) as journal:
            operation, clock = begun(journal), journal.clock
            ids = [str(uuid4()) for _ in range(servers)]
            intents = list(created(2 * servers, ids))
            for some in _batches(intents):
                operation.append(*some)
            configured: list[Data] = []
            for id_ in ids:
                intent = Configure(uuid4(), Stage.CONFIGURE, clock.now(), (id_,))
                configured += [intent, Completion(intent.step, StepOutcome.SUCCEEDED)]
            for some in _batches(configured):
                operation.append(*some)
            steps_ = [intent.step for intent in intents if isinstance(intent, CreateServer)]
            seen = tuple(
                ObservedServer(id_, "worker-001", "ACTIVE", clock.now(), step) for id_, step in zip(ids, steps_, strict=True)
            )
            operation.append(
                InventoryObserved(seen, complete=True, as_of=operation.stream.version, began_at=clock.now(), cloud=CLOUD)
            )

    return once(fill)


def _batches(data: Sequence[Data]) -> Iterator[Sequence[Data]]:
    return (data[first : first + 1000] for first in range(0, len(data), 1000))


def tables(url: str) -> Run:
    """Make the journal."""
    return once(lambda: Journal.open(url, upgrade=True).close())


if __name__ == "__main__":
    serve(
        {
            "tables": tables,
            "history": history,
            "clusters": clusters,
            "cluster": cluster,
            "steps": steps,
            "run_all": run_all,
            "batch": batch,
            "replay": replay,
            "plan": plan,
            "memory": memory,
            "recovery": recovery,
        }
    )
