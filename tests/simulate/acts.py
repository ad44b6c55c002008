"""What processes do in a simulated world: conductors, those who recover, users and operators."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from journal.errors import JournalError
from journal.events import OperationKind, Stage, Word
from projections.fold import fold
from rollback import delete_orphans, recover, sweep
from rollback.errors import RollbackError
from simulate import faults

EXPECTED = (JournalError, RollbackError)
"""What a conductor's operation may end with: somebody was faster, or a port failed."""


class PluginError(Exception):
    """The plugin failed."""


class Conductor:
    """One conductor at work on one cluster."""

    def __init__(self, process: Any, cluster: str) -> None:
        self.process = process
        self.world = process.world
        self.choices = process.world.choices
        self.cluster = cluster

    # ---- operations

    def create(self) -> None:
        """Create the cluster."""
        size = 1 + self.choices.below(3)
        with self.process.handler.operation(self.cluster, OperationKind.CREATE, request={"workers": size}) as op:
            self.work(op, self.add(op, size))

    def scale(self) -> None:
        """Remove some servers, or none, and add some, or none."""
        members = self.world.members(self.cluster)
        victims = self.choices.some_of(members, 0.5)[: max(1, len(members) - 1)]
        new = self.choices.below(3)
        self.process.victims = tuple(victims)
        with self.process.handler.operation(self.cluster, OperationKind.SCALE, victims=victims) as op:
            self.scaled(op, victims, new)

    def scaled(self, op: Any, victims: Sequence[str], new: int) -> None:
        for victim in victims:
            op.decommission([victim], key=f"decommission {victim}").run(self.moves(victim))
        if victims:
            op.run_all([op.delete_server(victim, key=f"delete {victim}") for victim in victims], self.delete_one(op), at_once=2)
        self.work(op, self.add(op, new) if new else [])

    def resume(self) -> None:
        """Carry on what another conductor began."""
        with self.process.handler.resume(self.cluster) as op:
            if op.kind is OperationKind.CREATE:
                self.work(op, self.add(op, op.started.request["workers"]))
            elif op.kind is OperationKind.SCALE:
                self.scaled(op, op.started.victims, 1)

    def delete(self) -> None:
        """Delete the cluster for its user."""
        self.process.handler.delete(self.cluster, by="user")

    # ---- what they are made of

    def add(self, op: Any, size: int) -> list[str]:
        """Create servers, and wait until they are active."""
        names = [f"{self.cluster}-{op.kind}-{number}" for number in range(size)]
        steps = op.run_all(
            [op.create_server("worker", name, key=name) for name in names],
            lambda step: step.created(self.process.cloud.create_server(step)),
            at_once=2,
        )
        for step in steps:
            what = f"{step.name} is active"
            op.wait_until(lambda step=step: self.process.cloud.is_active(step.server_id), what, timeout_seconds=120)
        return [str(step.server_id) for step in steps]

    def moves(self, victim: str) -> Callable[[Any], None]:
        """Return what moves the data of a server away."""

        def move(_: Any) -> None:
            self.plugin()
            self.process.act(lambda: self.world.oracle.moves_data(self.cluster, [victim]))

        return move

    def delete_one(self, op: Any) -> Callable[[Any], None]:
        """Return what deletes the server of a step."""

        def delete(step: Any) -> None:
            (victim,) = step.server_ids
            self.process.cloud.delete_server(victim)
            op.wait_until(lambda: self.process.cloud.is_gone(victim), f"{victim} is gone", timeout_seconds=120)

        return delete

    def work(self, op: Any, ids: list[str]) -> None:
        """Put servers to work: these, or all of the cluster."""
        listed: list[str] = self.choices.one_of((ids, ids, []))
        op.configure(listed, key=f"configure {listed}").run(self.fills(ids))
        if self.choices.chance(0.2):
            op.custom(Stage.CONFIGURE, "fill", listed, may_hold_data=True, key=f"fill {listed}").run(self.fills(ids))
        op.start(listed, key=f"start {listed}").run(self.fills(ids))

    def fills(self, ids: list[str]) -> Callable[[Any], None]:
        """Return what puts data on servers."""

        def fill(_: Any) -> None:
            self.plugin()
            self.process.act(lambda: self.world.oracle.puts_data(ids))
            self.plugin()

        return fill

    def plugin(self) -> None:
        """Do what takes time on the servers, and fails now and then."""
        if self.world.is_faulty and self.choices.chance(self.world.plugin_rate):
            self.world.count(faults.PLUGIN)
            msg = "the plugin failed"
            raise PluginError(msg)
        self.process.act(lambda: None)


def recovers(process: Any, times: int) -> None:
    """Recover whatever dead conductors left, now and then."""
    for _ in range(times):
        process.journal.clock.sleep(process.world.choices.one_of((200, 10, 60, 400)))
        with suppress(*EXPECTED):
            list(recover(process.handler))


def sweeps(process: Any) -> None:
    """Find what nobody accounts for, and delete it."""
    with suppress(*EXPECTED):
        found = sweep(process.handler)
        process.world.reported = {orphan.id for orphan in found.orphans}
        if found.deletable:
            list(delete_orphans(process.handler, found))


def speaks(process: Any, cluster: str) -> None:
    """Say of a server what it is, as an operator does."""
    journal, choices = process.journal, process.world.choices
    history = fold(journal.stream(cluster).events)
    if history.resources:
        id_ = choices.one_of(sorted(history.resources))
        word = choices.one_of((Word.UNSAFE, Word.UNNEEDED, Word.NEW, Word.IN_SERVICE))
        process.world.count(faults.WORD)
        journal.resolve(cluster, id_, word, by="ops", reason="looked at it")


def says_gone(process: Any, cluster: str) -> None:
    """Say of a create in doubt that it made nothing, once that is true."""
    history = fold(process.journal.stream(cluster).events)
    now = process.world.clock.now()
    open_ = [id_ for id_, step in history.creates.items() if step.completion is None and step.intent.deadline < now]
    doubts = [id_ for id_ in open_ if not process.world.can_land(id_)]
    if doubts:
        process.world.count(faults.GONE)
        process.journal.resolve_gone(cluster, process.world.choices.one_of(doubts), by="ops", reason="nothing there")


def holds(process: Any, cluster: str) -> None:
    """Place a hold, and perhaps release it later."""
    process.world.count(faults.HOLD)
    process.journal.hold(cluster, by="ops", reason="let me look")
    if process.world.choices.chance(0.7):
        process.journal.clock.sleep(600)
        process.journal.release(cluster, by="ops", reason="looked")


def abandons(process: Any, cluster: str) -> None:
    """Give up what is unfinished."""
    history = fold(process.journal.stream(cluster).events)
    if history.unfinished is not None:
        process.journal.abandon(cluster, history.unfinished.id, by="ops", reason="hopeless")
        process.world.count(faults.ABANDON)
