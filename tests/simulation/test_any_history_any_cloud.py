"""Whatever stands in the journal and whatever the cloud shows: rollbacks end, agree with their rules, and come to rest.

The golden histories are the journals; their clouds are drawn at random, often in contradiction to the journal.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from uuid import uuid4

import pytest
from histories import history, named

from journal.codec import FIRST_HASH
from journal.events import Delete, PlanAction, ResourceKind, Stage, deleted_by
from journal.files import read_file
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.rules import StreamRules
from projections.fold import History, fold
from projections.origin import Origins
from projections.presence import presence
from rollback.compensator import Report, rollback_cluster
from rollback.errors import CloudError, CloudRefused
from rollback.marks import CLUSTER_KEY, JOURNAL_KEY, Marks
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SOMEBODY_ELSES, SimulatedCloud, SimulatedOther, SimulatedServer

CLOUDS = 6
"""Random clouds for each history."""
MOST_ROLLBACKS = 4
"""How many rollbacks may pass, once faults have stopped, until nothing changes any more."""
STATUSES = ["ACTIVE"] * 8 + ["BUILD", "ERROR", "SHUTOFF", "SOFT_DELETED"]


class World:
    """One golden stream in a store, and a random cloud."""

    def __init__(self, name: str, random: Random) -> None:
        self.random = random
        events = list(read_file(history("plans", name)))
        self.stream = random.choice(sorted({event.stream for event in events}))
        events = [event for event in events if event.stream == self.stream]
        self.clock = SimulatedClock(max(event.recorded_at for event in events) + timedelta(seconds=random.choice([0, 90, 7200])))
        store = MemoryStore(self.clock.now)
        previous, epoch = FIRST_HASH, events[0].epoch
        for event in events:
            store.append([event], previous_hash=previous, expected_epoch=epoch)
            previous, epoch = event.hash or "", event.epoch
        self.journal = Journal(store, conductor="b", clock=self.clock)
        self.before = self.history
        self.cloud = SimulatedCloud(self.clock, self.before.cloud or "RegionOne/5f0c4d")
        self.add_known()
        self.add_unknown()

    @property
    def history(self) -> History:
        return fold(self.journal.store.read(self.stream))

    def add_known(self) -> None:
        """Add what the journal says is there, and sometimes the opposite."""
        where = Origins(self.before)
        for server in self.before.resources.values():
            fact = presence(self.before, where, server)
            if (fact is None or fact.there) != (self.random.random() < 0.1):
                made_by = server.mark if server.named_by is None else server.named_by.id
                marks = Marks(self.journal.id, self.stream, None if server.adopted is not None else made_by)
                self.add(server.kind, server.id, marks)

    def add_unknown(self) -> None:
        """Add servers with the marks of the journal's creates, and now and then of a step that it does not have."""
        for id_, step in self.before.creates.items():
            for _ in range(self.random.choice([0, 0, 0, 1, 2])):
                self.add(step.creates or ResourceKind.SERVER, str(uuid4()), Marks(self.journal.id, self.stream, id_))
        if self.random.random() < 0.05:
            had = {ResourceKind.SERVER, *(resource.kind for resource in self.before.resources.values())}
            self.add(self.random.choice(sorted(had)), str(uuid4()), Marks(self.journal.id, self.stream, uuid4()))

    def add(self, kind: ResourceKind, id_: str, marks: Marks) -> None:
        made_at = self.clock.now() - timedelta(seconds=self.random.choice([-10, 0, 30, 100, 300, 4000, 10000]))
        if kind is ResourceKind.SERVER:
            self.add_server(id_, marks, made_at)
        else:
            self.add_other(kind, id_, marks, made_at)

    def add_other(self, kind: ResourceKind, id_: str, marks: Marks, made_at: datetime) -> None:
        other = SimulatedOther(kind, id_, "n", marks.text, dict(marks.metadata), made_at)
        if self.random.random() < 0.5:
            known = [each.id for each in self.before.resources.values() if each.kind is ResourceKind.SERVER]
            other.attached_to = [self.random.choice([*known, SOMEBODY_ELSES])]
        match self.random.randrange(16):
            case 0:
                other.text, other.metadata = "", {}
            case 1:
                other.text, other.metadata[CLUSTER_KEY] = other.text.removesuffix(self.stream) + "another", "another"
        self.cloud.others[id_] = other

    def add_server(self, server_id: str, marks: Marks, made_at: datetime) -> None:
        server = SimulatedServer(server_id, "n", marks.tags, marks.metadata, made_at, self.random.choice(STATUSES))
        match self.random.randrange(24):
            case 0:
                server.tags = []
            case 1:
                server.metadata = {}
            case 2:
                server.tags, server.metadata = [], {}
            case 3:
                server.metadata[CLUSTER_KEY] = "another"
            case 4:
                server.cell_is_down = True
        self.cloud.servers[server_id] = server

    def begin_faults(self) -> None:
        self.cloud.delete_seconds = self.random.choice([0, 0, 5, 1000])
        self.cloud.delete_goes_to_error = self.random.choice([0, 0, 0, 1, 5])
        if self.random.random() < 0.1:
            self.cloud.fails["delete"] = [CloudError("no answer"), CloudRefused("locked")]
        if self.random.random() < 0.1:
            self.cloud.fails["get"] = [CloudError("no answer")]

    def stop_faults(self) -> None:
        self.cloud.delete_seconds = self.cloud.delete_goes_to_error = 0
        self.cloud.fails = {}
        for server in self.cloud.servers.values():
            server.cell_is_down = False
        self.clock.sleep(2000)

    def rollback(self) -> Report:
        report = rollback_cluster(self.journal, self.cloud, self.stream, wait=True)
        rules = StreamRules()
        for event in self.journal.store.read(self.stream):
            rules.admit(event)
        return report

    def ours(self) -> set[str]:
        """All that carries this cluster's marks and is there."""
        mark = (str(self.journal.id), self.stream)
        servers = (server for server in self.cloud.servers.values() if server.status != "SOFT_DELETED")
        marked = {s.id for s in servers if (s.metadata.get(JOURNAL_KEY), s.metadata.get(CLUSTER_KEY)) == mark}
        found = {other.id: other.shown().marks for other in self.cloud.others.values()}
        return marked | {id_ for id_, marks in found.items() if marks and (marks.journal, marks.cluster) == mark}


