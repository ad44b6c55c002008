"""Bugs of a user's conductor, planted one by one in one that is right: the kit finds each, and says what is wrong."""

# ruff: noqa: ARG002 (with a bug, a method may leave out what it was to do)

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import uuid4

import attrs
import pytest

from journal import Operation, Step
from journal.events import OperationKind, ResourceKind, Stage
from rollback import Handler, NoRecord
from rollback.testing import (
    CLOUD_ERRORS,
    DELETIONS,
    Breach,
    SimulatedProcess,
    SimulatedWorld,
    crash_everywhere,
)


@attrs.define
class Conductor:
    """A conductor without a bug. Each method is a place for one."""

    process: SimulatedProcess

    @property
    def cloud(self) -> Any:
        return self.process.cloud

    def create(self) -> None:
        with self.operation(OperationKind.CREATE) as op:
            self.put_to_work(op, self.add(op, ["w0", "w1"]))

    def scale(self) -> None:
        victim = self.process.world.id_of("w0")
        with self.operation(OperationKind.SCALE, [victim]) as op:
            self.remove(op, victim)
            self.put_to_work(op, self.add(op, ["w2"]))

    def resume(self) -> None:
        with self.process.handler.resume("c-1") as op:
            for victim in op.started.victims:
                self.remove(op, victim)
            self.put_to_work(op, self.add(op, ["w2"] if op.started.victims else ["w0", "w1"]))

    @contextmanager
    def operation(self, kind: OperationKind, victims: list[str] | None = None) -> Iterator[Operation]:
        with self.process.handler.operation("c-1", kind, victims=victims or []) as op:
            yield op

    def add(self, op: Operation, names: list[str]) -> list[str]:
        steps = op.run_all([op.create_server("worker", name, key=name) for name in names], self.create_server)
        for step in steps:
            op.wait_until(lambda step=step: self.cloud.is_active(step.server_id), step.name, timeout_seconds=9)  # type: ignore[misc]
        return [str(step.server_id) for step in steps]

    def create_server(self, step: Step) -> None:
        step.created(self.cloud.create_server(step))

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        op.configure(ids, key="configure").run(lambda _: None)
        op.start(ids, key="start").run(lambda _: self.process.holds_data(ids))

    def remove(self, op: Operation, victim: str) -> None:
        self.decommission(op, victim)
        op.delete_server(victim, key=victim).run(lambda _: self.cloud.delete_server(victim))

    def decommission(self, op: Operation, victim: str) -> None:
        op.decommission([victim], key="decommission").run(lambda _: self.process.holds_no_data([victim]))


def create(process: SimulatedProcess) -> None:
    Conductor(process).create()


def scale(process: SimulatedProcess) -> None:
    Conductor(process).scale()


def resume(process: SimulatedProcess) -> None:
    Conductor(process).resume()


@pytest.mark.parametrize("carry_on", [None, resume])
def test_a_conductor_without_a_bug_survives(carry_on: Callable[[SimulatedProcess], None] | None) -> None:
    created = crash_everywhere(create, resume=carry_on, faults=CLOUD_ERRORS | DELETIONS)
    scaled = crash_everywhere(scale, after=[create], resume=carry_on, faults=CLOUD_ERRORS | DELETIONS)
    for survived, most in ((created, 300), (scaled, 300)):
        assert 150 < len(survived) == len(set(survived.points)) < most
        for kind in ("crash before append #1", "crash during create_server #1", "unknown outcome after create_server #1"):
            assert kind in survived.points
        assert [point for point in survived.points if ", then crash after " in point]


# ---- bugs


class CreatesAgain(Conductor):
    """Creates one more server than there are steps: a retry that is not the step's."""

    def add(self, op: Operation, names: list[str]) -> list[str]:
        steps = op.run_all([op.create_server("worker", name, key=name) for name in names], self.create_server)
        return [*(str(step.server_id) for step in steps), self.cloud.create_server(steps[0])]


class MakesUpASteps(Conductor):
    """Creates servers with a step that it has made up."""

    def add(self, op: Operation, names: list[str]) -> list[str]:
        deadline = self.process.clock.now().replace(year=2027)
        journal, ids = self.process.journal.id, []
        for name in names:
            with op.custom(Stage.INFRASTRUCTURE, f"create {name}", may_hold_data=False):
                ids.append(self.cloud.create_server(Step(journal, "c-1", uuid4(), deadline, name)))
        return ids

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        pass


