"""What is done under a fault, and what must hold at the end as one sees it who looks into the services' own databases."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import attrs
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from hostile.oracle import Oracle
from hostile.proxy import Fault, HostileProxy
from journal import Journal, PlannedStep, Settings, Step
from journal.errors import JournalError
from journal.events import OF_A_USER, OperationKind, ResourceKind, VerdictName
from journal.recorder import Operation
from journal.verify import verify_stream
from projections.fold import fold
from rollback import Handler, NoRecord, OpenStackCloud, delete_orphans, recover, rollback_cluster, sweep
from rollback.errors import RollbackError
from rollback.plan import plan

SETTINGS: Final = Settings(
    api_timeout_seconds=8, lease_seconds=8, settle_seconds=0.7, poll_seconds=0.25, delete_timeout_seconds=30
)
PATIENCE_SECONDS: Final = 60
"""How long the cloud, which many cases share, may take for what comes before the fault and after it."""
MOST_ROUNDS: Final = 6
"""In how many rounds everything must have come to an end once the faults have stopped."""
PUBLIC_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF4Z4HS1RKLmEBqvyRi4y8JN0CeOwJH6kVEL8CRV5vBF of nobody"
"""A key that opens nothing."""


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
        file = self.folder / "journal.db"
        journal = Journal.open(f"sqlite:///{file}", upgrade=not file.exists(), conductor=conductor, settings=SETTINGS)
        return Handler(journal, self.cloud, NoRecord)

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

    # what servers bring along

    def create_resource(self, step: Step) -> None:
        step.created(self.cloud.create_resource(step, **self.attributes[step.kind]))

    def planned(self, op: Operation, kind: ResourceKind) -> PlannedStep:
        user = self.cloud.user_id if kind in OF_A_USER else None
        return op.create_resource(kind, f"{self.cluster}-{kind}", user=user)

    @property
    def attributes(self) -> dict[ResourceKind, dict[str, Any]]:
        """What each kind is made with, in the order in which they are made."""
        return {
            ResourceKind.PORT: {"network_id": self.nova["network"]},
            ResourceKind.VOLUME: {"size": 1},
            ResourceKind.FLOATING_IP: {"floating_network_id": self.nova["external_network"]},
            ResourceKind.SECURITY_GROUP: {},
            ResourceKind.SERVER_GROUP: {"policy": "soft-anti-affinity"},
            ResourceKind.KEYPAIR: {"public_key": PUBLIC_KEY},
        }

    def bring(self) -> None:
        """Create one of each kind, and put them to use."""
        self.may_be_lost = True
        with self.handler("conductor").operation(self.cluster, OperationKind.CREATE) as op:
            made = [str(self.planned(op, kind).run(self.create_resource).resource_id) for kind in self.attributes]
            with op.start():
                self.holds_data.update(made)
        created = next(iter(fold(op.stream.events).operations.values()))
        self.may_be_lost = str(created.outcome) != "succeeded"

    def die_bringing(self) -> None:
        """A conductor dies while it creates one of each kind: all are known but the last port."""
        self.may_be_lost = True
        handler = self.handler("dead")
        op = handler.journal.begin(self.cluster, OperationKind.CREATE, self.cloud.name)
        for kind in self.attributes:
            self.planned(op, kind).run(self.create_resource)
        self.create_resource(op.create_resource(ResourceKind.PORT, f"{self.cluster}-lost").__enter__())
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
        """Bring everything to an end, now that the faults have stopped, and return how many rounds that took.

        Each round recovers and rolls back, and sweeps once neither changes anything.
        """
        for number in range(1, MOST_ROUNDS + 1):
            handler = self.handler(f"round {number}")
            with suppress(RollbackError, JournalError):
                changed = bool(list(recover(handler)))
                report = rollback_cluster(handler.journal, self.cloud, self.cluster, wait=True)
                if changed or report.changed or not report.complete:
                    continue
                found = sweep(handler)
                if not found.orphans and not [swept for swept in delete_orphans(handler, found) if swept.report]:
                    return number
        return MOST_ROUNDS + 1

    def clear(self) -> None:
        """Ask for the deletion of all that is left: the listings of what comes next are the shorter."""
        resources = fold(self.handler("clearer").journal.store.read(self.cluster)).resources
        for id_ in Oracle(self.nova).there(self.cluster):
            if id_ in resources:
                with suppress(RollbackError):
                    self.cloud.delete(id_, resources[id_].kind)

    # what must hold

    def breaches(self) -> Iterator[str]:
        """Yield what does not hold."""
        journal = self.handler("oracle").journal
        there = Oracle(self.nova).there(self.cluster)
        head = journal.store.head(self.cluster)
        if head is None:
            yield from (f"{id_} is in no journal" for id_ in there)
            return
        history = fold(journal.store.read(self.cluster))
        accounted = {v.id for v in plan(history).verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
        yield from (f"{id_} leaked" for id_ in there - accounted)
        yield from (f"{id_} is accounted for, and gone" for id_ in accounted - there)
        if history.unfinished is not None:
            yield f"the {history.unfinished.kind} has not ended"
        if not self.may_be_lost:
            yield from (f"{id_} held data, and was deleted" for id_ in self.holds_data - there)
        yield from (f"verify: {problem}" for problem in verify_stream(journal.store, head) if problem is not None)


Act = Callable[[Scene], None]
ACTS: Final[dict[str, tuple[tuple[Act, ...], Act]]] = {
    "create": ((), Scene.create),
    "scale": ((Scene.create,), Scene.scale),
    "delete": ((Scene.create,), Scene.delete),
    "compensation": ((Scene.die,), Scene.compensate),
    "recover": ((Scene.die,), Scene.recover),
    "sweep": ((Scene.come_late,), Scene.sweep),
    "create all kinds": ((), Scene.bring),
    "compensation of all kinds": ((Scene.die_bringing,), Scene.compensate),
}
"""What is prepared, and what is done under the fault, by name."""
OF_ALL_KINDS: Final = frozenset({"sweep", "create all kinds", "compensation of all kinds"})
"""The acts that ask more services than Nova."""


@attrs.frozen
class Clouds:
    """Two local clouds, so that the others' cases do not wait for Neutron and Cinder; each is told by its `ready.json`."""

    small: dict[str, Any]
    full: dict[str, Any]

    def of(self, act: str) -> dict[str, Any]:
        """Return the cloud that an act is done on."""
        return self.full if act in OF_ALL_KINDS else self.small


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
    ports = (nova["ports"][service] for service in ("compute", "network", "volume") if service in nova["ports"])
    with HostileProxy(*ports, fault=fault, at=at, patience=SETTINGS.api_timeout_seconds) as proxy:
        config = OpenStackConfig(config_files=[nova["clouds_yaml"]], load_envvars=False)
        connection = Connection(config=config.get_one("demo", api_timeout=SETTINGS.api_timeout_seconds))
        session = connection.session
        with closing(connection):
            scene = Scene(name, folder, nova, proxy, OpenStackCloud(connection))
            session.timeout = PATIENCE_SECONDS
            for prepare in before:
                prepare(scene)
            session.timeout, session.session.proxies = SETTINGS.api_timeout_seconds, {"http": proxy.url}
            proxy.counts, error = True, ""
            try:
                under_fault(scene)
            except (RollbackError, JournalError) as raised:
                error = f"{type(raised).__name__}: {raised}"
            proxy.await_late()
            session.timeout, session.session.proxies = PATIENCE_SECONDS, {}
            rounds = scene.settle()
            breaches = [*scene.breaches()]
            if rounds > MOST_ROUNDS:
                breaches.append(f"it has not ended in {MOST_ROUNDS} rounds")
            scene.clear()
            return Result(tuple(proxy.calls), rounds, tuple(breaches), error)
