"""Whatever a conductor did with what servers bring along, and wherever it died: nothing that is needed or holds data goes.

Each history is drawn at random, and played on the simulated cloud by a conductor that does what a real one may do: it puts
data on a volume that no server has, shares one between servers, tries again after a refusal, has an operator call
something unneeded that it uses later. An oracle knows what holds data, and what a server in service was made with.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import attrs
import pytest

from journal.events import OperationKind, PlanAction, ResourceKind, Stage, Word
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.recorder import Operation
from journal.steps import Refused
from projections.fold import fold
from rollback.compensator import rollback_cluster
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads

HISTORIES = 480
OTHERS = [kind for kind in ResourceKind if kind is not ResourceKind.SERVER]
BY_HAND = "put there while no server had it"


class Died(BaseException):
    """The conductor is dead."""


@attrs.define
class Server:
    """One server as the oracle knows it."""

    id: str
    made_with: list[str]
    has_data: bool = False
    in_service: bool = False


class Conductor:
    """One random history of one cluster, and the oracle."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = SimulatedClock()
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock, threads=SimulatedThreads())
        self.servers: dict[str, Server] = {}
        self.kinds: dict[str, ResourceKind] = {}
        self.data: dict[str, set[str]] = {}
        """By volume: whose data is on it, which is a server's or `BY_HAND`."""
        self.spoken_of: set[str] = set()
        """What an operator called unneeded, and nothing was made with since."""
        self.given_up: set[str] = set()
        """What is no longer needed, because its last server was decommissioned, or it was itself."""
        self.steps_left = 10**9

    # ---- a history

    def run(self) -> None:
        """Play some operations that succeed, then a scale in which the conductor dies."""
        with self.operation(OperationKind.CREATE) as op:
            self.add(op)
            self.work(op)
        for _ in range(self.random.randrange(3)):
            self.between()
            with self.operation(OperationKind.SCALE) as op:
                self.scale(op)
        self.between()
        self.steps_left = self.random.randrange(1, 14)
        victims = self.victims()
        try:
            with self.operation(OperationKind.SCALE, victims) as op:
                self.scale(op, victims)
                raise Died
        except Died:
            pass
        self.clock.sleep(300)
        self.between()

    @contextmanager
    def operation(self, kind: OperationKind, victims: Sequence[str] = ()) -> Iterator[Operation]:
        op = self.journal.begin("c-1", kind, self.cloud.name, victims=victims)
        try:
            yield op
            op.succeed()
            for server in self.servers.values():
                server.in_service = True
        finally:
            op.release()

    def step(self) -> None:
        """Die here, if it is time."""
        self.steps_left -= 1
        if self.steps_left < 0:
            raise Died

    def victims(self) -> list[str]:
        there = [server.id for server in self.servers.values() if self.random.random() < 0.6]
        return [*there, *(id_ for id_ in self.data if there and id_ in self.cloud.others and self.random.random() < 0.8)]

    def between(self) -> None:
        """Let a person detach what he likes, and call unneeded what no server was made with."""
        for other in self.cloud.others.values():
            if self.random.random() < 0.3:
                other.attached_to.clear()
        used = {id_ for server in self.servers.values() for id_ in server.made_with}
        for id_ in sorted(self.cloud.others.keys() - used):
            if self.random.random() < 0.3 and not self.data.get(id_):
                self.journal.resolve("c-1", id_, Word.UNNEEDED, by="ops", reason="nobody uses it")
                self.spoken_of.add(id_)

    def scale(self, op: Operation, victims: Sequence[str] = ()) -> None:
        for victim in victims:
            if victim in self.servers:
                self.decommission(op, victim)
        for _ in range(self.random.randrange(1, 4)):
            self.random.choice([self.add, self.add, self.fill, self.fill_with_new, self.remake])(op)
        if self.random.random() < 0.5:
            self.work(op)

    # ---- what a conductor does

    def make(self, op: Operation, kind: ResourceKind | None = None) -> str:
        self.step()
        kind = kind or self.random.choice([ResourceKind.VOLUME] * 4 + OTHERS)
        step = op.create_resource(kind, str(kind)).run(lambda step: step.created(self.cloud.create_resource(step)))
        id_ = str(step.resource_id)
        self.kinds[id_] = kind
        if kind is ResourceKind.VOLUME:
            self.data[id_] = set()
        return id_

    def add(self, op: Operation) -> None:
        """Create a server, with things new and old; perhaps it is refused."""
        new = [self.make(op) for _ in range(self.random.randrange(3))]
        old = [id_ for id_ in self.cloud.others if id_ not in new and id_ not in self.given_up and self.random.random() < 0.4]
        self.server(op, [*new, *old], refused=self.random.random() < 0.3)

    def server(self, op: Operation, uses: list[str], *, refused: bool = False) -> Server | None:
        self.step()
        self.spoken_of -= set(uses)
        try:
            with op.create_server("worker", "w", uses) as step:
                if refused:
                    raise Refused("no valid host")
                step.created(self.cloud.create_server(step, uses=uses))
        except Refused:
            return None
        server = self.servers[str(step.server_id)] = Server(str(step.server_id), uses)
        for holders in (self.data[id_] for id_ in uses if id_ in self.data):
            if BY_HAND in holders:
                holders.remove(BY_HAND)
                holders.add(server.id)  # what was there before is the server's from now on
        return server

    def remake(self, op: Operation) -> None:
        """Create a server that comes to nothing, delete it, and put what it was made with to another use."""
        server = self.server(op, [self.make(op, ResourceKind.VOLUME)])
        if server is not None:
            self.step()
            with op.delete_server(server.id):
                self.cloud.delete_server(server.id)
            del self.servers[server.id]
            self.fill(op)

    def fill(self, op: Operation) -> None:
        """Put data on volumes that no server has, from a server that is there."""
        if self.servers:
            self.step()
            helper = self.random.choice(list(self.servers.values()))
            with op.custom(Stage.INFRASTRUCTURE, "fill", [helper.id], may_hold_data=True):
                self.put(BY_HAND, [id_ for id_ in self.free() if self.random.random() < 0.5])
                self.step()

    def fill_with_new(self, op: Operation) -> None:
        """The same, with a volume that is made on the way."""
        if self.servers:
            self.step()
            helper = self.random.choice(list(self.servers.values()))
            with op.custom(Stage.INFRASTRUCTURE, "fill", [helper.id], may_hold_data=True):
                volume = self.make(op, ResourceKind.VOLUME)
                self.put(BY_HAND, [volume])
                self.step()

    def work(self, op: Operation) -> None:
        some = [server for server in self.servers.values() if self.random.random() < 0.7]
        if some:
            self.step()
            with op.start([server.id for server in some]):
                for server in some:
                    server.has_data = True
                    self.put(server.id, [id_ for id_ in server.made_with if id_ in self.data])
                self.step()

    def decommission(self, op: Operation, server_id: str) -> None:
        """Move a server's data away, or fail to; then, perhaps, delete it."""
        self.step()
        try:
            with op.decommission([server_id]):
                if self.random.random() < 0.4:
                    raise Refused("the data did not move")
                self.servers[server_id].has_data = False
                for holders in self.data.values():
                    holders.discard(server_id)
        except Refused:
            return
        self.given_up |= {server_id, *self.servers[server_id].made_with}
        self.step()
        if self.random.random() < 0.7:
            with op.delete_server(server_id):
                self.cloud.delete_server(server_id)
            del self.servers[server_id]

    def put(self, holder: str, volumes: Sequence[str]) -> None:
        for id_ in volumes:
            self.data[id_].add(holder)
            self.spoken_of.discard(id_)

    def free(self) -> list[str]:
        had = {id_ for server in self.servers.values() for id_ in server.made_with}
        return [id_ for id_ in self.data if id_ in self.cloud.others and id_ not in had | self.given_up]

    # ---- the oracle

    def needed(self) -> Iterator[tuple[str, str]]:
        """Yield what must not be deleted, and why."""
        for server in self.servers.values():
            if server.has_data:
                yield server.id, "it holds data"
            if server.in_service and server.id not in self.given_up:
                yield server.id, "it is in service"
                yield from ((id_, "a server in service was made with it") for id_ in server.made_with)
        yield from ((id_, "it holds data") for id_, holders in self.data.items() if holders)


