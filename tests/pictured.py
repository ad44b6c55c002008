"""Histories to make pictures of: one full of trouble, as an operator meets it, and one of very many steps."""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

import attrs
from builders import CLOUD, T0

from journal.codec import FIRST_HASH
from journal.events import (
    ClusterStatus,
    Completion,
    Configure,
    CreateServer,
    Custom,
    Data,
    Decommission,
    DeleteServer,
    DeletionRequested,
    ErrorDuring,
    ErrorRecorded,
    Event,
    HoldPlaced,
    HoldReleased,
    Intent,
    InventoryObserved,
    ObservedServer,
    OperationFinished,
    OperationKind,
    OperationOutcome,
    OperationStarted,
    OperatorResolved,
    Stage,
    Start,
    StepOutcome,
    Word,
)
from journal.rules import StreamRules
from journal.store import chained

_NAMESPACE = UUID("5a0b3c7e-27a5-4f4e-9d3d-3d8a8f1f6f10")
SUCCEEDED, FAILED = StepOutcome.SUCCEEDED, StepOutcome.FAILED
SOON = timedelta(seconds=60)


@attrs.define
class Written:
    """A stream as it is written, at times that are told; ids come from what they are of, so that it is always the same."""

    stream: str
    events: list[Event] = attrs.field(factory=list)
    at: datetime = T0
    epoch: int = 1
    operation: UUID | None = None
    rules: StreamRules = attrs.field(factory=StreamRules)

    def id(self, of: str) -> UUID:
        return uuid5(_NAMESPACE, f"{self.stream} {of}")

    def server(self, name: str) -> str:
        return str(self.id(f"server {name}"))

    def add(self, data: Data, *, after: float = 0.0, of_operation: bool = True) -> None:
        self.at += timedelta(seconds=after)
        version = len(self.events) + 1
        operation = self.operation if of_operation else None
        draft = Event(self.stream, version, self.id(f"event {version}"), self.at, self.epoch, operation, data)
        previous = self.events[-1].hash if self.events else FIRST_HASH
        (event,) = chained(previous or "", [draft])
        self.rules.admit(event)
        self.events.append(event)

    def start(
        self, kind: OperationKind, conductor: str = "conductor-a", *, after: float = 0.0, victims: tuple[str, ...] = ()
    ) -> None:
        self.operation = self.id(f"operation {len(self.events)}")
        request = {"workers": 5, "flavor": "m1.large", "image": "debian-12"}
        self.add(OperationStarted(kind, conductor, CLOUD, victims, request), after=after)

    def create(self, name: str, *, after: float = 0.0) -> None:
        step = self.id(f"step {name}")
        self.add(CreateServer(step, Stage.INFRASTRUCTURE, self.at + SOON, "worker", name), after=after)

    def made(self, name: str, *, after: float = 0.0) -> None:
        self.add(Completion(self.id(f"step {name}"), SUCCEEDED, self.server(name)), after=after)

    def begin(self, intent: Intent, *, after: float = 0.0) -> None:
        self.add(intent, after=after)

    def end(self, step: UUID, outcome: StepOutcome = SUCCEEDED, reason: str | None = None, *, after: float = 0.0) -> None:
        self.add(Completion(step, outcome, None, reason), after=after)


