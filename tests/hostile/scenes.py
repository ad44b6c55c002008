"""What is done under a fault, and what must hold at the end as one sees it who looks into Nova's own database."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import openstack

from hostile.proxy import Fault, HostileProxy
from journal import Journal, Settings, Step
from journal.errors import JournalError
from journal.events import OperationKind, VerdictName
from journal.recorder import Operation
from journal.verify import verify_stream
from projections.fold import fold
from rollback import Handler, NoRecord, OpenStackCloud, delete_orphans, recover, rollback_cluster, sweep
from rollback.errors import RollbackError
from rollback.plan import plan

SETTINGS: Final = Settings(
    api_timeout_seconds=8, lease_seconds=8, settle_seconds=0.7, poll_seconds=0.25, delete_timeout_seconds=30
)
MOST_ROUNDS: Final = 6
"""In how many rounds everything must have come to an end once the faults have stopped."""
SECONDS: Final = 40.0
"""How long Nova may take to finish what it has accepted."""


@attrs.define
class Scene:
    """One cluster on the real Nova, whose conductor reaches it through a hostile proxy."""

    cluster: str
    folder: Path
    nova: dict[str, Any]
    proxy: HostileProxy
    cloud: OpenStackCloud
    holds_data: set[str] = attrs.field(factory=set)
    may_be_lost: bool = False
    errors: list[str] = attrs.field(factory=list)

    def handler(self, conductor: str) -> Handler:
        url = f"sqlite:///{self.folder}/journal.db"
        return Handler(Journal.open(url, upgrade=True, conductor=conductor, settings=SETTINGS), self.cloud, NoRecord)

    # what a conductor does

    def create_server(self, step: Step) -> None:
        server = {"image_id": self.nova["image"], "flavor_id": self.nova["flavor"], "networks": "none"}
        step.created(self.cloud.create_server(step, **server))

    def add(self, op: Operation, *names: str) -> None:
        steps = op.run_all([op.create_server("worker", f"{self.cluster}-{name}") for name in names], self.create_server)
        ids = [str(step.server_id) for step in steps]
        for id_ in ids:
            op.wait_until(lambda id_=id_: self.cloud.is_active(id_), f"{id_} is ACTIVE", timeout_seconds=60)  # type: ignore[misc]
        with op.start(ids):
            self.holds_data.update(ids)

    def create(self) -> None:
        self.may_be_lost = True
        with self.handler("conductor").operation(self.cluster, OperationKind.CREATE) as op:
            self.add(op, "w0", "w1")
        created = next(iter(fold(op.stream.events).operations.values()))
        self.may_be_lost = str(created.outcome) != "succeeded"

    def scale(self) -> None:
        victim = min(self.holds_data)
        with self.handler("conductor").operation(self.cluster, OperationKind.SCALE, victims=[victim]) as op:
            with op.decommission([victim]):
                self.holds_data.discard(victim)
            with op.delete_server(victim):
                self.cloud.delete_server(victim)
                op.wait_until(lambda: self.cloud.is_gone(victim), f"{victim} is gone", timeout_seconds=60)
            self.add(op, "w2")

    def delete(self) -> None:
        self.may_be_lost = True
        self.handler("conductor").delete(self.cluster, by="user")

    def die(self) -> None:
        """A conductor dies in a create: one server is known, the other's answer never came."""
        self.may_be_lost = True
        handler = self.handler("dead")
        op = handler.journal.begin(self.cluster, OperationKind.CREATE, self.cloud.name)
        op.create_server("worker", f"{self.cluster}-w0").run(self.create_server)
        self.create_server(op.create_server("worker", f"{self.cluster}-w1").__enter__())
        op.release()

    def come_late(self) -> None:
        """A server turns up after its cluster was compensated."""
        self.die()
        step = next(iter(fold(self.handler("x").journal.store.read(self.cluster)).creates.values()))
        assert rollback_cluster(self.handler("x").journal, self.cloud, self.cluster).complete
        late = self.handler("x").journal
        deadline = late.clock.now().replace(year=late.clock.now().year + 1)
        self.create_server(Step(late.id, self.cluster, step.id, deadline, f"{self.cluster}-late"))

    # what cleans up

    def compensate(self) -> None:
        rollback_cluster(self.handler("operator").journal, self.cloud, self.cluster)

    def recover(self) -> None:
        self.errors += [problem for done in recover(self.handler("recovery")) for problem in done.problems]

    def sweep(self) -> None:
        handler = self.handler("sweeper")
        self.errors += [swept.problem for swept in delete_orphans(handler, sweep(handler)) if swept.problem]

    def settle(self) -> int:
        """Bring everything to an end, now that the faults have stopped, and return how many rounds that took."""
        for number in range(1, MOST_ROUNDS + 1):
            handler = self.handler(f"round {number}")
            with suppress(RollbackError, JournalError):
                changed = bool(list(recover(handler)))
                report = rollback_cluster(handler.journal, self.cloud, self.cluster, wait=True)
                found = sweep(handler)
                changed |= report.changed or bool([swept for swept in delete_orphans(handler, found) if swept.report])
                if report.complete and not changed and not found.orphans:
                    return number
        return MOST_ROUNDS + 1

    # what must hold

    def instances(self) -> set[str]:
        """Return the servers of the cluster that are there, by Nova's own database."""
        path = Path(self.nova["clouds_yaml"]).parent / "nova_cell1.db"
        until = time.monotonic() + SECONDS
        while True:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
                rows = database.execute(
                    "SELECT uuid, task_state FROM instances WHERE deleted = 0 AND display_name LIKE ?", (f"{self.cluster}-%",)
                ).fetchall()
            if not any(task for _, task in rows) or time.monotonic() > until:
                return {uuid for uuid, _ in rows}
            time.sleep(0.2)

    def breaches(self) -> Iterator[str]:
        """Yield what does not hold."""
        journal = self.handler("oracle").journal
        there = self.instances()
        head = journal.store.head(self.cluster)
        if head is None:
            yield from (f"server {id_} is in no journal" for id_ in there)
            return
        history = fold(journal.store.read(self.cluster))
        accounted = {v.id for v in plan(history).verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
        yield from (f"server {id_} leaked" for id_ in there - accounted)
        yield from (f"server {id_} is accounted for, and gone" for id_ in accounted - there)
        if history.unfinished is not None:
            yield f"the {history.unfinished.kind} has not ended"
        if not self.may_be_lost:
            yield from (f"server {id_} held data, and was deleted" for id_ in self.holds_data - there)
        yield from (f"verify: {problem}" for problem in verify_stream(journal.store, head) if problem is not None)


Act = Callable[[Scene], None]
ACTS: Final[dict[str, tuple[tuple[Act, ...], Act]]] = {
    "create": ((), Scene.create),
    "scale": ((Scene.create,), Scene.scale),
    "delete": ((Scene.create,), Scene.delete),
    "compensation": ((Scene.die,), Scene.compensate),
    "recover": ((Scene.die,), Scene.recover),
    "sweep": ((Scene.come_late,), Scene.sweep),
}
"""What is prepared, and what is done under the fault, by name."""


@attrs.frozen
class Result:
    """What came of one act under one fault."""

    calls: tuple[str, ...]
    rounds: int
    breaches: tuple[str, ...]
    error: str


def play(act: str, nova: dict[str, Any], folder: Path, name: str, fault: Fault | None = None, at: int = -1) -> Result:
    """Do one act, with a fault at one of its calls, then let everything settle without faults and look at what is left."""
    folder.mkdir(parents=True)
    before, under_fault = ACTS[act]
    with HostileProxy(nova["ports"]["compute"], fault=fault, at=at, patience=SETTINGS.api_timeout_seconds) as proxy:
        connection = openstack.connect(cloud="demo", api_timeout=SETTINGS.api_timeout_seconds)
        connection.session.session.proxies = {"http": proxy.url}
        with closing(connection):
            scene = Scene(name, folder, nova, proxy, OpenStackCloud(connection))
            for prepare in before:
                prepare(scene)
            proxy.counts, error = True, ""
            try:
                under_fault(scene)
            except (RollbackError, JournalError) as raised:
                error = f"{type(raised).__name__}: {raised}"
            proxy.counts = False
            proxy.await_late()
            rounds = scene.settle()
            breaches = [*scene.breaches()]
            if rounds > MOST_ROUNDS:
                breaches.append(f"it has not ended in {MOST_ROUNDS} rounds")
            return Result(tuple(proxy.calls), rounds, tuple(breaches), error)
