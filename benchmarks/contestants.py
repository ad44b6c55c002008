"""The contestants, and their programs as processes that are asked for a job."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs

from benchmarks.environments import environment

ROOT: Final = Path(__file__).resolve().parent.parent
END_SECONDS: Final = 30.0
RAW: Final = "raw driver"
OURS: Final = "this library"


@attrs.frozen
class Contestant:
    """One contestant: how it is shown, which program plays it, and in which way, where that has several."""

    name: str
    program: str
    peer: str | None = None
    """The folder of its environment; None for what runs in the project's own."""
    jobs: Mapping[str, str] = attrs.field(factory=dict)
    """Jobs that it has under another name: another way of the same program."""
    only: frozenset[str] | None = None
    """The measures that it is there for, by name; None for all that its program has a job for."""
    note: str = ""
    """What a reader should know of it, below the tables."""

    def takes_part(self, measure: str) -> bool:
        """Tell whether it is there for a measure."""
        return self.only is None or measure in self.only

    def named(self, job: str) -> str:
        """Return the name of a job in its program."""
        return self.jobs.get(job, job)


CONTESTANTS: Final = (
    Contestant(RAW, "benchmarks.raw"),
    Contestant(
        "raw driver, in turns",
        "benchmarks.raw",
        jobs={"steps": "steps_in_turns"},
        only=frozenset({"threads"}),
        note="its threads wait for each other in the process; SQLite's own waiting is slow",
    ),
    Contestant(OURS, "benchmarks.ours"),
    Contestant(
        "this library, run_all",
        "benchmarks.ours",
        jobs={"steps": "run_all"},
        only=frozenset({"threads"}),
        note="the steps of one operation, so many at once; else each thread has one",
    ),
    Contestant("eventsourcing", "benchmarks.peers.eventsourcing.program", "eventsourcing"),
    Contestant(
        "eventsourcing, events only",
        "benchmarks.peers.eventsourcing.program",
        "eventsourcing",
        jobs={"replay": "replay_events"},
        only=frozenset({"replay"}),
        note="the stored events decoded, without aggregates",
    ),
    Contestant("DBOS", "benchmarks.peers.dbos.program", "dbos", note="it records that a step ended, not that it began"),
    Contestant(
        "DBOS, with an intent",
        "benchmarks.peers.dbos.program",
        "dbos",
        jobs={"steps": "steps_with_intent", "history": "history_with_intent"},
        only=frozenset({"steps", "replay"}),
        note="two of its steps for each: one that records the intent, one that does the work",
    ),
    Contestant("TaskFlow", "benchmarks.peers.taskflow.program", "taskflow"),
)
PEERS: Final = tuple(dict.fromkeys(one.peer for one in CONTESTANTS if one.peer is not None))


class Failed(Exception):
    """A program ended without an answer."""


@attrs.frozen
class Programs:
    """How the programs are started: `pythons` says with which Python, by peer."""

    pythons: Mapping[str | None, Path]

    @classmethod
    def prepared(cls, peers: Iterable[str], folder: Path, progress: Callable[[str], None]) -> Self:
        """Make the environments of these peers, where they are not there yet."""
        pythons: dict[str | None, Path] = {name: environment(name, folder, progress) for name in peers}
        return cls({None: Path(sys.executable), **pythons})

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        """Those that can be started."""
        return tuple(one for one in CONTESTANTS if one.peer in self.pythons)

    @contextmanager
    def started(self, contestant: Contestant, count: int = 1) -> Iterator[Sequence["Program"]]:
        """Start so many processes of a contestant's program, for the length of the block."""
        with ExitStack() as stack:
            yield [stack.enter_context(Program(self.pythons[contestant.peer], contestant.program)) for _ in range(count)]


class Program:
    """One process of a contestant."""

    def __init__(self, python: Path, module: str) -> None:
        self._module = module
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed at exit)
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [python, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # threads of its own kept it
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()

    def prepare(self, job: str, **fields: Any) -> bool:
        """Have it get ready for a job. Returns False if it has nothing of the kind. Raises Failed."""
        self._say({"run": job, **fields})
        return "cannot" not in self.answer()

    def go(self) -> None:
        """Let it go."""
        self._say({"go": True})

    def answer(self) -> dict[str, Any]:
        """Wait for its answer. Raises Failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(END_SECONDS)
            self._said.seek(0)
            msg = f"{self._module} ended with {self._process.returncode}: {self._said.read()[-3000:]}"
            raise Failed(msg)
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, job: str, **fields: Any) -> bool:
        """Have it do something that is not measured. Returns False if it has nothing of the kind."""
        if not self.prepare(job, **fields):
            return False
        self.go()
        self.answer()
        return True

    def _say(self, what: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.answer()
