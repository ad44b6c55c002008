"""One simulated process: its journal and its cloud, at each of whose calls others may go on and something may go wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from journal.errors import AppendOutcomeUnknown, StoreUnavailable
from journal.events import OwnershipTaken
from journal.journal import Journal
from rollback.errors import CloudError, CloudRefused
from rollback.handler import Handler
from rollback.testing.crashing import Killed
from simulate import faults
from simulate.scheduler import ScheduledClock, ScheduledThreads

BEGINNING = datetime.min.replace(tzinfo=UTC)
WRITES_OF_STORE = frozenset({"append", "renew", "release", "settle", "keep_snapshot"})
READS_OF_STORE = frozenset({"head", "heads", "read", "documents", "snapshot", "mentioning"})
LISTINGS = frozenset({"list_journal", "list_all", "list_kind"})
READS_OF_CLOUD = frozenset({"get", "is_active", "is_gone", "now"})
WRITES_OF_CLOUD = frozenset({"delete", "delete_server", "mark"})
UNDER_A_LOCK = frozenset({*WRITES_OF_STORE, *READS_OF_STORE, "list_journal"})
"""Calls that production makes under a lock of the process: no other thread of it goes on meanwhile."""
DIES_WAITING = 0.5
"""How often a conductor dies while a POST of it is on its way for long."""

Odd = Callable[[str, Callable[[], Any]], Any]
"""Makes a call to which something happens that only its port knows: the fault, and the call's effect."""


class Process:
    """A process of the world. Once it is dead, no call of it has any effect."""

    def __init__(self, world: Any, name: str) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.victims: tuple[str, ...] = ()
        """The servers that it means to remove."""
        self.stopped_until = BEGINNING
        self.listed_at = BEGINNING
        """When it last listed everything, as each look at the cloud does."""
        self.holder: Any = None
        """The actor that is in a call under a lock."""
        scheduler = world.scheduler
        store: Any = StorePort(self, world.store)
        self.journal = Journal(
            store,
            conductor=name,
            clock=ScheduledClock(scheduler),
            settings=world.settings,
            threads=ScheduledThreads(scheduler, self),
            new_id=world.new_id,
        )
        self.cloud: Any = CloudPort(self, world.cloud)
        self.handler = Handler(self.journal, self.cloud, lambda cluster: RecordPort(self, world.records[cluster]))

    def die(self) -> None:
        """Kill it."""
        self.is_dead = True
        raise Killed

    def act(self, effect: Callable[[], Any]) -> None:
        """Do something on servers, beside journal and cloud; others may go on before."""
        if self.is_dead:
            raise Killed
        if self.world.is_faulty and self.world.choices.chance(self.world.answer_rate):
            self.world.scheduler.give_way()
        effect()

    def call(self, name: str, kinds: tuple[str, ...], effect: Callable[[], Any], odd: Odd) -> Any:
        """Make one call of a port: others may go on before, and something may go wrong; `odd` does what is the port's own."""
        if self.is_dead:
            raise Killed
        world = self.world
        fault = world.rates.draw(world.choices, kinds) if world.is_faulty else None
        if fault is None:
            return self._answered(name, effect)
        if fault is not faults.SWITCH:
            world.count(fault)
        match fault:
            case faults.CRASH_BEFORE:
                self.die()
            case faults.CRASH_AFTER:
                effect()
                self.die()
            case faults.SWITCH:
                self._let_others(name, world.scheduler.give_way)
            case faults.SLOW:
                self._let_others(name, lambda: world.scheduler.sleep(world.choices.one_of((1, 5, 30))))
            case faults.STOP | faults.STOP_LONG:
                least = 0 if fault is faults.STOP else world.settings.lease_seconds
                seconds = least + world.choices.one_of((5, 31, 61) if fault is faults.STOP else (1, 60, 300))
                self.stopped_until = world.clock.now() + timedelta(seconds=seconds)
                self._let_others(name, world.scheduler.give_way)
            case _:
                return odd(fault, effect)
        return self._answered(name, effect)

    def _let_others(self, name: str, give_way: Callable[[], None]) -> None:
        """Let others go on; where production holds a lock, no other thread of this process."""
        if name in UNDER_A_LOCK:
            self.holder = self.world.scheduler.current
        give_way()
        self.holder = None

    def _answered(self, name: str, effect: Callable[[], Any]) -> Any:
        """Make a call, and now and then let others go on before its answer is read."""
        answer = effect()
        if self.world.is_faulty and self.world.choices.chance(self.world.answer_rate):
            self._let_others(name, self.world.scheduler.give_way)
        return answer


