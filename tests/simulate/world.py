"""One schedule: a simulated world is made, lives through what the choices bring, is healed, and is judged."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from random import Random
from typing import Any, Final
from uuid import UUID

import attrs

from journal import recorder
from journal.codec import FIRST_HASH
from journal.events import Event
from journal.memory import MemoryStore
from journal.settings import Settings
from projections.fold import fold
from rollback import handler, recovery
from rollback.marks import CLUSTER_KEY, JOURNAL_KEY, Marks
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud, SimulatedServer
from rollback.testing.world import SimulatedRecord
from simulate import acts, faults
from simulate.choices import Choices
from simulate.oracle import BUG, NO_END, Oracle
from simulate.process import Process
from simulate.scheduler import Scheduler

BEGINNING: Final = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SETTINGS: Final = Settings(poll_seconds=15.0, delete_timeout_seconds=60.0)
CLUSTERS: Final = ("c-1", "c-2")
LONGEST: Final = timedelta(hours=1)
"""How long a world lives before faults stop."""
UNTIL_ALL_LANDED: Final = 8000.0
MOST_ROUNDS: Final = 8
"""How many recoveries may pass, once faults have stopped, until nothing changes any more."""
FEW: Final = 0.06
"""How often each of the rarer things is part of a schedule."""
OFTEN: Final = {faults.LAG: 0.25}


SETTINGS_OF_TROUBLE: Final[dict[str, tuple[str, Sequence[float]]]] = {
    faults.LAG: ("lag_seconds", (0.6, 5, 29)),
    faults.SOFT_DELETE: ("reclaim_seconds", (300, 1000)),
    faults.SLOW_DELETE: ("delete_seconds", (5, 50, 200)),
    faults.DELETE_TO_ERROR: ("delete_goes_to_error", (1, 2, 3)),
    faults.SLOW_BUILD: ("build_seconds", (10, 100, 300)),
    faults.ENDLESS_BUILD: ("build_seconds", (float("inf"),)),
    faults.BOOT_TO_ERROR: ("boots_to_error", (1,)),
    faults.PAGES: ("page", (2,)),
}
"""What of the cloud each kind of trouble changes, and to what."""


@attrs.frozen
class Outcome:
    """What one schedule came to."""

    breaches: Sequence[str]
    counts: Counter[str]
    made: Sequence[int]
    """The choices."""
    events: Sequence[Event]


class Unexpected(logging.Filter):
    """Notes errors that were caught and logged, but are of no kind that a port or a plugin raises: bugs. Nothing is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.world: Any = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at what was caught, while a world is played."""
        if self.world is None:
            return True
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, FORESEEN):
            self.world.oracle.breach(BUG, f"{type(error).__name__}: {error}")
        return False


FORESEEN: Final = (*acts.EXPECTED, acts.PluginError, ConnectionError)
"""What ports and plugins raise."""
UNEXPECTED: Final = Unexpected()
for logger in (handler.LOG, recorder.LOG, recovery.LOG):
    logger.filters.insert(0, UNEXPECTED)


class WitnessedCloud(SimulatedCloud):
    """A cloud whose oracle sees what each request makes."""

    def __init__(self, clock: SimulatedClock, oracle: Oracle) -> None:
        super().__init__(clock)
        self.oracle = oracle

    def land(self, step: Any, **attributes: Any) -> str:
        """Make the server of a step."""
        id_ = super().land(step, **attributes)
        self.oracle.made[id_] = step.id
        return id_


class World:
    """One simulated world."""

    def __init__(self, choices: Choices, *, begins: datetime = BEGINNING, ids: int = 0, made: int = 100) -> None:
        self.choices = choices
        self.settings = SETTINGS
        self.clock = SimulatedClock(begins)
        self.scheduler = Scheduler(self.clock, choices)
        self._ids = Random(ids)
        self.store = MemoryStore(self.clock.now, journal_id=UUID(int=1))
        self.oracle = Oracle(self)
        self.cloud = WitnessedCloud(self.clock, self.oracle)
        self.cloud.made = made
        self.records = {cluster: SimulatedRecord() for cluster in CLUSTERS}
        self.counts: Counter[str] = Counter()
        self.reported: set[str] = set()
        """What the last sweep called orphans."""
        self.is_faulty = False
        self.rates = faults.Rates(choices)
        self.answer_rate = choices.one_of((0.0, 0.05, 0.3))
        self.plugin_rate = choices.one_of((0.0, 0.05, 0.3))
        self.record_rate = choices.one_of((0.0, 0.0, 0.2))
        self._marks_were: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._on_their_way: Counter[UUID] = Counter()
        self._processes = 0

    # ---- what the others ask

    def new_id(self) -> UUID:
        """Return a new id, the same in each run of these choices."""
        return UUID(int=self._ids.getrandbits(128), version=4)

    def count(self, fault: str) -> None:
        """Count something that went wrong."""
        self.counts[fault] += 1

    def lives(self, name: str) -> bool:
        """Whether a process of this name is at work."""
        return any(actor.process.name == name and not actor.process.is_dead for actor in self.scheduler.actors)

    def is_there(self, id_: str) -> bool:
        """Whether a server is there, and not only softly deleted."""
        server = self.cloud.servers.get(id_)
        return server is not None and server.status != "SOFT_DELETED"

    def there(self, cluster: str) -> list[str]:
        """Return the servers that requests of a cluster made, and that are there."""
        steps = self.oracle.clusters[cluster].steps
        return [id_ for id_, step in self.oracle.made.items() if step in steps and self.is_there(id_)]

    def marked(self, cluster: str) -> list[str]:
        """Return the servers that are there and carry a cluster's marks."""
        mark = (str(self.store.journal_id), cluster)
        there = (server for server in self.cloud.servers.values() if self.is_there(server.id))
        return [server.id for server in there if (server.metadata.get(JOURNAL_KEY), server.metadata.get(CLUSTER_KEY)) == mark]

    def members(self, cluster: str) -> list[str]:
        """Return the servers of a cluster, as its conductor knows them."""
        return sorted(id_ for id_ in self.oracle.clusters[cluster].members if self.is_there(id_))

    def land(self, step: Any) -> None:
        """Let the request of a create arrive."""
        self._on_their_way[step.id] -= 1
        self.cloud.land(step)

    def can_land(self, step: UUID) -> bool:
        """Whether a request of a create is on its way, or has made something."""
        return self._on_their_way[step] > 0 or step in self.oracle.made.values()

    def later_lands(self, seconds: float, step: Any) -> None:
        """Let the request of a create be on its way for so long."""
        self._on_their_way[step.id] += 1
        self.clock.later(seconds, lambda: self.land(step))

    def process(self, what: str) -> Process:
        """Return a new process."""
        self._processes += 1
        return Process(self, f"{what}-{self._processes}")

    # ---- a life

    def live(self) -> None:
        """Live through what the choices bring."""
        choices = self.choices
        mains = []
        for cluster in CLUSTERS[: 1 + choices.chance(0.15)]:
            mains += self._beginning(cluster)
        self._trouble()
        self.is_faulty = True
        self.scheduler.run(mains, BEGINNING + LONGEST)

    def _beginning(self, cluster: str) -> list[Any]:
        """Let a conductor begin something in a cluster, and others meddle with it."""
        choices = self.choices
        exists = choices.chance(0.6)
        if exists:
            self.settle(cluster, 1 + choices.below(3))
        mains = [self.start_conductor(cluster, "scale" if exists else "create")]
        if choices.chance(0.5):
            self.count(faults.RECOVER)
            mains.append(self.start("recover", lambda p: acts.recovers(p, 1 + choices.below(3))))
        if choices.chance(0.15):
            mains.append(self.start_conductor(cluster, "resume", choices.one_of((130, 10, 300)), faults.RESUME))
        if choices.chance(0.15):
            mains.append(self.start_conductor(cluster, "scale", choices.one_of((5, 130, 600)), faults.SECOND))
        if choices.chance(0.15):
            mains.append(self.start_conductor(cluster, "delete", choices.one_of((1, 5, 30, 130, 600)), faults.DELETION))
        for act, often in ((acts.speaks, FEW), (acts.says_gone, FEW), (acts.holds, FEW / 2), (acts.abandons, FEW / 2)):
            if choices.chance(often):
                mains.append(self.start("ops", partial(self._after, choices.one_of((5, 1, 60, 200, 500)), act, cluster)))
        if choices.chance(FEW):
            self.count(faults.SWEEP)
            mains.append(self.start("sweep", lambda p: (p.journal.clock.sleep(choices.one_of((100, 10, 400))), acts.sweeps(p))))
        if choices.chance(FEW):
            self.clock.later(choices.one_of((5, 1, 60, 300)), lambda: self._lose_record(cluster))
        return mains

    def _after(self, seconds: float, act: Callable[[Any, str], None], cluster: str, process: Any) -> None:
        process.journal.clock.sleep(seconds)
        if self.store.head(cluster) is not None:
            act(process, cluster)

    def _lose_record(self, cluster: str) -> None:
        self.count(faults.RECORD_GONE)
        self.records[cluster].there = False

    def start(self, what: str, act: Callable[[Process], Any]) -> Any:
        """Let a process of its own do something."""
        process = self.process(what)
        return self.scheduler.start(process, lambda: self._shielded(lambda: act(process)))

    def start_conductor(self, cluster: str, what: str, after: float = 0.0, fault: str | None = None) -> Any:
        """Let a conductor of its own `create`, `scale`, `resume` or `delete` a cluster: `after` some time, if it is there."""

        def conduct(process: Process) -> None:
            if after:
                process.journal.clock.sleep(after)
                if self.store.head(cluster) is None:
                    return
            if fault is not None:
                self.count(fault)
            getattr(acts.Conductor(process, cluster), what)()

        return self.start("conductor", conduct)

    def _shielded(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except acts.EXPECTED:
            pass
        except Exception as error:  # noqa: BLE001 (a bug is a breach)
            self.oracle.breach(BUG, f"{type(error).__name__}: {error}")

    def settle(self, cluster: str, size: int) -> None:
        """Let a cluster of so many servers be there from the beginning, in service and full of data."""
        events = made_before(cluster, size)
        self.store.append(events, previous_hash=FIRST_HASH, expected_epoch=1)
        self.oracle.appended(self.process("before"), events, None)
        for id_, step in self.created_in(events):
            marks = Marks(self.store.journal_id, cluster, step)
            self.cloud.servers[id_] = SimulatedServer(id_, id_, [*marks.tags], dict(marks.metadata), events[0].recorded_at)
            self.oracle.made[id_] = step
            self.oracle.puts_data([id_])
        self.store.settle(cluster, len(events))

    @staticmethod
    def created_in(events: Sequence[Event]) -> list[tuple[str, UUID]]:
        """Return what the creates of a history made, with their steps."""
        return [(server.id, server.named_by.id) for server in fold(events).resources.values() if server.named_by is not None]

    # ---- trouble in the cloud

    def _trouble(self) -> None:
        choices, cloud = self.choices, self.cloud
        for trouble in faults.IN_CLOUD:
            if choices.chance(OFTEN.get(trouble, FEW)):
                self.begin_trouble(trouble)
        if choices.chance(FEW):
            self.count(faults.COPY)
            self.clock.later(choices.one_of((50, 400, 2000)), self._copy)
        for how, fault in (("removed", faults.MARKS_REMOVED), ("replaced", faults.MARKS_REPLACED)):
            if choices.chance(FEW):
                self.clock.later(choices.one_of((2, 30, 100, 300)), partial(self.change_marks, how, fault))
        stranger = SimulatedServer("stranger", "c-1-create-0", ["mine"], {}, BEGINNING)
        cloud.servers[stranger.id] = stranger
        self.oracle.foreign.add(stranger.id)

    def begin_trouble(self, trouble: str) -> None:
        """Let something be wrong in the cloud from now on."""
        choices, cloud = self.choices, self.cloud
        self.count(trouble)
        match trouble:
            case faults.CELL_DOWN:
                begins = choices.one_of((1, 30, 130))
                self.clock.later(begins, lambda: self._cell(down=True))
                self.clock.later(begins + choices.one_of((60, 600)), lambda: self._cell(down=False))
            case faults.SKEW:
                cloud.skew = timedelta(seconds=choices.one_of((31, -31, 3600, 10)))
            case faults.RESTORED:
                cloud.reclaim_seconds = 1000
                self.clock.later(choices.one_of((60, 300, 600)), self._restore)
            case faults.LOCKED | faults.IGNORED_DELETE:
                (cloud.locked if trouble is faults.LOCKED else cloud.undeletable).add(
                    f"vm-{choices.one_of((1, 2, 101, 102, 103))}"
                )
            case _:
                attribute, values = SETTINGS_OF_TROUBLE[trouble]
                setattr(cloud, attribute, choices.one_of(values))

    def _cell(self, *, down: bool) -> None:
        for server in self.cloud.servers.values():
            server.cell_is_down = down and self.choices.chance(0.5)

    def _restore(self) -> None:
        for server in self.cloud.servers.values():
            if server.status == "SOFT_DELETED":
                server.status = "ACTIVE"
                self.oracle.restored.add(server.id)

    def _copy(self) -> None:
        changed = self.oracle.marks_changed
        ours = [server for server in self.cloud.servers.values() if JOURNAL_KEY in server.metadata and server.id not in changed]
        if ours:
            of = self.choices.one_of(ours)
            copy = SimulatedServer(f"copy-of-{of.id}", of.name, [*of.tags], dict(of.metadata), self.clock.now())
            self.cloud.servers[copy.id] = copy
            named = any(of.id in run.created for known in self.oracle.clusters.values() for run in known.runs.values())
            if named and self.clock.now() - of.created_at > timedelta(minutes=3):
                self.oracle.foreign.add(copy.id)

    def change_marks(self, how: str, fault: str) -> None:
        """Let somebody remove or replace the marks of a server of ours, if there is one."""
        ours = [server for server in self.cloud.servers.values() if JOURNAL_KEY in server.metadata]
        if ours:
            self.count(fault)
            server = self.choices.one_of(ours)
            before = server.tags, server.metadata
            server.tags = []
            server.metadata = {} if how == "removed" else {**server.metadata, CLUSTER_KEY: "another"}
            self.oracle.marks_changed[server.id] = (self.clock.now(), how)
            self._marks_were.setdefault(server.id, before)
            self.oracle.were_unmarked.add(server.id)

    # ---- the end

    def heal(self) -> None:
        """Stop all faults, let everything end that was on its way, and recover until nothing changes any more."""
        self.is_faulty = False
        self._kill_all()
        cloud = self.cloud
        cloud.lag_seconds = cloud.delete_seconds = cloud.build_seconds = 0.0
        cloud.boots_to_error = cloud.delete_goes_to_error = 0
        cloud.reclaim_seconds, cloud.undeletable, cloud.locked, cloud.skew, cloud.page = None, set(), set(), timedelta(), 1000
        self.clock.sleep(UNTIL_ALL_LANDED)
        for server in cloud.servers.values():
            server.cell_is_down = False
            server.tags, server.metadata = self._marks_were.get(server.id, (server.tags, server.metadata))
        self.oracle.marks_changed.clear()
        for cluster, known in self.oracle.clusters.items():
            if known.held:
                self._run(self.start("ops", lambda p, cluster=cluster: p.journal.release(cluster, by="ops", reason="over")))
        for _ in range(MOST_ROUNDS):
            before = self._extent()
            self._recover()
            if self._extent() == before:
                return
        self.oracle.breach(NO_END, f"{MOST_ROUNDS} recoveries, and the last one still changed something")

    def _recover(self) -> None:
        self._run(self.start("healer", lambda process: (acts.recovers(process, 1), acts.sweeps(process))))

    def _run(self, actor: Any) -> None:
        self.scheduler.run([actor], self.clock.now() + timedelta(days=1))

    def _kill_all(self) -> None:
        for actor in self.scheduler.actors:
            actor.process.is_dead = True
        while self.scheduler.step():
            pass

    def _extent(self) -> tuple[int, int]:
        """Return how much was appended and changed so far."""
        return sum(head.version for head in self.store.heads()), len(self.cloud.writes)

    def outcome(self) -> Outcome:
        """Return what it came to."""
        events = [event for head in self.store.heads() for event in self.store.read(head.stream)]
        return Outcome(tuple(self.oracle.breaches), self.counts, tuple(self.choices.made), events)


@cache
def made_before(cluster: str, size: int) -> tuple[Event, ...]:
    """Return the history of a cluster that was created without any trouble."""
    number = CLUSTERS.index(cluster)
    world = World(Choices(Random(0)), begins=BEGINNING - timedelta(days=1), ids=1 + number, made=10 * number)
    conductor = acts.Conductor(world.process("before"), cluster)
    actor = world.scheduler.start(conductor.process, lambda: _create(conductor, size))
    world.scheduler.run([actor], BEGINNING)
    return tuple(world.store.read(cluster))


def _create(conductor: acts.Conductor, size: int) -> None:
    with conductor.process.handler.operation(conductor.cluster, "create") as op:
        conductor.work(op, conductor.add(op, size))


def play(choices: Choices) -> Outcome:
    """Play one schedule."""
    world = World(choices)
    UNEXPECTED.world = world
    try:
        world.live()
        world.heal()
        world.oracle.check_end()
    finally:
        UNEXPECTED.world = None
    return world.outcome()