class CreatesBeforeTheOperation(Conductor):
    """Makes a port before the operation stands in the journal."""

    @contextmanager
    def operation(self, kind: OperationKind, victims: list[str] | None = None) -> Iterator[Operation]:
        step = Step(self.process.journal.id, "c-1", uuid4(), self.process.clock.now().replace(year=2027), "port")
        self.cloud.create_resource(attrs.evolve(step, kind=ResourceKind.PORT))
        with super().operation(kind, victims) as op:
            yield op


class ReportsIdsAfterAllCreates(Conductor):
    """Begins all creates, makes all servers, and only then says which ones they are."""

    def add(self, op: Operation, names: list[str]) -> list[str]:
        with ExitStack() as steps:
            begun = [steps.enter_context(op.create_server("worker", name)) for name in names]
            ids = [self.cloud.create_server(step) for step in begun]
            for step, id_ in zip(begun, ids, strict=True):
                step.created(id_)
        return ids


class ReportsNoId(Conductor):
    """Keeps the ids to itself."""

    def create_server(self, step: Step) -> None:
        self.cloud.create_server(step)


class ConfiguresWithoutAStep(Conductor):
    """Puts servers to work without saying so."""

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        self.process.holds_data(ids)


class DeletesBeforeDecommission(Conductor):
    """Deletes a server while its data is still on it."""

    def remove(self, op: Operation, victim: str) -> None:
        op.delete_server(victim).run(lambda _: self.cloud.delete_server(victim))
        self.decommission(op, victim)


class DeletesWithoutAStep(Conductor):
    """Deletes a server after a decommission, but says nothing of the delete."""

    def remove(self, op: Operation, victim: str) -> None:
        self.decommission(op, victim)
        self.cloud.delete_server(victim)


class SaysDecommissionedTooSoon(Conductor):
    """Ends the decommission while the data still moves."""

    def decommission(self, op: Operation, victim: str) -> None:
        op.decommission([victim], key="decommission").run(lambda _: None)
        op.wait_until(lambda: self.cloud.is_active(victim), "the data is moved", timeout_seconds=9)
        self.process.holds_no_data([victim])


class DeletesSomebodyElses(Conductor):
    """Deletes by name what is not its own."""

    def remove(self, op: Operation, victim: str) -> None:
        super().remove(op, victim)
        strange = next(found.id for found in self.cloud.list_all() if found.name == "strange")
        self.cloud.delete_server(strange)


class CatchesEverything(Conductor):
    """Goes on whatever happens."""

    def create_server(self, step: Step) -> None:
        with suppress(BaseException):
            super().create_server(step)


class SurvivesItsDeath(Conductor):
    """Catches what ends its process at the very top."""

    def create(self) -> None:
        with suppress(BaseException):
            super().create()


class CleansUpItself(Conductor):
    """Deletes in a finally what it has made."""

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        done = False
        try:
            super().put_to_work(op, ids)
            done = True
        finally:
            if not done:
                for id_ in ids:
                    self.cloud.delete_server(id_)


class ForgetsKeys(Conductor):
    """Creates with steps that nobody knows again."""

    def add(self, op: Operation, names: list[str]) -> list[str]:
        steps = op.run_all([op.create_server("worker", name) for name in names], self.create_server)
        return [str(step.server_id) for step in steps]


class CarriesNothingOn(Conductor):
    """Forgets what was asked for when it carries on."""

    def resume(self) -> None:
        with self.process.handler.resume("c-1"):
            pass


class Fails(Conductor):
    """Fails whatever happens."""

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        raise RuntimeError("the plugin has a bug")


class Raises(Conductor):
    """Fails before its handler does anything about it."""

    @contextmanager
    def operation(self, kind: OperationKind, victims: list[str] | None = None) -> Iterator[Operation]:
        raise KeyError("flavor")
        yield


class DoesNothing(Conductor):
    """Uses what it finds elsewhere."""

    @contextmanager
    def operation(self, kind: OperationKind, victims: list[str] | None = None) -> Iterator[Operation]:
        world = SimulatedWorld()
        with Handler(world.process("elsewhere").journal, world.cloud, NoRecord).operation("c-1", kind) as op:
            self.process = world.process("elsewhere")
            yield op


