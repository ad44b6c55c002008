"""What is measured, and what it is to come to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from benchmarks.contestants import RAW

MILLISECONDS: Final = 1_000.0
MICROSECONDS: Final = 1_000_000.0


@attrs.frozen
class Target:
    """What this library is to reach: a ratio to another contestant of the same round, or a value of its own."""

    limit: float
    of: str | None = RAW
    """To whom the ratio is; None: the value itself."""
    is_most: bool = False

    def is_met(self, reached: float) -> bool:
        """Tell whether that is reached."""
        return reached <= self.limit if self.is_most else reached >= self.limit

    def told(self, unit: str) -> str:
        """Return the target as a reader sees it."""
        return f"{'≤' if self.is_most else '≥'} {self.limit:,g} {unit if self.of is None else f'× {self.of}'}"


@attrs.frozen
class Worker:
    """One process that takes part: on which node of the database, with how many threads."""

    node: int = 0
    threads: int = 1


@attrs.frozen
class Measure:
    """One measure: the job, what it runs on, and the targets on each engine."""

    name: str
    title: str
    unit: str
    job: str
    targets: Mapping[str, tuple[Target, ...]]
    """By engine; on others it is not measured."""
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    """What the job is told beside the database and how long."""
    cost: float | None = None
    """If what counts is what one thing costs, and less is better: how many units a second has."""
    workers: tuple[Worker, ...] = (Worker(),)
    raw_workers: tuple[Worker, ...] | None = None
    """Those of the raw driver, where they are others."""
    fill: str | None = None
    """The job that fills the database before; without one each run has a fresh database, and its commits are counted."""
    size: int = 0
    """How much that fills."""
    raw_reads_ours: bool = False
    """Whether the raw driver reads the library's own database, and so the same bytes."""
    is_large: bool = False
    """Whether it is left out unless asked for."""

    def of_size(self, size: int) -> "Measure":
        """Return the same on another size of database."""
        return attrs.evolve(self, size=size, fields=sized(self.fill, size)[1])

    def scaled(self, factor: float) -> "Measure":
        """Return the same on a smaller database, for a look."""
        least = 2 * UNFINISHED if self.fill == "clusters" else EACH
        return self.of_size(max(int(self.size * factor), least)) if self.fill else self

    @property
    def filling(self) -> Mapping[str, Any]:
        """What the job that fills is told."""
        return sized(self.fill, self.size)[0]


UNFINISHED: Final = 10
EACH: Final = 1000
"""Events of a cluster, where there are many."""