def troubled(
    stream: str = "analytics-7", reason: str = "No valid host was found. There are not enough hosts available."
) -> list[Event]:
    """Return a cluster that was created well, then scaled by a conductor that died, and taken over two days later."""
    w = Written(stream)
    names = [f"{stream}-worker-{n}" for n in range(1, 6)]
    w.start(OperationKind.CREATE)
    for name in names:
        w.create(name, after=0.4)
    for name, seconds in zip(names, (38.2, 3.1, 0.7, 9.4, 21.5), strict=True):
        w.made(name, after=seconds)
    for n, name in enumerate(names):
        w.begin(Configure(w.id(f"configure {n}"), Stage.CONFIGURE, w.at + SOON, (w.server(name),)), after=0.3)
    for n in range(5):
        w.end(w.id(f"configure {n}"), after=8.0 + 5 * (n % 3))
    w.begin(Start(w.id("start"), Stage.START, w.at + SOON, tuple(map(w.server, names))), after=1.0)
    w.end(w.id("start"), after=17.0)
    w.add(OperationFinished(OperationOutcome.SUCCEEDED, ClusterStatus.ACTIVE, ""), after=0.5)
    w.add(HoldPlaced("ops", "storage maintenance until noon"), after=3600.0 * 5, of_operation=False)
    w.add(HoldReleased("ops", "storage is back"), after=3600.0 * 3, of_operation=False)
    leaving = [w.server(name) for name in names[3:]]
    w.start(OperationKind.SCALE, "conductor-b", after=3600.0 * 26, victims=tuple(leaving))
    for n, server in enumerate(leaving):
        w.begin(Decommission(w.id(f"decommission {n}"), Stage.DECOMMISSION, w.at + SOON, (server,)), after=0.6)
    w.end(w.id("decommission 0"), after=41.0)
    w.end(w.id("decommission 1"), after=26.0)
    more = [f"{stream}-gpu-{n}" for n in range(1, 5)]
    w.begin(DeleteServer(w.id("delete 0"), Stage.INFRASTRUCTURE, w.at + SOON, leaving[0]), after=1.0)
    for name in more:
        w.create(name, after=0.5)
    w.end(w.id(f"step {more[2]}"), FAILED, reason, after=4.0)
    w.end(w.id("delete 0"), after=9.0)
    w.made(more[0], after=19.0)
    volumes = w.id("attach volumes")
    w.begin(
        Custom(volumes, Stage.INFRASTRUCTURE, w.at + SOON, "attach-volumes", (w.server(more[0]),), may_hold_data=False), after=2.0
    )
    w.add(ErrorRecorded(ErrorDuring.OPERATION, f"create of {more[2]} failed: {reason}"), after=3.0)
    w.epoch += 1
    w.add(DeletionRequested("jane.doe@example.org", "the project is over"), after=3600.0 * 47, of_operation=False)
    w.start(OperationKind.DELETE, "conductor-a", after=20.0)
    seen = [*names[:3], names[4], more[0], more[1]]
    made_at = {event.data.step: event.recorded_at for event in w.events if isinstance(event.data, CreateServer)}
    rows = tuple(ObservedServer(w.server(n), n, "ACTIVE", made_at[w.id(f"step {n}")], w.id(f"step {n}")) for n in seen)
    w.add(InventoryObserved(rows, complete=True, as_of=len(w.events), began_at=w.at, cloud=CLOUD), after=45.0)
    for n, name in enumerate(seen[:3]):
        w.begin(DeleteServer(w.id(f"rollback {n}"), Stage.ROLLBACK, w.at + SOON, w.server(name)), after=0.8)
    w.end(w.id("rollback 0"), after=11.0)
    w.add(
        OperatorResolved(Word.UNSAFE, "ops", "holds the only copy of last month's results", server_id=w.server(names[4])),
        after=5.0,
    )
    w.end(w.id("rollback 1"), FAILED, "Nova answers 409: the server is locked", after=9.0)
    return w.events


def large(steps: int, at_once: int = 64, stream: str = "large-1") -> list[Event]:
    """Return a cluster of very many steps, of which one in a thousand fails and the last ones never end."""
    w = Written(stream)
    w.start(OperationKind.CREATE)
    running: list[str] = []
    for number in range(steps):
        name = f"worker-{number}"
        w.create(name, after=0.05)
        running.append(name)
        if len(running) > at_once:
            done = running.pop(number % at_once)
            if number % 1000 == 999:
                w.end(w.id(f"step {done}"), FAILED, "out of quota", after=0.05)
            else:
                w.made(done, after=0.05)
    return w.events
