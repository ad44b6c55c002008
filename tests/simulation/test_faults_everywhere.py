"""The example conductor, an error of any kind at any call that it makes, a user's deletion at any point: all end in the handler.

Nothing else in the example checks whether a cluster exists, catches an error or cleans up; a test reads its source.
"""

import ast
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from examples.conductor import Conductor
from examples.plugin import Plugin
from journal.events import ClusterStatus, PlanAction, VerdictName
from journal.journal import Journal
from journal.memory import MemoryStore
from projections.fold import fold
from rollback import Handler, recover
from rollback.errors import CloudError, CloudRefused
from rollback.plan import plan
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
CALLS = frozenset({"create_server", "delete_server", "is_active", "is_gone", "set_server_metadata"})
"""What the conductor and its plugin call."""
ERRORS: dict[str, Callable[[], Exception]] = {
    "refused": lambda: CloudRefused("HTTP 403: quota exceeded"),
    "unknown outcome": lambda: CloudError("HTTP 502"),
    "a bug": lambda: KeyError("addresses"),
    "time ran out": lambda: TimeoutError("read timed out"),
}
QUIET = (ClusterStatus.ACTIVE, ClusterStatus.ERROR, ClusterStatus.DELETED)


class Faults:
    """Counts calls; at one of them, before or after its effect, something happens."""

    def __init__(self, at: int | None = None, happen: Callable[[], None] = lambda: None) -> None:
        self.at = at
        self.happen = happen
        self.count = 0

    def call(self, effect: Callable[[], Any]) -> Any:
        self._pass()
        result = effect()
        self._pass()
        return result

    def _pass(self) -> None:
        self.count += 1
        if self.at == self.count - 1:
            self.happen()


class Faulty:
    """A port at whose calls faults happen."""

    def __init__(self, port: Any, faults: Faults) -> None:
        self._port = port
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in CALLS:
            return found
        return lambda *args, **kwargs: self._faults.call(lambda: found(*args, **kwargs))


@attrs.define
class World:
    """A cluster of the example conductor; `states` is what its plugin noted on each server."""

    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    store: MemoryStore = attrs.field(init=False)
    states: dict[str, str] = attrs.field(factory=dict)
    statuses: list[ClusterStatus] = attrs.field(factory=list)
    there: bool = True
    user_deleted: bool = False

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.store = MemoryStore(self.clock.now)

    def exists(self) -> bool:
        return self.there

    def set_status(self, status: ClusterStatus, _: str) -> None:
        self.statuses.append(status)

    def set_server_metadata(self, server_id: str, *, state: str) -> None:
        assert server_id in self.cloud.servers
        self.states[server_id] = state

    def handler(self, name: str, faults: Faults | None = None) -> Handler:
        journal = Journal(self.store, conductor=name, clock=self.clock, threads=SimulatedThreads(self.clock))
        cloud: Any = self.cloud if faults is None else Faulty(self.cloud, faults)
        return Handler(journal, cloud, lambda _: self)

    def conductor(self, name: str, faults: Faults) -> Conductor:
        handler: Any = self.handler(name, faults)
        plugin = Plugin(SimpleNamespace(compute=Faulty(self, faults)))
        # The compensator has a cloud without faults: what is asked here is where errors of the conductor end.
        return Conductor(attrs.evolve(handler, cloud=self.cloud), handler.cloud, plugin, at_once=2)

    def delete_as_user(self) -> None:
        self.user_deleted = True
        self.handler("api").delete("c-1", by="user")

    def lose_record(self) -> None:
        self.user_deleted = True
        self.there = False


def create(world: World, faults: Faults) -> None:
    world.conductor("a", faults).create("c-1", {"master": 1, "worker": 2})


def scale(world: World, faults: Faults) -> None:
    world.conductor("a", faults).scale("c-1", {"worker": 2}, ["vm-2", "vm-3"])


SCENES = {"create": create, "scale": scale}


def prepared(scene: str) -> World:
    world = World()
    if scene == "scale":
        create(world, Faults())
        world.statuses.clear()
    return world


