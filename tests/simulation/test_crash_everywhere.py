"""The conductor dies at every call of a port, then whoever rolls back dies at every call of his own: the invariants hold.

What they are, and how that is tried, is the library's own kit: `rollback.testing`.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from journal.events import OF_A_USER, OperationKind, ResourceKind
from journal.recorder import Operation
from rollback.testing import CLOUD_ERRORS, DELETIONS, SimulatedProcess, crash_everywhere
from rollback.testing.everywhere import Operation as Scene

SHARED = (ResourceKind.SECURITY_GROUP, ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR)
OWN = (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.FLOATING_IP)


def fail_in(stage: str, fail: str) -> None:
    if stage == fail:
        msg = f"the plugin failed in {stage}"
        raise RuntimeError(msg)


# ---- servers alone


def create(process: SimulatedProcess, fail: str = "") -> None:
    with process.handler.operation("c-1", OperationKind.CREATE) as op:
        put_to_work(process, op, add_servers(process, op, "w0", "w1"), fail)


def add_servers(process: SimulatedProcess, op: Operation, *names: str) -> list[str]:
    cloud = process.cloud
    steps = op.run_all(
        [op.create_server("worker", name, key=name) for name in names],
        lambda step: step.created(cloud.create_server(step)),
        at_once=2,
    )
    for step in steps:
        op.wait_until(lambda step=step: cloud.is_active(step.server_id), f"{step.name} is active", timeout_seconds=1)
    return [str(step.server_id) for step in steps]


def put_to_work(process: SimulatedProcess, op: Operation, ids: list[str], fail: str) -> None:
    with op.configure(ids):
        fail_in("configure", fail)
    with op.start(ids):
        process.holds_data(ids)
        fail_in("start", fail)


def scale(process: SimulatedProcess, fail: str = "") -> None:
    victim, cloud = process.world.id_of("w0"), process.cloud
    with process.handler.operation("c-1", OperationKind.SCALE, victims=[victim]) as op:
        with op.decommission([victim]):
            fail_in("decommission", fail)
            process.holds_no_data([victim])
        with op.delete_server(victim):
            fail_in("delete", fail)
            cloud.delete_server(victim)
            op.wait_until(lambda: cloud.is_gone(victim), f"{victim} is gone", timeout_seconds=1)
        put_to_work(process, op, add_servers(process, op, "w8", "w9"), fail)


def scale_with_deletion(process: SimulatedProcess) -> None:
    """A user asks for the deletion while the cluster is being scaled."""
    victim = process.world.id_of("w0")
    with process.handler.operation("c-1", OperationKind.SCALE, victims=[victim]) as op:
        with op.decommission([victim]):
            process.world.process("api").journal.request_deletion("c-1", by="user")
        add_servers(process, op, "w9")


def deletion(process: SimulatedProcess) -> None:
    process.handler.delete("c-1", by="user")


# ---- servers with what they bring along


def bring(process: SimulatedProcess, op: Operation, kinds: tuple[ResourceKind, ...], name: str) -> list[str]:
    """Create one of each kind."""
    names = {kind: f"{name}-{kind}" for kind in kinds}
    users = dict.fromkeys(OF_A_USER, process.cloud.user_id)
    steps = [op.create_resource(kind, names[kind], user=users.get(kind), key=names[kind]) for kind in kinds]
    made = op.run_all(steps, lambda step: step.created(process.cloud.create_resource(step)), at_once=2)
    return [str(step.resource_id) for step in made]


def add_whole_server(process: SimulatedProcess, op: Operation, name: str, shared: list[str], fail: str) -> None:
    """Create a server with what it brings along, and put it to work."""
    own = bring(process, op, OWN, name)
    volume = own[OWN.index(ResourceKind.VOLUME)]
    ids = [*own, *shared]
    made = op.create_server("worker", name, ids, key=name).run(
        lambda step: step.created(process.cloud.create_server(step, uses=ids))
    )
    with op.configure([str(made.server_id)]):
        fail_in("configure", fail)
        process.holds_data([str(made.server_id), volume])


def create_whole(process: SimulatedProcess, fail: str = "") -> None:
    with process.handler.operation("c-1", OperationKind.CREATE) as op:
        add_whole_server(process, op, "w0", bring(process, op, SHARED, "shared"), fail)


def scale_whole(process: SimulatedProcess, fail: str = "") -> None:
    """Remove the server with what it brought along, and add another; the groups stay."""
    id_of, cloud = process.world.id_of, process.cloud
    own = [(kind, id_of(f"w0-{kind}")) for kind in (ResourceKind.FLOATING_IP, ResourceKind.PORT, ResourceKind.VOLUME)]
    shared = [id_of(f"shared-{kind}") for kind in SHARED]
    victims = [id_of("w0"), *(id_ for _, id_ in own)]
    with process.handler.operation("c-1", OperationKind.SCALE, victims=victims) as op:
        with op.decommission(victims[:1]):
            fail_in("decommission", fail)
            process.holds_no_data(victims)
        with op.delete_server(victims[0]):
            cloud.delete_server(victims[0])
        for kind, id_ in own:
            with op.delete_resource(kind, id_):
                fail_in("delete", fail)
                cloud.delete_resource(kind, id_)
        add_whole_server(process, op, "w1", shared, fail)


def failing(run: Any, stage: str) -> Scene:
    return lambda process: run(process, fail=stage)


SCENES: dict[str, tuple[Scene, Sequence[Scene]]] = {
    "create": (create, ()),
    "scale": (scale, [create]),
    "delete": (deletion, [create]),
    "create all": (create_whole, ()),
    "scale all": (scale_whole, [create_whole]),
    "delete all": (deletion, [create_whole]),
}
FAILING: dict[str, tuple[Scene, Sequence[Scene]]] = {
    **{f"create, {stage} fails": (failing(create, stage), ()) for stage in ("configure", "start")},
    **{f"scale, {s} fails": (failing(scale, s), [create]) for s in ("decommission", "delete", "configure", "start")},
    "scale, deleted meanwhile": (scale_with_deletion, [create]),
    "create all, configure fails": (failing(create_whole, "configure"), ()),
    **{f"scale all, {s} fails": (failing(scale_whole, s), [create_whole]) for s in ("decommission", "delete", "configure")},
}
PAIRS = 400
"""How many pairs of crashes of a scene are tried."""


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_leaks_and_nothing_unsafe_is_deleted_wherever_the_conductor_and_then_the_compensator_die(scene: str) -> None:
    operation, after = SCENES[scene]
    survived = crash_everywhere(operation, after=after, twice=PAIRS)
    pairs = [point for point in survived.points if ", then " in point]
    assert len(pairs) > 100
    assert len(survived) - len(pairs) >= 5


@pytest.mark.parametrize("scene", FAILING)
def test_the_same_holds_where_the_operation_fails_by_itself(scene: str) -> None:
    operation, after = FAILING[scene]
    assert len(crash_everywhere(operation, after=after, may_fail=True, twice=0)) >= 5


@pytest.mark.parametrize("scene", ["create", "scale", "create all", "scale all"])
def test_the_same_holds_if_the_cloud_fails_or_a_user_deletes_the_cluster_at_any_call(scene: str) -> None:
    operation, after = SCENES[scene]
    faults = CLOUD_ERRORS | DELETIONS
    survived = crash_everywhere(operation, after=after, faults=faults, twice=0)
    for fault in faults:
        assert [point for point in survived.points if point.startswith(f"{fault} ")]