class StorePort:
    """The store as one process reaches it."""

    def __init__(self, process: Process, store: Any) -> None:
        self._process = process
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Return a method as a call of a port."""
        found = getattr(self._store, name)
        if name not in WRITES_OF_STORE | READS_OF_STORE:
            return found
        effect = self._append if name == "append" else found
        kinds = faults.AT_APPEND if name == "append" else faults.AT_STORE

        def call(*args: Any, **kwargs: Any) -> Any:
            def odd(fault: str, effect: Callable[[], Any]) -> Any:
                if fault is faults.STORE_AWAY:
                    msg = "the database does not answer"
                    raise StoreUnavailable(msg)
                if fault is faults.UNKNOWN_RECORDED:
                    effect()
                raise AppendOutcomeUnknown(args[0][0].stream, args[0][0].version, "The connection was lost.")

            return self._process.call(name, kinds, lambda: effect(*args, **kwargs), odd)

        self.__dict__[name] = call
        return call

    def _append(self, events: Any, **kwargs: Any) -> Any:
        world = self._process.world
        before = self._store.head(events[0].stream) if isinstance(events[0].data, OwnershipTaken) else None
        stored = self._store.append(events, **kwargs)
        if before is not None and before.owner not in (None, self._process.name) and world.lives(before.owner):
            world.count(faults.TAKEN_OVER)
        world.oracle.appended(self._process, events, kwargs.get("claim"))
        return stored


class CloudPort:
    """The cloud as one process reaches it."""

    def __init__(self, process: Process, cloud: Any) -> None:
        self._process = process
        self._cloud = cloud
        self.kinds = frozenset[Any]()
        self.user_id = cloud.user_id
        self.name = cloud.name

    def create_server(self, step: Any, **attributes: Any) -> Any:
        """Create a server; its request may be on its way for long, or arrive twice."""
        return self._process.call(
            "create_server",
            faults.AT_CREATE,
            lambda: self._cloud.create_server(step, **attributes),
            lambda fault, effect: self._odd_create(fault, step, effect),
        )

    def _odd_create(self, fault: str, step: Any, effect: Callable[[], Any]) -> Any:
        world = self._process.world
        match fault:
            case faults.REFUSED_DONE:
                effect()
                msg = "HTTP 400: the answer of a create that was carried out"
                raise CloudRefused(msg)
            case faults.TWICE:
                effect()
                return self._process._answered("create_server", effect)  # noqa: SLF001 (its own port)
            case faults.LATE | faults.TOO_LATE:
                left = max(0.0, (step.deadline - world.clock.now()).total_seconds())
                late = world.choices.one_of((left, left - 1, left / 2, 0.5))
                too_late = left + world.choices.one_of((1, 20, 55, 400, 3000))
                world.later_lands(max(0.0, late if fault is faults.LATE else too_late), step)
                if world.choices.chance(DIES_WAITING):
                    self._process.die()
                msg = "no answer"
                raise CloudError(msg)
            case _:
                return _odd_call(fault, effect)

    def __getattr__(self, name: str) -> Any:
        """Return a method as a call of a port."""
        found = getattr(self._cloud, name)
        if name in LISTINGS:
            kinds, odd = faults.AT_LISTING, self._odd_listing
        elif name in WRITES_OF_CLOUD | READS_OF_CLOUD:
            kinds, odd = faults.AT_CLOUD, _odd_call
        else:
            return found
        effect = self._deleting(found) if name in ("delete", "delete_server") else found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = self._process.call(name, kinds, lambda: effect(*args, **kwargs), odd)
            if name == "list_all":
                self._process.listed_at = self._process.world.clock.now()
            return answer

        self.__dict__[name] = call
        return call

    def _deleting(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def delete(server_id: str, *args: Any) -> Any:
            self._process.world.oracle.deletes(self._process, server_id)
            return found(server_id, *args)

        return delete

    def _odd_listing(self, fault: str, effect: Callable[[], Any]) -> Any:
        if fault is not faults.PAGE_LOST:
            return _odd_call(fault, effect)
        servers = sorted(self._cloud.servers)
        lost = {self._process.world.choices.one_of(servers)} if servers else set()
        self._cloud.hidden |= lost
        try:
            return effect()
        finally:
            self._cloud.hidden -= lost


def _odd_call(fault: str, effect: Callable[[], Any]) -> Any:
    if fault is faults.REFUSED:
        msg = "HTTP 403: not now"
        raise CloudRefused(msg)
    if fault is faults.NO_ANSWER:
        effect()
    msg = "no answer"
    raise CloudError(msg)


class RecordPort:
    """A cluster's record as one process reaches it."""

    def __init__(self, process: Process, record: Any) -> None:
        self._process = process
        self._record = record

    def exists(self) -> bool:
        """Whether it is there."""
        self._reach()
        return bool(self._record.exists())

    def set_status(self, status: Any, reason: str, version: int) -> None:
        """Tell it a status."""
        self._reach()
        self._record.set_status(status, reason, version)

    def _reach(self) -> None:
        world = self._process.world
        if self._process.is_dead:
            raise Killed
        if world.is_faulty and world.choices.chance(world.record_rate):
            world.count(faults.RECORD_AWAY)
            msg = "the conductor's database does not answer"
            raise ConnectionError(msg)