NEVER_MADE_TWICE = iter(range(10**9))


class NeverTheSame(Conductor):
    """Does another thing each time."""

    def put_to_work(self, op: Operation, ids: list[str]) -> None:
        for _ in range(next(NEVER_MADE_TWICE) % 7):
            op.wait_until(lambda: self.cloud.is_active(ids[0]), "it is active", timeout_seconds=9)
        super().put_to_work(op, ids)


BUGS: dict[type[Conductor], tuple[str, str]] = {
    CreatesAgain: ("without any fault", r"create of 'w0' was sent outside its step"),
    MakesUpASteps: ("without any fault", r"create of 'w0' was sent outside its step"),
    CreatesBeforeTheOperation: ("without any fault", r"create of 'port' was sent outside its step"),
    ReportsIdsAfterAllCreates: ("without any fault", r"create of 'w0' made vm-1, and step.created\('vm-1'\) was not the next"),
    ReportsNoId: ("without any fault", r"create of 'w0' made vm-1, and step.created\('vm-1'\) was not the next"),
    ConfiguresWithoutAStep: ("without any fault", r"data was put on vm-1, but no step stands in the journal"),
    CatchesEverything: ("crash before create_server #1", r"the operation caught what killed its process, and went on"),
    SurvivesItsDeath: ("crash before append #1", r"the operation caught what killed its process, and returned"),
    CleansUpItself: (r"crash before append #4", r"went on to call delete_server, in a finally"),
    Fails: ("without any fault", r"the operation fails without any fault: RuntimeError: the plugin has a bug"),
    Raises: ("without any fault", r"create raised KeyError: 'flavor'"),
    DoesNothing: ("without any fault", r"the operation called neither the journal nor the cloud"),
    NeverTheSame: (r"", r"the operation did other calls than in the run before"),
}
BUGS_IN_SCALE: dict[type[Conductor], tuple[str, str]] = {
    DeletesBeforeDecommission: ("without any fault", r"vm-1 held data and was deleted by conductor"),
    DeletesWithoutAStep: ("without any fault", r"delete of vm-1 was sent outside a step"),
    SaysDecommissionedTooSoon: ("crash after append #3", r"vm-1 held data and was deleted by the rollback of rescuer"),
    DeletesSomebodyElses: ("without any fault", r"vm-strange belongs to somebody else, and was deleted"),
}
BUGS_IN_RESUME: dict[type[Conductor], tuple[str, str]] = {
    ForgetsKeys: (
        "crash after create_server #1",
        r"there are 2 of server w0 after it was resumed, and 1 without any fault: a step",
    ),
    CarriesNothingOn: ("crash after append #1", r"there are 0 of server w0 after it was resumed, and 1 without any fault$"),
}


def methods(bug: type[Conductor]) -> list[Callable[[SimulatedProcess], None]]:
    def create(process: SimulatedProcess) -> None:
        bug(process).create()

    def scale(process: SimulatedProcess) -> None:
        bug(process).scale()

    def resume(process: SimulatedProcess) -> None:
        bug(process).resume()

    return [create, scale, resume]


def expect(breach: pytest.ExceptionInfo[Breach], point: str, why: str) -> None:
    assert breach.value.point.startswith(point)
    assert re.search(why, str(breach.value), re.MULTILINE)
    if breach.value.point.startswith("crash"):
        assert f"only={breach.value.point!r}" in str(breach.value)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_a_create_is_found(bug: type[Conductor]) -> None:
    with pytest.raises(Breach) as breach:
        crash_everywhere(methods(bug)[0])
    expect(breach, *BUGS[bug])


@pytest.mark.parametrize("bug", BUGS_IN_SCALE)
def test_a_bug_in_a_scale_is_found(bug: type[Conductor]) -> None:
    with pytest.raises(Breach) as breach:
        crash_everywhere(methods(bug)[1], after=[create])
    expect(breach, *BUGS_IN_SCALE[bug])


@pytest.mark.parametrize("bug", BUGS_IN_RESUME)
def test_a_bug_in_a_resume_is_found(bug: type[Conductor]) -> None:
    create, _, resume = methods(bug)
    with pytest.raises(Breach) as breach:
        crash_everywhere(create, resume=resume)
    expect(breach, *BUGS_IN_RESUME[bug])
