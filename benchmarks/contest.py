"""A contest: all contestants of a measure on one engine, round after round, each time in another order."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from benchmarks.contestants import OURS, RAW, Contestant, Failed, Programs
from benchmarks.databases import Place, Urls
from benchmarks.measures import Measure, Target

COUNTED_SECONDS: Final = 0.3
"""How long the run takes in which commits are counted. It is no round: on SQLite counting holds checkpoints up."""
PEERS_EVERY: Final = 2
"""Peers take part in each so many-th round: most of the time is theirs."""

Progress = Callable[[str], None]
Item = TypeVar("Item")


@attrs.frozen
class Spread:
    """The middle of several rounds, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return it, or None of no values."""
        return cls(statistics.median(values), min(values), max(values)) if values else None


@attrs.define
class Outcome:
    """What came of one measure on one engine."""

    measure: Measure
    engine: str
    contestants: tuple[Contestant, ...]
    rounds: list[dict[str, float]] = attrs.field(factory=list)
    """By contestant; those that have nothing of the kind are missing."""
    commits: dict[str, dict[str, float]] = attrs.field(factory=dict)
    """By contestant, for each thing that is counted."""
    settings: dict[str, Any] = attrs.field(factory=dict)
    """By contestant, what its own connections say of durability."""
    problems: dict[str, str] = attrs.field(factory=dict)
    too_slow: frozenset[str] = frozenset()

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets on this engine."""
        return self.measure.targets.get(self.engine, ())

    def values(self, name: str) -> Spread | None:
        """Return what a contestant came to."""
        return Spread.of([values[name] for values in self.rounds if name in values])

    def ratios(self, name: str, of: str = RAW) -> Spread | None:
        """Return a contestant's ratios to another one, each to that of the same round."""
        return Spread.of([values[name] / values[of] for values in self.rounds if values.get(name) and values.get(of)])

    def reached(self, target: Target) -> Spread | None:
        """Return what is compared with a target."""
        return self.values(OURS) if target.of is None else self.ratios(OURS, target.of)


@attrs.frozen
class Contest:
    """One measure on one engine."""

    measure: Measure
    place: Place
    programs: Programs
    seconds: float
    progress: Progress

    def run(self, rounds: int, without: Collection[str] = ()) -> Outcome:
        """Run it. Contestants that are too slow for this size are left out by name."""
        there = tuple(one for one in self.programs.contestants if one.takes_part(self.measure.name))
        outcome = Outcome(self.measure, self.place.name, there, too_slow=frozenset(without))
        running = [one for one in there if one.name not in without]
        filled: dict[tuple[str, str], Urls | None] = {}
        try:
            for one in running:
                if self.measure.fill is not None:
                    self._try(outcome, one, "filled", partial(self._fill, one, filled))
                else:
                    self._try(outcome, one, "commits counted", partial(self._count, one, outcome))
            for number in range(rounds):
                for one in rotated([one for one in running if one.peer is None or number % PEERS_EVERY == 0], number):
                    said = f"round {number + 1} of {rounds}"
                    self._try(outcome, one, said, partial(self._round, one, number, outcome, filled))
        finally:
            for urls in filled.values():
                if urls is not None:
                    self.place.drop(urls)
        return outcome

    def _try(self, outcome: Outcome, one: Contestant, said: str, do: Callable[[], None]) -> None:
        """Do something for a contestant that has not failed before."""
        if one.name in outcome.problems:
            return
        self.progress(f"{self.measure.name}, {self.place.name}: {one.name}, {said}")
        try:
            do()
        except (Failed, OSError) as error:
            outcome.problems[one.name] = str(error)

    def _fill(self, one: Contestant, filled: dict[tuple[str, str], Urls | None]) -> None:
        """Make the database that a contestant reads, unless another one with the same has."""
        key = self._filled_by(one)
        if key in filled or (one.name == RAW and self.measure.raw_reads_ours):
            return
        filled[key] = None
        urls = self.place.fresh()
        with self.programs.started(one) as (program,):
            if program.run("tables", url=urls[0]) and program.run(key[1], url=urls[0], **self.measure.filling):
                filled[key] = urls
            else:
                self.place.drop(urls)

    def _filled_by(self, one: Contestant) -> tuple[str, str]:
        fill = str(self.measure.fill)
        if one.name == RAW and self.measure.raw_reads_ours:
            one = next(other for other in self.programs.contestants if other.name == OURS)
        return one.program, one.named(fill)

    def _count(self, one: Contestant, outcome: Outcome) -> None:
        urls = self.place.fresh()
        with self.programs.started(one) as (program,):
            has_tables = program.run("tables", url=urls[0])
        if has_tables:
            with self.place.counting(urls) as commits:
                answer = self._answer(one, urls, min(self.seconds, COUNTED_SECONDS))
            if answer is not None:
                done = answer["count"] + answer["warm_up"]
                outcome.commits[one.name] = {"transactions": commits.transactions / done}
                if commits.syncs is not None:
                    outcome.commits[one.name]["syncs"] = commits.syncs / done
                outcome.settings[one.name] = answer["settings"]
        self.place.drop(urls)

    def _round(self, one: Contestant, number: int, outcome: Outcome, filled: Mapping[tuple[str, str], Urls | None]) -> None:
        while len(outcome.rounds) <= number:
            outcome.rounds.append({})
        if self.measure.fill is not None:
            urls = filled[self._filled_by(one)]
            answer = None if urls is None else self._answer(one, urls, self.seconds)
        else:
            urls = self.place.fresh()
            answer = self._answer(one, urls, self.seconds, is_fresh=True)
            self.place.drop(urls)
        if answer is not None:
            outcome.rounds[number][one.name] = value(self.measure, answer)

    def _answer(self, one: Contestant, urls: Urls, seconds: float, *, is_fresh: bool = False) -> dict[str, Any] | None:
        """Run the job once, in as many processes as it takes. Returns None if the contestant has nothing of the kind."""
        workers = self.measure.raw_workers if one.name == RAW and self.measure.raw_workers else self.measure.workers
        job, is_steps = one.named(self.measure.job), self.measure.job == "steps"
        with self.programs.started(one, len(workers)) as programs:
            if is_fresh and not programs[0].run("tables", url=urls[0]):
                return None
            for program, worker in zip(programs, workers, strict=True):
                threads = {"threads": worker.threads} if is_steps else {}
                if not program.prepare(job, url=urls[worker.node], seconds=seconds, **threads, **self.measure.fields):
                    return None
            for program in programs:
                program.go()
            answers = [program.answer() for program in programs]
        return {
            "count": sum(answer["count"] for answer in answers),
            "warm_up": sum(answer.get("warm_up", 0) for answer in answers),
            "seconds": max(answer["seconds"] for answer in answers),
            "settings": answers[0].get("settings"),
        }


def value(measure: Measure, answer: Mapping[str, Any]) -> float:
    """Return what counts in a measure: how many a second, or what one costs."""
    if measure.cost is None:
        return float(answer["count"] / answer["seconds"])
    return float(answer["seconds"] / answer["count"] * measure.cost)


def rotated(items: Sequence[Item], by: int) -> list[Item]:
    """Return the items in another order each time, so that nobody is always first."""
    start = by % len(items) if items else 0
    return [*items[start:], *items[:start]]