def points(scene: str) -> int:
    world, faults = prepared(scene), Faults()
    SCENES[scene](world, faults)
    assert world.statuses == [ClusterStatus.ACTIVE]
    return faults.count


def raising(error: Callable[[], Exception]) -> Callable[[], None]:
    def fail() -> None:
        raise error()

    return fail


def check(world: World, scene: str) -> None:
    """What must hold once the handler has returned: nothing to catch, nothing left in between, nothing leaked or lost."""
    assert world.statuses[-1:] in ([], *([status] for status in QUIET)), "never stuck in between"
    for recovery in recover(world.handler("b")):
        assert recovery.complete, recovery.problems
    history = fold(world.store.read("c-1"))
    assert history.unfinished is None
    final = plan(history)
    accounted = {v.id for v in final.verdicts if v.verdict in (VerdictName.IN_SERVICE, VerdictName.UNSAFE)}
    assert set(world.cloud.servers) == accounted, "nothing leaks"
    assert not final.having(PlanAction.DELETE, PlanAction.FIND)
    if world.user_deleted:
        assert world.cloud.servers == {}
        assert history.deleted is not None
    elif scene == "scale":
        lost = {server_id for server_id, state in world.states.items() if server_id not in world.cloud.servers}
        assert {world.states[server_id] for server_id in lost} <= {"decommissioned"}, "nothing that may hold data is deleted"
    elif world.statuses == [ClusterStatus.ERROR]:
        assert world.cloud.servers == {}, "creation failed: all its VMs are gone"
    assert list(recover(world.handler("c"))) == []
    assert [head.is_settled for head in world.store.heads()] == [True]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_at_any_call_ends_in_the_handler(scene: str, error: str) -> None:
    count = points(scene)
    assert count > 20
    for at in range(count):
        world = prepared(scene)
        SCENES[scene](world, Faults(at, raising(ERRORS[error])))
        assert world.statuses == [ClusterStatus.ERROR] or scene == "scale", f"point {at}"
        check(world, scene)


def deletions() -> Iterator[tuple[str, Callable[[World], None]]]:
    yield "asked for", World.delete_as_user
    yield (
        "asked for by another process, which dies",
        lambda world: (
            setattr(world, "user_deleted", True),
            world.handler("api").journal.request_deletion("c-1", by="user"),
            None,
        )[2],
    )
    yield "of the record only", World.lose_record


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("how", [pytest.param(delete, id=name) for name, delete in deletions()])
def test_a_users_deletion_at_any_point_ends_quietly_and_leaks_nothing(
    scene: str, how: Callable[[World], None], caplog: pytest.LogCaptureFixture
) -> None:
    for at in range(points(scene)):
        world = prepared(scene)
        SCENES[scene](world, Faults(at, lambda world=world: how(world)))  # type: ignore[misc]
        assert ClusterStatus.ERROR not in world.statuses
        check(world, scene)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


@pytest.mark.parametrize("scene", SCENES)
def test_a_deletion_and_then_an_error_ends_quietly(scene: str) -> None:
    count = points(scene)
    for at, (name, error) in itertools.product(range(0, count, 2), ERRORS.items()):
        world = prepared(scene)

        def delete_and_fail(world: World = world, error: Callable[[], Exception] = error) -> None:
            world.delete_as_user()
            raise error()

        SCENES[scene](world, Faults(at, delete_and_fail))
        assert world.statuses == [ClusterStatus.DELETED], f"{name} at {at}"
        check(world, scene)


@pytest.mark.parametrize("module", ["conductor.py", "plugin.py"])
def test_the_example_neither_catches_nor_checks_nor_cleans_up(module: str) -> None:
    (tree,) = (node for node in ast.parse((EXAMPLES / module).read_text()).body if isinstance(node, ast.ClassDef))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Try)] == []
    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    assert called.isdisjoint({"exists", "is_file", "get", "list_all", "list_journal", "rollback_cluster", "compensate"})