@pytest.mark.parametrize("part", range(6))
def test_nothing_that_is_needed_or_holds_data_is_deleted(part: int) -> None:
    deleted = 0
    for seed in range(part, HISTORIES, 6):
        world = Conductor(Random(seed))
        world.run()
        needed = dict(world.needed())
        before = len(world.cloud.writes)
        report = rollback_cluster(world.journal, world.cloud, "c-1", wait=True)
        gone = [id_ for _, id_ in world.cloud.writes[before:]]
        deleted += len(gone)
        wrong = {id_: needed[id_] for id_ in gone if id_ in needed and id_ not in world.spoken_of}
        assert not wrong, f"history {seed}"
        assert not world.cloud.torn, f"history {seed}"
        check_rest(world, f"history {seed}")
        assert report.complete or report.problems
    assert deleted > HISTORIES / 6 / 2, "there is something to delete"


def check_rest(world: Conductor, which: str) -> None:
    """Everything is accounted for, and a second rollback changes nothing."""
    final = plan(fold(world.journal.store.read("c-1")))
    assert {*world.cloud.servers, *world.cloud.others} <= {verdict.id for verdict in final.verdicts}, which
    if not final.having(PlanAction.DELETE):
        assert not rollback_cluster(world.journal, world.cloud, "c-1", wait=True).changed, which