@pytest.mark.parametrize("name", named("plans"))
def test_rollbacks_come_to_rest_with_every_server_accounted_for(name: str) -> None:
    if not history("plans", name).stat().st_size:
        return
    for seed in range(CLOUDS):
        world = World(name, Random(f"{name} {seed}"))
        world.begin_faults()
        with suppress(CloudError):  # a look failed: the next rollback goes on
            world.rollback()
        world.stop_faults()
        for _ in range(MOST_ROLLBACKS):
            version, writes = world.history.version, len(world.cloud.writes)
            report = world.rollback()
            if (world.history.version, len(world.cloud.writes)) == (version, writes):
                break
        else:
            pytest.fail(f"cloud {seed}: still changing after {MOST_ROLLBACKS} rollbacks")
        check(world, report, f"cloud {seed}")


def check(world: World, report: Report, cloud: str) -> None:
    history = world.history
    final = plan(history)
    journaled = [deleted_by(step.intent) for step in history.steps.values() if is_rollback_delete(world, step.intent)]
    asked = [id_ for method, id_ in world.cloud.writes if method == "delete"]
    assert asked == journaled, f"{cloud}: nothing is deleted but what the journal says"
    assert not world.cloud.torn, f"{cloud}: nothing is deleted that a server which is there still uses"
    if history.hold is not None:
        assert not report.complete
        return
    assert world.ours() <= {verdict.id for verdict in final.verdicts}, f"{cloud}: a server is not accounted for"
    if report.complete:
        assert history.unfinished is None, f"{cloud}: complete, but the operation is open"
        assert final.is_settled, f"{cloud}: complete, but something is left"
    else:
        left = [verdict.id for verdict in final.having(PlanAction.DELETE)]
        doubts = final.having(PlanAction.FIND)
        assert left or doubts, f"{cloud}: incomplete, but nothing is left"
        marked = {other.shown().marks for other in world.cloud.others.values()}
        copied = {None if marks is None else marks.step_id for marks in marked}
        unexplained = {verdict.step for verdict in doubts if verdict.kind is not ResourceKind.KEYPAIR} - copied
        assert not unexplained, f"{cloud}: in doubt, though nothing has the mark"  # a keypair may be of a user who does not look
        assert not any(verdict.is_server for verdict in doubts)
        assert all(id_ in "; ".join(report.problems) for id_ in left if id_ is not None)


def is_rollback_delete(world: World, intent: object) -> bool:
    """Whether a step is a delete that this test's rollbacks began."""
    began = isinstance(intent, Delete) and intent.stage is Stage.ROLLBACK
    return began and intent.step not in world.before.steps