def sized(fill: str | None, size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what the job that fills is told, and what the job that is measured then is told."""
    match fill:
        case "history":
            return {"events": size, "each": EACH}, {}
        case "clusters":
            return {"size": size, "unfinished": UNFINISHED}, {"unfinished": UNFINISHED}
        case "cluster":
            return {"servers": size // 4}, {}
        case _:
            return {}, {}


def _steps(name: str, title: str, least: Mapping[str, float], *workers: Worker, **more: Any) -> Measure:
    targets = {engine: (Target(limit),) for engine, limit in least.items()}
    return Measure(name, f"durable steps, {title}", "steps/s", "steps", targets, workers=workers or (Worker(),), **more)


def _recovery(size: int, **more: Any) -> Measure:
    targets = {"sqlite": (Target(5, is_most=True),), "postgresql": (Target(3, is_most=True),)}
    title = f"recovery: open, and know the {UNFINISHED} unfinished steps among {size:,} clusters"
    return Measure(
        f"recovery-{size}",
        title,
        "ms",
        "recovery",
        targets,
        cost=MILLISECONDS,
        fill="clusters",
        raw_reads_ours=True,
        **more,
    ).of_size(size)


def _plan(events: int, **more: Any) -> Measure:
    title = f"plan of one cluster with {events // 4:,} servers, {events:,} events"
    targets = {"sqlite": (Target(200_000, None),), "postgresql": (Target(200_000, None),)}
    return Measure(f"plan-{events}", title, "events/s", "plan", targets, fill="cluster", size=events, raw_reads_ours=True, **more)


def _memory(events: int, **more: Any) -> Measure:
    title = f"memory of that plan beyond the decoded events, {events:,} events"
    targets = {"sqlite": (Target(100, None, is_most=True),)}
    return Measure(f"memory-{events}", title, "bytes an event", "memory", targets, cost=1.0, fill="cluster", size=events, **more)


MEASURES: Final = (
    _steps("steps", "one writer", {"sqlite": 0.85, "postgresql": 0.85}),
    _steps("threads", "eight threads", {"sqlite": 2.5, "postgresql": 2.0}, Worker(threads=8)),
    _steps("processes", "eight processes", {"sqlite": 0.85, "postgresql": 0.75}, *[Worker()] * 8),
    _steps("galera-one", "eight threads on one node of three", {"galera": 2.0}, Worker(threads=8)),
    _steps(
        "galera-three",
        "eight threads spread over three nodes, beside the raw driver on one",
        {"galera": 1.0},
        *(Worker(0, 3), Worker(1, 3), Worker(2, 2)),
        raw_workers=(Worker(threads=8),),
    ),
    Measure(
        "batch",
        "batch append, 1,000 events a transaction",
        "events/s",
        "batch",
        {"sqlite": (Target(0.7),), "postgresql": (Target(0.7),)},
        fields={"events": 1000},
    ),
    Measure(
        "replay",
        "replay of 200,000 events: read, decode, fold to verdicts",
        "events/s",
        "replay",
        dict.fromkeys(
            ("sqlite", "postgresql"),
            (Target(0.6), Target(8, "eventsourcing"), Target(2, "DBOS"), Target(2, "DBOS, with an intent")),
        ),
        fill="history",
        size=200_000,
        raw_reads_ours=True,
    ),
    _recovery(1_000),
    _recovery(10_000),
    _recovery(100_000),
    _recovery(1_000_000, is_large=True),
    _plan(40_000),
    _plan(1_000_000, is_large=True),
    _memory(40_000),
    _memory(1_000_000, is_large=True),
)
IMPORT: Final = Measure(
    "import",
    "import of what a conductor uses, beyond the interpreter with attrs and msgspec",
    "ms",
    "import",
    {"": (Target(30, None, is_most=True),)},
    cost=MILLISECONDS,
)
HELP: Final = Measure(
    "help", "`provjournal --help`, all of it", "ms", "help", {"": (Target(300, None, is_most=True),)}, cost=MILLISECONDS
)
GROWN: Final = (
    Measure(
        "appends",
        "a durable step, one writer, in a journal of so many events",
        "ms",
        "steps",
        {"sqlite": (), "postgresql": ()},
        cost=MILLISECONDS,
        fill="history",
    ),
    Measure(
        "replay",
        "replay of a journal of so many events, in clusters of 1,000",
        "µs an event",
        "replay",
        {"sqlite": (), "postgresql": ()},
        cost=MICROSECONDS,
        fill="history",
        raw_reads_ours=True,
    ),
    Measure(
        "recovery",
        "recovery: open, and know ten unfinished steps among so many clusters",
        "ms",
        "recovery",
        {"sqlite": (), "postgresql": ()},
        cost=MILLISECONDS,
        fill="clusters",
        raw_reads_ours=True,
    ),
    Measure(
        "plan",
        "plan of one cluster with so many events",
        "µs an event",
        "plan",
        {"sqlite": (), "postgresql": ()},
        cost=MICROSECONDS,
        fill="cluster",
        raw_reads_ours=True,
    ),
)
"""What is measured on histories of growing size."""
ALL: Final = (*MEASURES, IMPORT, HELP)


def chosen(wanted: list[str] | None, among: Sequence[Measure], *, large: bool) -> tuple[Measure, ...]:
    """Return the measures with these names, or whose names begin so; without any, all. Raises ValueError for a word of none."""
    found = {measure.name for word in wanted or [""] for measure in _named(word, among, large=large)}
    return tuple(measure for measure in among if measure.name in found)


def _named(word: str, among: Sequence[Measure], *, large: bool) -> list[Measure]:
    exact = [measure for measure in among if measure.name == word]
    found = exact or [measure for measure in among if measure.name.startswith(word) and (large or not measure.is_large)]
    if not found:
        msg = f"there is no measure {word}; there are {', '.join(measure.name for measure in among)}"
        raise ValueError(msg)
    return found
