"""The simulated world: a clock, a cloud, a journal, the conductor's records, and processes that live and die in it."""

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

import attrs

from journal.events import ClusterStatus, Completion, CreateResource, CreateServer, ResourceKind
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.settings import Settings
from rollback.handler import Handler
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud, SimulatedOther, SimulatedServer
from rollback.testing.crashing import CLOUD_CALLS, POLLS, STORE_CALLS, Crashing, CrashPoints
from rollback.testing.oracle import Oracle, Watch
from rollback.testing.threads import SimulatedThreads

STRANGERS_AGE: Final = timedelta(days=1)


@attrs.define
class SimulatedRecord:
    """The conductor's own record of one cluster. `told`: each status with its reason."""

    there: bool = True
    version: int = 0
    """What the status that it shows rests on."""
    told: list[tuple[ClusterStatus, str]] = attrs.field(factory=list)
    deleted_after: int | None = None
    """How often it had been told something when a user deleted the cluster."""

    def exists(self) -> bool:
        """Whether the user still has this cluster."""
        return self.there

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        """Remember what the user was shown; what rests on an older version is refused."""
        if version >= self.version:
            self.version = version
            self.told.append((status, reason))


@attrs.define
class SimulatedRecords:
    """The conductor's own records: of each cluster that is asked for, there is one."""

    of: dict[str, SimulatedRecord] = attrs.field(factory=dict)

    def __call__(self, cluster: str) -> SimulatedRecord:
        """Return the record of a cluster."""
        return self.of.setdefault(cluster, SimulatedRecord())


class SimulatedWorld:
    """Everything that outlives a process, and an oracle that knows what holds data.

    In its cloud there are some things that belong to somebody else. Subclass it for what a conductor keeps elsewhere.
    """

    def __init__(self, *, settings: Settings | None = None, seed: int = 1) -> None:
        """`seed`: ids are drawn from it, so that runs are alike."""
        self.settings = settings or Settings()
        self.seed = seed
        self._randoms: dict[str, Random] = {}
        self.clock = SimulatedClock()
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now, self.ids("journal")())
        self.records = SimulatedRecords()
        self.oracle = Oracle(self.cloud, self.store)
        self._add_strangers()
        self.oracle.meet_strangers()

    def process(self, name: str, points: CrashPoints | None = None) -> "SimulatedProcess":
        """Return what a new process has in its hands; with `points`, it can die at any call of it."""
        return SimulatedProcess.begun(self, name, points or CrashPoints())

    def id_of(self, name: str) -> str:
        """Return the id of what the last create of this name has made, as the journal knows it.

        Raises LookupError if it knows of none.
        """
        found = None
        for head in self.store.heads():
            creates: dict[UUID, str] = {}
            for event in self.store.read(head.stream):
                match event.data:
                    case CreateServer() | CreateResource() as create:
                        creates[create.step] = create.name
                    case Completion(step=step, made=str() as made) if creates.get(step) == name:
                        found = made
                    case _:
                        pass
        if found is None:
            msg = f"the journal knows of nothing that was created as {name!r}"
            raise LookupError(msg)
        return found

    def ids(self, name: str) -> Callable[[], UUID]:
        """Return what draws the ids of the processes of a name."""
        random = self._randoms.setdefault(name, Random(f"{self.seed} {name}"))  # noqa: S311 (each run is to be alike)
        return lambda: UUID(int=random.getrandbits(128), version=4)

    def _add_strangers(self) -> None:
        before = self.clock.now() - STRANGERS_AGE
        self.cloud.servers["vm-strange"] = SimulatedServer("vm-strange", "strange", [], {}, before)
        self.cloud.others["port-strange"] = SimulatedOther(
            ResourceKind.PORT, "port-strange", "strange", "", {}, before, attached_to=["vm-strange"]
        )


@attrs.define
class SimulatedProcess:
    """What one process has in its hands: build your conductor from it.

    `cloud` has the methods of `OpenStackCloud` for creating, deleting and waiting; `journal` and `handler` are the
    library's own. Each of their calls that has an effect, and each that a wait makes, is one at which the process can die.
    """

    name: str
    world: SimulatedWorld
    points: CrashPoints
    watch: Watch
    clock: SimulatedClock
    journal: Journal
    cloud: Any
    handler: Handler

    @classmethod
    def begun(cls, world: SimulatedWorld, name: str, points: CrashPoints) -> "SimulatedProcess":
        """Return a process of a world."""
        watch = Watch(world.oracle, name)
        store: Any = Crashing(watch.store(world.store), points, STORE_CALLS)
        cloud: Any = Crashing(watch.cloud(world.cloud), points, CLOUD_CALLS | POLLS)
        threads = SimulatedThreads(world.clock)
        journal = Journal(
            store, conductor=name, clock=world.clock, settings=world.settings, threads=threads, new_id=world.ids(name)
        )
        return cls(name, world, points, watch, world.clock, journal, cloud, Handler(journal, cloud, world.records))

    def crashing(self, port: Any, methods: Collection[str], name: str = "") -> Any:
        """Return an object like this one, each of whose named methods is a call at which the process can die, too.

        For what a conductor calls beside the cloud and the journal: a plugin, say, or a service. `name`: what the calls
        are shown by, if not by the name of its class.
        """
        return Crashing(port, self.points, frozenset(methods), f"{name or type(port).__name__}.")

    # ---- what the oracle cannot see

    def holds_data(self, ids: Iterable[str]) -> None:
        """Tell that there is data on these servers, or volumes, from now on: deleting one of them is found.

        Where nobody ever tells, whatever a configure, a start or a custom step that may hold data has begun on counts as
        holding data, until a decommission of it has succeeded.
        """
        if self.points.killed is None:
            self.world.oracle.put_data(ids)

    def holds_no_data(self, ids: Iterable[str]) -> None:
        """Tell that the data was moved off these servers, or volumes."""
        if self.points.killed is None:
            self.world.oracle.take_data(ids)
