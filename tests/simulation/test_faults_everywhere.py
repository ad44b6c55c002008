"""The example conductor dies, is failed by its cloud or its plugin, or has its cluster deleted, at any call: all ends well.

Nothing in the example checks whether a cluster exists, catches an error or cleans up; a test reads its source.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from examples.conductor import Conductor
from examples.plugin import Plugin
from journal.events import ClusterStatus
from rollback.errors import CloudError, CloudRefused
from rollback.testing import DELETIONS, Fault, SimulatedProcess, SimulatedWorld, crash_everywhere, raising

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ERRORS: dict[str, Callable[[], Exception]] = {
    "refused": lambda: CloudRefused("HTTP 403: quota exceeded"),
    "unknown outcome": lambda: CloudError("HTTP 502"),
    "a bug": lambda: KeyError("addresses"),
    "time ran out": lambda: TimeoutError("read timed out"),
}


@attrs.define
class Compute:
    """What the example's plugin calls: what it notes on a server tells where data is."""

    process: SimulatedProcess

    def set_server_metadata(self, server_id: str, *, state: str) -> None:
        assert server_id in self.process.world.cloud.servers
        if state == "decommissioned":
            self.process.holds_no_data([server_id])
        else:
            self.process.holds_data([server_id])


def conductor(process: SimulatedProcess) -> Conductor:
    compute = process.crashing(Compute(process), {"set_server_metadata"}, "compute")
    return Conductor(process.handler, process.cloud, Plugin(SimpleNamespace(compute=compute)), at_once=2)


def create(process: SimulatedProcess) -> None:
    conductor(process).create("c-1", {"master": 1, "worker": 2})


def scale(process: SimulatedProcess) -> None:
    victims = [process.world.id_of(f"c-1-worker-00{number}") for number in (1, 2)]
    conductor(process).scale("c-1", {"worker": 2}, victims)


def resume(process: SimulatedProcess) -> None:
    conductor(process).resume("c-1")


SCENES = {"create": (create, []), "scale": (scale, [create])}


def told(process: SimulatedProcess) -> list[ClusterStatus]:
    return [status for status, _ in process.world.records("c-1").told]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("carry_on", [None, resume], ids=["rolled back", "resumed"])
def test_it_may_die_anywhere(scene: str, carry_on: Callable[[SimulatedProcess], None] | None) -> None:
    operation, after = SCENES[scene]
    assert len(crash_everywhere(operation, after=after, resume=carry_on)) > 150


class World(SimulatedWorld):
    """Knows whether a fault has come."""

    came = False


def noted(fault: Fault) -> Fault:
    def happen(process: SimulatedProcess) -> None:
        process.world.came = True  # type: ignore[attr-defined]  # the worlds here are such
        fault.happen(process)

    return attrs.evolve(fault, happen=happen)


def ending(scene: str, check: Callable[[SimulatedProcess, list[ClusterStatus]], None]) -> Callable[[SimulatedProcess], None]:
    """Return a scene that is followed by a check, with what its record was told: nothing was raised until then."""

    def run(process: SimulatedProcess) -> None:
        before = len(told(process))
        SCENES[scene][0](process)
        check(process, told(process)[before:])

    return run


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_at_any_call_ends_in_the_handler(scene: str, error: str) -> None:
    def check(process: SimulatedProcess, since: list[ClusterStatus]) -> None:
        expected = ClusterStatus.ERROR if process.world.came else ClusterStatus.ACTIVE  # type: ignore[attr-defined]
        assert since == [expected] or (scene == "scale" and since == [ClusterStatus.ACTIVE])

    faults = {error: noted(raising(ERRORS[error]))}
    survived = crash_everywhere(ending(scene, check), after=SCENES[scene][1], faults=faults, twice=0, world=World)
    assert len([point for point in survived.points if point.startswith(error)]) > 10


def lose_record(process: SimulatedProcess) -> None:
    record = process.world.records("c-1")
    record.there, record.deleted_after = False, len(record.told)


LOST = {"loss of the record": Fault(lose_record, at_journal=False)}


@pytest.mark.parametrize("scene", SCENES)
def test_a_users_deletion_at_any_point_ends_quietly_and_leaks_nothing(scene: str, caplog: pytest.LogCaptureFixture) -> None:
    def check(process: SimulatedProcess, _: list[ClusterStatus]) -> None:
        assert process.world.records("c-1").there or not process.world.oracle.ours()

    operation, after, faults = ending(scene, check), SCENES[scene][1], {**DELETIONS, **LOST}
    survived = crash_everywhere(operation, after=after, faults=faults, twice=0)
    points = [point for point in survived.points if point.startswith(tuple(faults))]
    assert len(points) > 100
    for point in points[::3]:  # with its logs
        crash_everywhere(operation, after=after, faults=faults, only=point)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


@pytest.mark.parametrize("scene", SCENES)
def test_a_deletion_and_then_an_error_ends_quietly(scene: str) -> None:
    def check(process: SimulatedProcess, since: list[ClusterStatus]) -> None:
        assert since == [ClusterStatus.DELETED if process.world.came else ClusterStatus.ACTIVE]  # type: ignore[attr-defined]

    def delete_and_fail(error: Callable[[], Exception]) -> Fault:
        def happen(process: SimulatedProcess) -> None:
            DELETIONS["deletion"].happen(process)
            raise error()

        return noted(Fault(happen, at_journal=False))

    faults = {f"deletion, and {name}": delete_and_fail(error) for name, error in ERRORS.items()}
    crash_everywhere(ending(scene, check), after=SCENES[scene][1], faults=faults, twice=0, world=World)


@pytest.mark.parametrize("module", ["conductor.py", "plugin.py"])
def test_the_example_neither_catches_nor_checks_nor_cleans_up(module: str) -> None:
    (tree,) = (node for node in ast.parse((EXAMPLES / module).read_text()).body if isinstance(node, ast.ClassDef))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Try)] == []
    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    assert called.isdisjoint({"exists", "is_file", "get", "list_all", "list_journal", "rollback_cluster", "compensate"})
