"""What `crash_everywhere` tries, what it returns, and how it tells what it found."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from journal import Operation
from journal.events import ClusterStatus, Completion, OperationKind, ResourceKind
from journal.files import read_file
from rollback import Handler, adopt, adoptable
from rollback.testing import Breach, Fault, SimulatedProcess, SimulatedServer, SimulatedWorld, crash_everywhere, raising


def create(process: SimulatedProcess, names: Sequence[str] = ("w0",), cluster: str = "c-1") -> None:
    with process.handler.operation(cluster, OperationKind.CREATE) as op:
        add(process, op, names)


def add(process: SimulatedProcess, op: Operation, names: Sequence[str]) -> None:
    steps = op.run_all(
        [op.create_server("worker", name, key=name) for name in names],
        lambda step: step.created(process.cloud.create_server(step)),
    )
    with op.start([str(step.server_id) for step in steps]):
        pass


def delete_without_decommission(process: SimulatedProcess) -> None:
    victim = process.world.id_of("w0")
    with process.handler.operation("c-1", OperationKind.SCALE, victims=[victim]) as op, op.delete_server(victim):
        process.cloud.delete_server(victim)


class Worlds(list[SimulatedWorld]):
    """Makes worlds, and keeps them."""

    def __call__(self) -> SimulatedWorld:
        self.append(SimulatedWorld())
        return self[-1]


# ---- what is tried


def test_what_was_tried_is_returned_and_is_the_same_each_time() -> None:
    survived = crash_everywhere(create)
    assert survived == crash_everywhere(create)
    assert survived.points[:5] == (
        "crash before append #1",
        "crash after append #1",
        "crash before append #2",
        "crash after append #2",
        "crash before create_server #1",
    )
    assert "crash during create_server #1" in survived.points
    assert len(survived) == len(survived.points) > 100


def test_pairs_of_crashes_are_drawn_from_all_of_them() -> None:
    pairs = [point for point in crash_everywhere(create, twice=60).points if ", then crash " in point]
    assert len(pairs) == 60
    assert {point.split(" ", 2)[1] for point in pairs} == {"before", "after", "during"}
    assert {point.split(", then crash ")[1].split()[0] for point in pairs} == {"before", "after"}
    assert not [point for point in crash_everywhere(create, twice=0).points if ", then" in point]


def test_a_process_that_died_does_nothing_more() -> None:
    worlds = Worlds()
    crash_everywhere(create, world=worlds, only="before create_server #1")
    assert "create_server" not in {method for method, _ in worlds[-1].cloud.calls}


def test_a_late_request_arrives_after_the_crash_and_is_waited_for() -> None:
    worlds = Worlds()
    crash_everywhere(create, world=worlds, only="crash during create_server #1")
    (intent,) = (event for event in worlds[-1].store.read("c-1") if event.data.type == "intent" and event.version == 2)
    events = list(worlds[-1].store.read("c-1"))
    (found,) = (event for event in events if isinstance(event.data, Completion) and event.data.step == intent.data.step)
    assert found.data.server_id == "vm-1"
    assert (found.recorded_at - intent.recorded_at).total_seconds() > worlds[-1].settings.api_timeout_seconds
    assert worlds[-1].oracle.ours() == {}


def test_a_rollback_that_does_not_wait_for_late_requests_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollback.observe._await_deadlines", lambda *_: None)
    monkeypatch.setattr("projections.presence._proves_absent", lambda listing, create, _: create.begun <= listing.as_of)
    with pytest.raises(Breach, match="crash during create_server #1:\n  - a second rollback deleted vm-1"):
        crash_everywhere(create)


def test_a_rollback_that_never_comes_to_rest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollback.compensator.is_news", lambda *_: True)
    with pytest.raises(Breach, match="a second rollback of c-1 appended"):
        crash_everywhere(create)


def test_what_leaks_is_found() -> None:
    def leak(process: SimulatedProcess) -> None:
        create(process)
        process.world.cloud.servers["vm-x"] = SimulatedServer("vm-x", "x", [], {}, process.clock.now())

    with pytest.raises(Breach, match=r"server vm-x \(x\) has leaked"):
        crash_everywhere(leak)


def test_what_was_acknowledged_and_is_lost_is_found() -> None:
    def forget(process: SimulatedProcess) -> None:
        create(process)
        process.world.store._streams["c-1"].pop()  # noqa: SLF001 (nothing that is public loses an event)

    with pytest.raises(Breach, match="version 6 of c-1 was acknowledged, and is not in the journal any more"):
        crash_everywhere(forget)


def test_where_nobody_tells_where_data_is_the_steps_do() -> None:
    with pytest.raises(Breach, match="vm-1 held data and was deleted by conductor"):
        crash_everywhere(delete_without_decommission, after=[create])


def test_several_clusters_are_looked_at() -> None:
    def two(process: SimulatedProcess) -> None:
        create(process, ["a0"], "c-2")

    worlds = Worlds()
    crash_everywhere(two, after=[create], world=worlds, only="after create_server #1")
    assert [found.name for found in worlds[-1].oracle.ours().values()] == ["w0"]


def adopt_old(process: SimulatedProcess) -> None:
    found = adoptable(process.journal, process.cloud, "c-1", ["vm-old"], node_group="worker")
    adopt(process.journal, process.cloud, found, by="ops", reason="made by hand")


class Older(SimulatedWorld):
    """There are servers from before the journal."""

    def __init__(self) -> None:
        super().__init__()
        for id_ in ("vm-old", "vm-older"):
            self.cloud.servers[id_] = SimulatedServer(id_, id_, [], {}, self.clock.now())


def test_what_was_there_before_is_somebody_elses_until_it_is_adopted() -> None:
    def delete_vm(process: SimulatedProcess) -> None:
        del process.world.cloud.servers["vm-older"]
        create(process, cluster="c-2")

    crash_everywhere(create, after=[adopt_old], world=Older, only="after create_server #1")
    with pytest.raises(Breach, match="vm-older belongs to somebody else, and was deleted"):
        crash_everywhere(delete_vm, after=[adopt_old], world=Older)


def test_a_delete_is_rolled_back_even_where_there_is_something_that_resumes() -> None:
    def delete(process: SimulatedProcess) -> None:
        with process.handler.operation("c-1", OperationKind.DELETE) as op, op.delete_server(process.world.id_of("w0")):
            process.cloud.delete_server(process.world.id_of("w0"))

    def resume(process: SimulatedProcess) -> None:
        with process.handler.resume("c-1"):
            raise AssertionError

    assert len(crash_everywhere(delete, after=[create], resume=resume)) > 50


# ---- other faults


@attrs.define
class Plugin:
    """A plugin that can be away."""

    started: list[str] = attrs.field(factory=list)

    def start(self, id_: str) -> None:
        self.started.append(id_)

    def name(self) -> str:
        return "plugin"


def with_plugin(process: SimulatedProcess) -> None:
    plugin = process.crashing(Plugin(), {"start"})
    assert plugin.name() == "plugin"
    with process.handler.operation("c-1", OperationKind.CREATE) as op:
        step = op.create_server("worker", "w0").run(lambda step: step.created(process.cloud.create_server(step)))
        with op.start([str(step.server_id)]):
            plugin.start(step.server_id)


def test_any_object_can_have_calls_at_which_the_process_dies_or_that_fail() -> None:
    survived = crash_everywhere(with_plugin, faults={"bug": raising(lambda: KeyError("x"))}, twice=0)
    starts = [point for point in survived.points if "Plugin.start" in point]
    assert starts == [f"{fault} {side} Plugin.start #1" for fault in ("crash", "bug") for side in ("before", "after")]
    assert not [point for point in survived.points if point.startswith("bug") and "append" in point]


def test_a_fault_can_be_anything() -> None:
    came: list[str] = []
    survived = crash_everywhere(create, faults={"visit": Fault(lambda process: came.append(process.name), after=False)}, twice=0)
    visits = [point for point in survived.points if point.startswith("visit ")]
    assert "visit before append #1" in visits
    assert came == ["conductor"] * len(visits)


def test_a_cluster_whose_user_deleted_it_may_not_become_an_error() -> None:
    def tell(process: SimulatedProcess) -> None:
        create(process)
        record = process.world.records("c-1")
        record.set_status(ClusterStatus.ERROR, "", record.version)
        record.set_status(ClusterStatus.DELETED, "", record.version)

    def delete(process: SimulatedProcess) -> None:
        process.world.records("c-1").deleted_after = 0

    with pytest.raises(Breach, match="the record of c-1 was told Error after a user had deleted it"):
        crash_everywhere(tell, faults={"deletion": Fault(delete)}, may_fail=True, only="deletion before append #1")


def test_an_operation_that_raises_something_of_its_own_when_the_cloud_fails_is_found() -> None:
    def careless(process: SimulatedProcess) -> None:
        create(process)
        assert process.world.oracle.ours(), "there is a server"

    with pytest.raises(Breach, match="unknown outcome before create_server #1:\n  - careless raised AssertionError"):
        crash_everywhere(careless, faults={"unknown outcome": raising(lambda: TimeoutError("it took long"))})


# ---- how it is told


def test_one_point_can_be_run_again_with_its_logs(caplog: pytest.LogCaptureFixture) -> None:
    survived = crash_everywhere(create)
    assert caplog.records == []
    pair = next(point for point in survived.points if point.startswith("crash after release #1, then crash "))
    for point in ("crash after append #2", pair):
        assert crash_everywhere(create, only=point).points == (point,)
    assert crash_everywhere(create, only="after append #2").points == ("crash after append #2",)
    with caplog.at_level(logging.INFO):
        crash_everywhere(create, only=pair)
    assert {record.getMessage() for record in caplog.records}


def test_a_point_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no point 'crash after apend #2' among .*near it: 'crash after append #2'"):
        crash_everywhere(create, only="crash after apend #2")


def test_a_failure_tells_the_journal_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    with pytest.raises(Breach) as breach:
        crash_everywhere(delete_without_decommission, after=[create], history=path)
    assert tuple(read_file(path)) == breach.value.events != ()
    told = str(breach.value)
    assert "the journal of c-1:\n    1  10:00:00  before-1 began a create" in told
    assert f"provjournal replay {path} --plan" in told


def test_a_long_journal_is_shortened() -> None:
    def fail(process: SimulatedProcess) -> None:
        create(process, [f"w{number}" for number in range(50)])
        raise RuntimeError

    with pytest.raises(Breach) as breach:
        crash_everywhere(fail)
    lines = str(breach.value).splitlines()
    assert len(lines) < 50
    assert len(breach.value.events) > 100
    assert f"  … {len(breach.value.events) - 39} more …" in lines
    assert "    1  10:00:00  conductor began a create" in "\n".join(lines)


def test_what_fails_before_is_told() -> None:
    def fails(process: SimulatedProcess) -> None:
        with process.handler.operation("c-1", OperationKind.CREATE):
            raise RuntimeError("no quota")

    with pytest.raises(Breach, match=r"before, in fails:\n  - RuntimeError: no quota"):
        crash_everywhere(create, after=[fails])
    crash_everywhere(fails, may_fail=True)


# ---- what a process has in its hands


def test_a_conductor_may_have_records_of_its_own() -> None:
    @attrs.define
    class Record:
        cluster: str
        world: Any

        def exists(self) -> bool:
            return True

        def set_status(self, status: ClusterStatus, _reason: str, _version: int) -> None:
            self.world.shown[self.cluster] = status

    class World(SimulatedWorld):
        def __init__(self) -> None:
            super().__init__()
            self.shown: dict[str, ClusterStatus] = {}

    def own_records(process: SimulatedProcess) -> None:
        handler = Handler(process.journal, process.cloud, lambda cluster: Record(cluster, process.world))
        with handler.operation("c-1", OperationKind.CREATE) as op:
            add(process, op, ["w0"])
        assert process.world.shown == {"c-1": "Active"}  # type: ignore[attr-defined]

    assert len(crash_everywhere(own_records, world=World)) > 100


def test_what_was_made_is_found_by_its_name() -> None:
    world = SimulatedWorld()
    create(world.process("a"), ["w0", "w1"])
    assert world.cloud.servers[world.id_of("w1")].name == "w1"
    with pytest.raises(LookupError, match="'w2'"):
        world.id_of("w2")


def test_what_a_server_is_made_with_is_in_use_by_it() -> None:
    process = SimulatedWorld().process("a")
    with process.handler.operation("c-1", OperationKind.CREATE) as op:
        ids = {}
        for kind in (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SERVER_GROUP, ResourceKind.SECURITY_GROUP):
            made = op.create_resource(kind, kind).run(lambda step: step.created(process.cloud.create_resource(step)))
            ids[str(kind)] = str(made.resource_id)
        attributes: dict[str, Any] = {
            "networks": [{"port": ids["port"]}],
            "block_device_mapping": [{"source_type": "image", "uuid": "i"}, {"source_type": "volume", "uuid": ids["volume"]}],
            "scheduler_hints": {"group": ids["server_group"]},
            "security_groups": [{"name": ids["security_group"]}, {"name": "default"}],
            "image_id": "i",
        }
        step = op.create_server("worker", "w0", list(ids.values())).run(
            lambda step: step.created(process.cloud.create_server(step, **attributes))
        )
    assert {tuple(process.world.cloud.others[id_].attached_to) for id_ in ids.values()} == {(step.server_id,)}
    assert process.cloud.is_usable(ResourceKind.VOLUME, ids["volume"])
