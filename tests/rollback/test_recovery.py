"""Recovery: what dead conductors left is found and brought to an end, many clusters at once, and records are told."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest

from journal.events import ClusterStatus, OperationKind, Word
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.store import EventStore
from projections.fold import fold
from rollback import Handler, Recovery, recover
from rollback.errors import CloudError
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads
from rollback.testing.world import SimulatedRecord


@attrs.define
class Records:
    """The conductor's own records: what each cluster's users see; `failing` ones cannot be told."""

    told: dict[str, list[tuple[ClusterStatus, str]]] = attrs.field(factory=dict)
    gone: set[str] = attrs.field(factory=set)
    failing: set[str] = attrs.field(factory=set)

    def __call__(self, cluster: str) -> "Record":
        return Record(self, cluster)


@attrs.define
class Record:
    records: Records
    cluster: str

    def exists(self) -> bool:
        return self.cluster not in self.records.gone

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        assert version > 0
        if self.cluster in self.records.failing:
            raise ConnectionError("the conductor's database is away")
        self.records.told.setdefault(self.cluster, []).append((status, reason))


@attrs.define
class World:
    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: EventStore = attrs.field(init=False)
    records: Records = attrs.field(factory=Records)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)

    def handler(self, name: str, records: Any = ...) -> Handler:
        journal = Journal(self.store, conductor=name, clock=self.clock, threads=SimulatedThreads())
        return Handler(journal, self.cloud, self.records if records is ... else records)

    def create(self, cluster: str, name: str = "a") -> str:
        """Create a cluster of one server, and return its id."""
        with self.handler(name).operation(cluster, OperationKind.CREATE) as op:
            step = op.create_server("worker", f"{cluster}-w").run(lambda step: step.created(self.cloud.create_server(step)))
        return str(step.server_id)

    def die_creating(self, cluster: str) -> None:
        """Have a conductor die while a create is in flight."""
        op = self.handler("dead").journal.begin(cluster, OperationKind.CREATE, self.cloud.name)
        self.cloud.land(op.create_server("worker", f"{cluster}-w").__enter__())

    def recover(self, name: str = "b", records: Any = ...) -> dict[str, Recovery]:
        return {recovery.cluster: recovery for recovery in recover(self.handler(name, records))}

    def status(self, cluster: str) -> ClusterStatus | None:
        last = fold(self.store.read(cluster)).last_end
        return None if last is None else last.cluster_status


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def dead(world: World) -> Iterator[World]:
    """Three clusters of a dead conductor, whose leases have run out, and one that is well."""
    world.create("well")
    for cluster in ("c-1", "c-2", "c-3"):
        world.die_creating(cluster)
    world.clock.sleep(200)
    return world


def test_all_clusters_of_a_dead_conductor_are_recovered_and_their_records_told(dead: World) -> None:
    recovered = dead.recover()
    assert sorted(recovered) == ["c-1", "c-2", "c-3"]
    assert all(recovery.complete for recovery in recovered.values())
    assert [server.name for server in dead.cloud.servers.values()] == ["well-w"]
    assert {cluster: told[-1][0] for cluster, told in dead.records.told.items()} == {
        "well": ClusterStatus.ACTIVE,
        **dict.fromkeys(("c-1", "c-2", "c-3"), ClusterStatus.ERROR),
    }


def test_a_second_recovery_finds_nothing_and_does_nothing(dead: World) -> None:
    dead.recover()
    calls, told = list(dead.cloud.calls), str(dead.records.told)
    heads = list(dead.store.heads())
    assert dead.recover("c") == {}
    assert (dead.cloud.calls, str(dead.records.told)) == (calls, told)
    assert [(head.version, head.epoch) for head in dead.store.heads()] == [(head.version, head.epoch) for head in heads]


def test_what_a_living_conductor_is_at_work_on_is_left_to_it(world: World) -> None:
    world.die_creating("c-1")
    assert world.recover() == {}
    assert len(world.cloud.servers) == 1


def test_an_operation_of_this_very_conductor_that_began_meanwhile_is_left_alone(world: World) -> None:
    unneeded = world.create("c-1")
    journal = world.handler("a").journal
    journal.resolve("c-1", unneeded, Word.UNNEEDED, by="ops", reason="too many")
    running: list[Any] = []
    list_all = world.cloud.list_all

    def begin_meanwhile() -> Any:
        if not running:
            running.append(journal.begin("c-1", OperationKind.SCALE, world.cloud.name))
        return list_all()

    world.cloud.list_all = begin_meanwhile  # type: ignore[method-assign]
    assert world.recover("a") == {}
    running[0].stream.refuse_fenced()
    assert set(world.cloud.servers) == {unneeded}


def test_one_cluster_that_cannot_be_recovered_does_not_stop_the_others(dead: World) -> None:
    dead.cloud.fails["list_all"] = [CloudError("HTTP 503")]
    recovered = dead.recover()
    failed = [cluster for cluster, recovery in recovered.items() if not recovery.complete]
    assert len(failed) == 1
    assert recovered[failed[0]].problems == ("CloudError: HTTP 503",)
    assert dead.records.told[failed[0]] == [(ClusterStatus.ERROR, "CloudError: HTTP 503")]
    assert sorted(dead.recover()) == failed, "the next recovery tries it again"
    assert [server.name for server in dead.cloud.servers.values()] == ["well-w"]


def test_a_record_that_could_not_be_told_is_told_by_the_next_recovery(world: World) -> None:
    world.records.failing.add("c-1")
    world.create("c-1")
    assert world.records.told == {}
    untold = world.recover()["c-1"]
    assert (untold.complete, untold.problems) == (False, ("its record could not be told",))
    assert world.records.told == {}
    world.records.failing.clear()
    calls = list(world.cloud.calls)
    world.recover()
    assert world.records.told == {"c-1": [(ClusterStatus.ACTIVE, "")]}
    assert world.cloud.calls == calls, "nobody has to look at the cloud for that"
    assert world.recover() == {}
    assert len(world.records.told["c-1"]) == 1


def test_a_recovery_whose_record_could_not_be_told_is_not_complete(dead: World) -> None:
    dead.records.failing.add("c-1")
    recovered = dead.recover()
    assert (recovered["c-1"].complete, recovered["c-1"].deleted) == (False, 1)
    assert recovered["c-1"].problems == ("its record could not be told",)
    assert recovered["c-2"].complete
    assert dead.recover()["c-1"].deleted == 0


def test_a_recovery_without_records_leaves_the_telling_to_one_that_has_them(dead: World) -> None:
    assert len(dead.recover(records=None)) == 3
    assert set(dead.records.told) == {"well"}
    assert dead.recover() == {}
    assert set(dead.records.told) == {"well", "c-1", "c-2", "c-3"}


def test_a_record_that_is_gone_is_a_request_for_deletion(dead: World) -> None:
    dead.records.gone.add("c-2")
    dead.recover()
    assert dead.status("c-2") is ClusterStatus.DELETED
    assert "c-2" not in dead.records.told
    assert dead.status("c-1") is ClusterStatus.ERROR


def test_a_record_that_is_gone_deletes_nothing_of_a_cluster_that_is_well(dead: World) -> None:
    dead.records.gone.add("well")
    dead.handler("ops").journal.hold("well", by="ops", reason="to have something unsettled")
    dead.recover()
    assert dead.status("well") is ClusterStatus.ACTIVE
    assert len(dead.cloud.servers) == 1


def test_a_deletion_whose_conductor_died_is_carried_out(world: World) -> None:
    world.create("c-1")
    world.handler("api").journal.request_deletion("c-1", by="user")
    recovered = world.recover()
    assert recovered["c-1"].complete
    assert world.cloud.servers == {}
    assert world.records.told["c-1"][-1] == (ClusterStatus.DELETED, "")


def test_a_deletion_that_fails_is_seen_and_tried_again(world: World) -> None:
    world.create("c-1")
    world.cloud.fails["list_journal"] = [CloudError("HTTP 503")]
    assert world.handler("a").delete("c-1", by="user") is None
    assert world.records.told["c-1"][-1] == (ClusterStatus.ERROR, "CloudError: HTTP 503")
    assert world.recover()["c-1"].complete
    assert world.records.told["c-1"][-1][0] is ClusterStatus.DELETED


def test_a_held_cluster_is_reported_each_time_and_nothing_of_it_deleted(dead: World) -> None:
    dead.handler("ops").journal.hold("c-1", by="ops", reason="let me look")
    for name in ("b", "c"):
        held = dead.recover(name)["c-1"]
        assert not held.complete
        assert "a hold stands, placed by ops: let me look" in held.problems[0]
    assert "c-1-w" in {server.name for server in dead.cloud.servers.values()}
    dead.handler("ops").journal.release("c-1", by="ops", reason="seen")
    assert dead.recover()["c-1"].complete


def test_clusters_of_another_cloud_are_left_to_its_own_recovery(dead: World) -> None:
    other = attrs.evolve(dead.handler("b"), cloud=SimulatedCloud(dead.clock, "RegionTwo/9"))
    assert list(recover(other)) == []
    assert len(dead.cloud.servers) == 4


def test_what_an_operators_word_lets_be_deleted_is_found(world: World) -> None:
    server = world.create("c-1")
    world.handler("ops").journal.resolve("c-1", server, "unneeded", by="ops", reason="it is broken")  # type: ignore[arg-type]
    assert world.recover()["c-1"].complete
    assert world.cloud.servers == {}


def test_a_record_that_was_told_of_the_past_is_told_again(world: World) -> None:
    """A conductor that stood still between the end of its operation and telling it wakes up after the next operation."""
    world.create("c-1")
    past = world.store.head("c-1")
    assert past is not None
    with world.handler("b").operation("c-1", OperationKind.SCALE) as op:
        op.create_server("worker", "w").run(lambda step: step.created(world.cloud.create_server(step)))
        raise RuntimeError("the plugin failed")
    now = world.records.told["c-1"][-1]
    world.handler("a").tell("c-1", ClusterStatus.DELETED, "stale", version=past.version, settled=True)
    world.recover()
    assert world.records.told["c-1"][-1] == now
    assert world.recover() == {}
    assert len(world.records.told["c-1"]) == 4


def test_a_record_that_keeps_the_version_refuses_who_is_late(world: World) -> None:
    """A conductor stands still while it tells an error, and dies before it can note in the journal that it did."""
    record = SimulatedRecord()
    handler = world.handler("a", lambda _: record)
    with handler.operation("c-1", OperationKind.CREATE):
        pass
    past = world.store.head("c-1").version
    with handler.operation("c-1", OperationKind.SCALE):
        pass
    handler.records("c-1").set_status(ClusterStatus.ERROR, "the database did not answer", past)
    assert [status for status, _ in record.told] == [ClusterStatus.ACTIVE, ClusterStatus.ACTIVE]
    handler.tell("c-1", ClusterStatus.ERROR, "a later one", version=world.store.head("c-1").version)
    assert record.told[-1] == (ClusterStatus.ERROR, "a later one")


class LateRecord(Record):
    """A record that hears of an error while another process brings its cluster to an end; perhaps its teller then dies."""

    def __init__(self, world: World, teller_dies: bool) -> None:
        super().__init__(world.records, "c-1")
        self.world = world
        self.teller_dies = teller_dies

    def set_status(self, status: ClusterStatus, reason: str, version: int) -> None:
        if not self.teller_dies:
            self.world.handler("b").tell("c-1", ClusterStatus.ACTIVE, "", version=version, settled=True)
        super().set_status(status, reason, version)
        if self.teller_dies:
            raise KeyboardInterrupt


@pytest.mark.parametrize("teller_dies", [True, False])
def test_a_record_that_hears_of_an_error_too_late_is_told_again(world: World, teller_dies: bool) -> None:
    world.create("c-1")
    assert world.store.head("c-1").is_settled
    late = world.handler("a", lambda _: LateRecord(world, teller_dies))
    with suppress(KeyboardInterrupt):
        late.tell("c-1", ClusterStatus.ERROR, "the database did not answer", version=world.store.head("c-1").version)
    assert world.records.told["c-1"][-1][0] is ClusterStatus.ERROR
    world.recover()
    assert world.records.told["c-1"][-1][0] is ClusterStatus.ACTIVE
