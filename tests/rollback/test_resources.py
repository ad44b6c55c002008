"""What servers bring along, compensated on the simulated cloud: in which order, what waits, what is kept, what is found."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from journal.errors import DamagedStream, OutOfOrder
from journal.events import (
    DeleteResource,
    InventoryObserved,
    OperationKind,
    OperatorResolved,
    ResourceKind,
    Stage,
    StepOutcome,
    VerdictName,
    Word,
)
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.recorder import Operation
from journal.steps import Refused, Step
from projections.fold import History, fold
from rollback.choice import Choice, Most
from rollback.cloud import DeleteAnswer
from rollback.compensator import Report, preview, rollback_cluster
from rollback.errors import CloudError, CloudRefused, NotResumable, UnsuitableCloud
from rollback.handler import Handler
from rollback.marks import LONGEST_TEXT, Agreement, FoundMarks, Marks, agreement_of_other
from rollback.observe import is_news, observe
from rollback.orphans import delete_orphans, sweep
from rollback.records import NoRecord
from rollback.recovery import Recovery, foresee, recover
from rollback.resume import resume
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SOMEBODY_ELSES, SimulatedCloud, SimulatedOther
from rollback.testing.threads import SimulatedThreads

PORT, VOLUME, GROUP = ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SECURITY_GROUP
KEYPAIR = ResourceKind.KEYPAIR
OTHERS = [kind for kind in ResourceKind if kind is not ResourceKind.SERVER]


@attrs.define
class World:
    clock: SimulatedClock = attrs.field(factory=SimulatedClock)
    cloud: SimulatedCloud = attrs.field(init=False)
    journal: Journal = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cloud = SimulatedCloud(self.clock)
        self.journal = Journal(MemoryStore(self.clock.now), conductor="a", clock=self.clock, threads=SimulatedThreads())

    @property
    def handler(self) -> Handler:
        return Handler(self.journal, self.cloud, NoRecord)

    @property
    def history(self) -> History:
        return fold(self.journal.store.read("c-1"))

    def begin(self, kind: OperationKind = OperationKind.CREATE, **more: Any) -> Operation:
        return self.journal.begin("c-1", kind, self.cloud.name, **more)

    def make(self, op: Operation, kind: ResourceKind, name: str = "") -> str:
        planned = op.create_resource(kind, name or str(kind), user=self.owner(kind))
        return str(planned.run(lambda step: step.created(self.cloud.create_resource(step))).resource_id)

    def owner(self, kind: ResourceKind) -> str | None:
        """To whom what this user makes belongs, where it is no project's."""
        return self.cloud.user_id if kind is KEYPAIR else None

    def server(self, op: Operation, *uses: str) -> str:
        planned = op.create_server("worker", "w", uses)
        return str(planned.run(lambda step: step.created(self.cloud.create_server(step, uses=uses))).server_id)

    def dead_create(self, *kinds: ResourceKind) -> list[str]:
        """A create of a server with these, whose conductor died; the server's id comes last."""
        op = self.begin()
        ids = [self.make(op, kind) for kind in kinds]
        ids.append(self.server(op, *ids))
        self.clock.sleep(300)
        return ids

    def active(self, *kinds: ResourceKind) -> list[str]:
        """A cluster in service, of one server with these; the server's id comes last."""
        op = self.begin()
        ids = [self.make(op, kind) for kind in kinds]
        ids.append(self.server(op, *ids))
        with op.start(ids[-1:]):
            pass
        op.succeed()
        op.release()
        self.clock.sleep(300)
        return ids

    def scale(self, **more: Any) -> Operation:
        return self.begin(OperationKind.SCALE, **more)

    def end(self, op: Operation) -> None:
        op.succeed()
        op.release()

    def die(self, op: Operation) -> None:
        """The conductor of an operation dies."""
        op.release()
        self.clock.sleep(300)

    def recover(self) -> list[Recovery]:
        return list(recover(self.handler))

    def rollback(self, **choice: Any) -> Report:
        return rollback_cluster(self.journal, self.cloud, "c-1", choice=Choice(**choice, by="ops") if choice else Choice())

    @property
    def deleted(self) -> list[str]:
        return [id_ for call, id_ in self.cloud.writes if call == "delete"]

    @property
    def verdicts(self) -> dict[str | None, VerdictName]:
        planned = preview(self.journal, self.cloud, "c-1", wait=True).plan.verdicts
        return {verdict.id: verdict.verdict for verdict in planned}

    def marks_of(self, step: Step) -> Marks:
        return Marks(self.journal.id, "c-1", step.id)


def delete_softly(world: World, server: str) -> None:
    """Let the cloud delete this server softly."""
    delete = world.cloud.delete

    def softly(id_: str, *kind: Any) -> DeleteAnswer:
        if id_ != server:
            return delete(id_, *kind)
        world.cloud.servers[id_].status = "SOFT_DELETED"
        return DeleteAnswer.ACCEPTED

    world.cloud.delete = softly  # type: ignore[method-assign] # this cloud deletes softly


@pytest.fixture
def world() -> World:
    return World()


# In order


def test_all_that_a_failed_create_made_is_deleted_the_server_first_and_groups_last(world: World) -> None:
    world.dead_create(*reversed(OTHERS))
    report = world.rollback()
    assert report.complete
    assert (world.cloud.servers, world.cloud.others) == ({}, {})
    kinds = [world.history.resources[id_].kind for id_ in world.deleted]
    assert kinds == list(ResourceKind)


def test_what_a_server_uses_is_not_asked_for_before_the_server_is_gone(world: World) -> None:
    server = world.dead_create(PORT, VOLUME, GROUP)[-1]
    world.cloud.delete_seconds = 20
    asked: list[bool] = []
    delete = world.cloud.delete

    def watched(id_: str, *kind: Any) -> DeleteAnswer:
        asked.append(id_ == server or server not in world.cloud.servers)
        return delete(id_, *kind)

    world.cloud.delete = watched  # type: ignore[method-assign] # it is watched
    assert world.rollback().complete
    assert asked == [True] * 4


def test_what_cannot_be_deleted_with_its_server_waits_for_the_next_attempt(world: World) -> None:
    port, server = world.dead_create(PORT)
    world.cloud.fails["delete"] = [CloudRefused("HTTP 409: locked")] * 3
    report = world.rollback()
    assert report.problems == (
        f"server {server}: not deleted in 3 attempts: the cloud refused: HTTP 409: locked",
        f"port {port}: server {server}, which uses it, is still there",
    )
    assert world.deleted == [server] * 3
    assert world.rollback().complete
    assert world.deleted[3:] == [server, port]


def test_a_resource_waits_for_a_server_in_doubt_that_was_made_with_it(world: World) -> None:
    op = world.begin()
    port = world.make(op, PORT)
    op.create_server("worker", "w0", [port]).__enter__()
    world.clock.sleep(300)
    elsewhere = Step(uuid4(), "c-9", uuid4(), world.clock.now() + timedelta(seconds=9), "w")
    down = world.cloud.servers[world.cloud.land(elsewhere)]
    down.cell_is_down = True
    report = world.rollback()
    assert report.problems[0] == f"port {port}: server w0, which was made with it, may still be there"
    assert world.deleted == []
    down.cell_is_down = False
    assert world.rollback().complete
    assert world.deleted == [port]


# In use


def test_what_is_in_use_a_moment_longer_is_asked_for_again(world: World) -> None:
    (port, _) = world.dead_create(PORT)
    answers = [DeleteAnswer.ACCEPTED, DeleteAnswer.IN_USE, DeleteAnswer.IN_USE]
    delete = world.cloud.delete

    def slow(id_: str, *kind: Any) -> DeleteAnswer:
        answer = answers.pop(0) if answers else DeleteAnswer.ACCEPTED
        return delete(id_, *kind) if answer is DeleteAnswer.ACCEPTED else answer

    world.cloud.delete = slow  # type: ignore[method-assign] # it answers later
    assert world.rollback().complete
    (step,) = world.history.resources[port].deletes
    assert step.ended_as(StepOutcome.SUCCEEDED), "it is one delete, asked for three times"


def test_what_stays_in_use_is_not_asked_for_after_the_deadline_of_its_step(world: World) -> None:
    (port,) = [world.make(world.begin(), PORT)]
    world.clock.sleep(300)
    world.cloud.delete = lambda *_: DeleteAnswer.IN_USE  # type: ignore[method-assign] # it is in use for good
    before = world.clock.now()
    report = world.rollback()
    assert report.problems == (f"port {port}: it is still in use",)
    assert world.clock.now() - before < timedelta(seconds=world.journal.settings.api_timeout_seconds + 40)
    (step,) = world.history.resources[port].deletes
    assert step.ended_as(StepOutcome.FAILED)


def test_a_hold_stops_asking_again(world: World) -> None:
    (port,) = [world.make(world.begin(), PORT)]
    world.clock.sleep(300)
    asked: list[str] = []

    def in_use(id_: str, *_: Any) -> DeleteAnswer:
        asked.append(id_)
        if len(asked) == 2:
            world.journal.hold("c-1", by="ops", reason="wait")
        return DeleteAnswer.IN_USE

    world.cloud.delete = in_use  # type: ignore[method-assign] # it is in use
    report = world.rollback()
    assert asked == [port, port]
    assert "a hold stands" in report.problems[0]


def test_a_volume_is_waited_for_and_one_that_goes_to_an_error_is_reported(world: World) -> None:
    (volume,) = [world.make(world.begin(), VOLUME)]
    world.clock.sleep(300)
    world.cloud.delete_seconds = 1000
    world.clock.later(40, lambda: setattr(world.cloud.others[volume], "status", "ERROR_DELETING"))
    report = world.rollback()
    assert report.deleted == ()
    step = next(iter(world.history.resources[volume].deletes))
    assert step.completion is not None
    assert step.completion.reason == "the volume went to ERROR_DELETING: only the cloud's operator gets rid of it"


def test_many_are_waited_for_by_listing(world: World) -> None:
    op = world.begin()
    for number in range(40):
        world.make(op, VOLUME, f"v{number}")
    world.clock.sleep(300)
    world.cloud.calls.clear()
    world.cloud.delete_seconds = 10
    assert world.rollback().complete
    calls = [call for call, _ in world.cloud.calls]
    assert calls.count("delete") == 40
    assert calls.count("get") <= 2 * 40, "each is asked for right before its delete, and when it is not listed any more"
    assert calls.count("list_kind") <= 3 + 12


def test_what_a_soft_deleted_server_still_holds_is_not_asked_for(world: World) -> None:
    port, server = world.dead_create(PORT)
    delete_softly(world, server)
    report = world.rollback()
    assert (report.deleted, report.problems) == ((server,), (f"port {port}: server {server}, which uses it, is still there",))
    assert port not in world.deleted
    world.cloud.servers.pop(server)
    world.cloud.others[port].attached_to.clear()
    assert world.rollback().complete


def comes_to_use(world: World, server: str, after: float, *ids: str) -> None:
    """Let a server use things once so many seconds have passed; meanwhile, servers take their time to go."""
    world.cloud.delete_seconds = 200
    world.clock.later(after, lambda: [world.cloud.others[id_].attached_to.append(server) for id_ in ids])


@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind is not ResourceKind.KEYPAIR])
def test_what_has_come_to_be_used_by_a_server_that_stays_is_not_deleted(world: World, kind: ResourceKind) -> None:
    stays = world.active()[-1]
    op = world.begin(OperationKind.SCALE)
    made = world.make(op, kind)
    goes = world.server(op, made)
    op.release()
    world.clock.sleep(300)
    comes_to_use(world, stays, 100, made)
    report = world.rollback()
    assert report.problems == (f"{kind} {made}: it is in use by now, by {stays}",)
    assert (world.deleted, world.cloud.torn) == ([goes], []), "it is not even asked for"
    report = world.rollback()
    assert (report.complete, [verdict.id for verdict in report.kept]) == (True, [made])
    assert not world.rollback().changed


def test_what_nobody_in_this_cluster_knows_has_come_to_use_is_not_deleted(world: World) -> None:
    address, server = world.dead_create(ResourceKind.FLOATING_IP)
    comes_to_use(world, SOMEBODY_ELSES, 100, address)
    report = world.rollback()
    assert report.problems == (f"floating_ip {address}: it is in use by now, by {SOMEBODY_ELSES}",)
    assert world.deleted == [server]


def test_a_word_lets_go_of_what_was_seen_to_use_something_and_of_nothing_else(world: World) -> None:
    address, server = world.dead_create(ResourceKind.FLOATING_IP)
    world.cloud.others[address].attached_to.append("vm-of-long-ago")
    assert [verdict.id for verdict in world.rollback().kept] == [address]
    world.journal.resolve("c-1", address, Word.NEW, by="ops", reason="there is no such server")
    get = world.cloud.get

    def moved(id_: str, *kind: Any) -> Any:
        found = get(id_, *kind)
        return attrs.evolve(found, attached_to=("vm-of-long-ago", "vm-9")) if id_ == address and found else found

    world.cloud.get = moved  # type: ignore[method-assign] # somebody moves it meanwhile
    assert world.rollback().problems == (f"floating_ip {address}: it is in use by now, by vm-9",)
    assert world.deleted == [server]
    world.cloud.get = get  # type: ignore[method-assign] # it is as it was
    assert world.rollback().complete
    assert world.deleted == [server, address]


def test_what_a_server_that_is_gone_still_seems_to_use_goes(world: World) -> None:
    volume, server = world.dead_create(VOLUME)
    get = world.cloud.get

    def stuck(id_: str, *kind: Any) -> Any:
        found = get(id_, *kind)
        return attrs.evolve(found, attached_to=(server,)) if id_ == volume and found else found

    world.cloud.get = stuck  # type: ignore[method-assign] # its service was away when the server went
    assert world.rollback().complete
    assert world.deleted == [server, volume]


def test_what_uses_it_is_looked_at_right_before_each_delete(world: World) -> None:
    op = world.begin()
    addresses = [world.make(op, ResourceKind.FLOATING_IP) for _ in range(25)]
    op.release()
    world.clock.sleep(300)
    delete = world.cloud.delete

    def moves_the_last(id_: str, *kind: Any) -> DeleteAnswer:
        if id_ == addresses[0]:
            world.cloud.others[addresses[-1]].attached_to.append(SOMEBODY_ELSES)
        return delete(id_, *kind)

    world.cloud.delete = moves_the_last  # type: ignore[method-assign] # it is watched
    assert "it is in use by now" in world.rollback().problems[0]
    assert set(world.cloud.others) == {addresses[-1]}


def test_what_a_cloud_says_is_told_without_its_secrets(world: World) -> None:
    token = f"gAAAAABm{'x' * 60}"
    (volume, port) = [world.make(op := world.begin(), VOLUME), world.make(op, PORT)]
    world.clock.sleep(300)
    unknown, refused = CloudError(f"HTTP 500: token {token}"), CloudRefused(f"HTTP 400: password=hunter2 {token}")
    world.cloud.fails = {"delete": [*[refused] * 5, unknown], "get": [CloudError(f"HTTP 500: {token}")]}
    told: list[str] = []
    report = rollback_cluster(world.journal, world.cloud, "c-1", progress=lambda said: told.append(str(said)))
    said = "\n".join((*told, *report.problems, report.reason))
    assert "the outcome of deleting" in said
    assert "cannot be read: HTTP 500" in said
    assert "not deleted in 3 attempts" in said
    assert token not in said
    assert "hunter2" not in said
    assert {volume, port} == set(world.cloud.others)


# Kept


def test_what_a_server_that_is_kept_uses_is_kept_with_it(world: World) -> None:
    port, volume, server = world.dead_create(PORT, VOLUME)
    report = world.rollback(keep=[server])
    assert {verdict.id: verdict.because for verdict in report.kept} == {
        server: "ops said so",
        port: f"server {server} stays, and uses it",
        volume: f"server {server} stays, and uses it",
    }
    assert world.deleted == []


def test_a_volume_can_be_kept_on_a_persons_word_though_its_server_goes(world: World) -> None:
    volume, server = world.dead_create(VOLUME)
    report = world.rollback(keep=[volume])
    assert (world.deleted, [verdict.id for verdict in report.kept]) == ([server], [volume])
    words = [event.data for event in world.journal.store.read("c-1") if isinstance(event.data, OperatorResolved)]
    assert [(word.resource_id, word.server_id, word.verdict) for word in words] == [(volume, None, Word.UNSAFE)]


def test_more_than_the_operation_created_is_refused_whatever_it_is(world: World) -> None:
    world.dead_create(PORT, VOLUME)
    report = world.rollback(most=Most(2))
    assert "3 resources are to be deleted, more than the 2 that --max-deletions 2 allows" in report.problems[0]
    assert world.deleted == []


def test_somebody_elses_server_keeps_what_it_uses(world: World) -> None:
    volume, server = world.active(VOLUME)
    world.cloud.others[volume].attached_to.append(SOMEBODY_ELSES)
    world.journal.request_deletion("c-1", by="user")
    report = world.rollback()
    assert world.deleted == [server]
    assert (report.cluster_status, [verdict.id for verdict in report.kept]) == ("Error", [volume])


def test_a_word_of_what_is_not_known_says_so_whatever_it_may_be(world: World) -> None:
    world.dead_create(PORT)
    version = world.history.version
    with pytest.raises(OutOfOrder, match=r"^Cluster 'c-1': nope is not known to this stream$"):
        world.journal.resolve("c-1", "nope", Word.UNNEEDED, by="ops", reason="mistyped")
    assert world.history.version == version


def test_what_has_anothers_mark_is_left_alone(world: World) -> None:
    (port, server) = world.dead_create(PORT)
    world.cloud.others[port].text = Marks(uuid4(), "c-1", uuid4()).text
    report = world.rollback()
    (problem,) = report.problems
    assert problem.startswith(
        f"port {port}: its marks contradict the journal, so it is not certain that it belongs to this cluster"
    )
    assert problem.endswith("; it is left alone: delete it by hand if it is yours")
    assert world.deleted == [server]


def test_what_has_lost_its_mark_is_kept_and_reported_until_somebody_says_what_it_is(world: World) -> None:
    (port, server) = world.dead_create(PORT)
    world.cloud.others[port].text = "my port"
    report = world.rollback()
    assert [problem.partition(",")[0] for problem in report.problems] == [f"port {port}: its marks are gone"]
    assert report.problems[0].endswith(
        f"; say what it is: `provjournal resolve c-1 {port} new|unneeded|unsafe|in_service --reason …`, or delete it by hand"
    )
    event = world.journal.resolve("c-1", port, Word.NEW, by="ops", reason="it is ours")
    assert event.data == OperatorResolved(Word.NEW, "ops", "it is ours", resource_id=port)
    assert world.rollback().complete
    assert world.deleted == [server, port]


def test_a_mark_that_contradicts_is_never_touched(world: World) -> None:
    (port, _) = world.dead_create(PORT)
    world.journal.resolve("c-1", port, Word.NEW, by="ops", reason="it is ours")
    world.cloud.others[port].text = Marks(uuid4(), "c-1", uuid4()).text
    report = world.rollback()
    assert "its marks contradict the journal" in report.problems[0]
    assert port in world.cloud.others


def test_a_word_cannot_tear_a_port_from_a_server_that_stays(world: World) -> None:
    port, server = world.active(PORT)
    world.journal.resolve("c-1", port, Word.UNNEEDED, by="ops", reason="free it")
    report = world.rollback()
    assert report.problems == (f"port {port}: server {server}, which uses it, is still there",)
    assert world.deleted == []
    version = world.history.version
    assert not world.rollback().changed
    assert world.history.version == version


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("attached", [True, False])
def test_a_word_ends_when_a_server_is_made_with_what_it_was_said_of(world: World, kind: ResourceKind, *, attached: bool) -> None:
    op = world.begin()
    free = world.make(op, kind)
    world.end(op)
    world.journal.resolve("c-1", free, Word.UNNEEDED, by="ops", reason="nobody uses it")
    op = world.scale()
    world.server(op, free)
    world.end(op)
    world.clock.sleep(300)
    if not attached:
        world.cloud.others[free].attached_to.clear()
    report = world.rollback()
    assert (report.complete, report.cluster_status, world.deleted) == (True, "Active", [])


@pytest.mark.parametrize("kind", OTHERS)
def test_no_word_tears_anything_from_a_server_that_stays(world: World, kind: ResourceKind) -> None:
    used, server = world.active(kind)
    world.journal.resolve("c-1", used, Word.UNNEEDED, by="ops", reason="free it")
    report = world.rollback()
    assert report.problems == (f"{kind} {used}: server {server}, which uses it, is still there",)
    world.cloud.others[used].attached_to.clear()
    assert world.rollback().complete
    assert world.deleted == [used]


def test_no_word_tears_a_group_from_a_server_of_another_cluster(world: World) -> None:
    group, _ = world.active(ResourceKind.SERVER_GROUP)
    elsewhere = Step(uuid4(), "c-9", uuid4(), world.clock.now() + timedelta(seconds=9), "w")
    other = world.cloud.land(elsewhere)
    world.cloud.others[group].attached_to[:] = [other]
    world.rollback()
    world.journal.resolve("c-1", group, Word.UNNEEDED, by="ops", reason="free it")
    assert world.rollback().problems == (f"server_group {group}: server {other}, which uses it, is still there",)
    assert world.deleted == []


def test_what_a_kept_server_is_made_with_is_kept_though_it_was_not_attached_yet(world: World) -> None:
    op = world.begin()
    port = world.make(op, PORT)
    planned = op.create_server("worker", "w", [port])
    server = str(planned.run(lambda step: step.created(world.cloud.create_server(step))).server_id)
    world.cloud.servers[server].status = "BUILD"
    world.clock.sleep(300)
    report = world.rollback(keep=[server])
    assert ({verdict.id for verdict in report.kept}, world.deleted) == ({server, port}, [])


def test_what_a_server_took_after_the_first_of_two_listings_is_its(world: World) -> None:
    """It is built, and its port bound, after the ports were listed and before the last listing of servers."""
    op = world.begin()
    port = world.make(op, PORT)
    planned = op.create_server("worker", "w", [port])
    server = str(planned.run(lambda step: step.created(world.cloud.create_server(step))).server_id)
    world.cloud.servers[server].status = "BUILD"
    world.clock.sleep(300)
    list_all = world.cloud.list_all

    def built() -> Any:
        world.cloud.servers[server].status = "ACTIVE"
        world.cloud.others[port].attached_to[:] = [server]
        return list_all()

    world.cloud.list_all = built  # type: ignore[method-assign] # meanwhile it is built
    assert {verdict.id for verdict in world.rollback(keep=[server]).kept} == {server, port}


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("landed", [True, False])
def test_what_a_create_in_vain_listed_may_have_been_put_to_another_use(world: World, *, lists: bool, landed: bool) -> None:
    server = world.active()[-1]
    op = world.scale()
    volume = world.make(op, VOLUME)
    with pytest.raises(Refused), op.create_server("worker", "w1", [volume] if lists else []) as step:
        if landed:
            world.cloud.land(step)
        raise Refused("no valid host")
    with op.custom(Stage.INFRASTRUCTURE, "copy", [server], may_hold_data=True):
        pass
    world.die(op)
    world.rollback()
    assert volume in world.cloud.others
    assert world.verdicts[volume] is VerdictName.UNSAFE


def test_what_was_made_while_data_was_moved_may_hold_some(world: World) -> None:
    server = world.active()[-1]
    op = world.scale()
    with op.custom(Stage.INFRASTRUCTURE, "add storage", [server], may_hold_data=True):
        volume = world.make(op, VOLUME)
    after = world.make(op, VOLUME)
    world.die(op)
    world.rollback()
    assert world.deleted == [after]
    assert volume in world.cloud.others


def test_a_volume_of_two_servers_waits_until_both_have_moved_their_data(world: World) -> None:
    op = world.begin()
    volume = world.make(op, VOLUME)
    servers = [world.server(op, volume), world.server(op, volume)]
    with op.start(servers):
        pass
    world.end(op)
    op = world.scale(victims=[*servers, volume])
    with pytest.raises(Refused), op.decommission(servers[1:]):
        raise Refused("the data did not move")
    with op.decommission(servers[:1]):
        pass
    with op.delete_server(servers[0]):
        world.cloud.delete_server(servers[0])
    world.cloud.others[volume].attached_to.clear()
    world.die(op)
    assert {verdict.id for verdict in world.rollback().kept} == {volume, servers[1]}
    assert volume in world.cloud.others


# In use by a server that does not exist


def test_what_a_server_nobody_sees_uses_is_kept_until_a_person_has_judged(world: World) -> None:
    volume = world.make(world.begin(), VOLUME)
    world.clock.sleep(300)
    world.cloud.others[volume].attached_to.append("no-such-server")
    (kept,) = world.rollback().kept
    assert (kept.id, kept.because) == (volume, "server no-such-server, which is not this cluster's, uses it")
    world.journal.resolve("c-1", volume, Word.UNNEEDED, by="ops", reason="there is no such server")
    assert world.rollback().complete
    assert world.deleted == [volume]


def test_a_word_that_did_not_know_of_the_server_does_not_judge_it(world: World) -> None:
    op = world.begin()
    group = world.make(op, ResourceKind.SERVER_GROUP)
    world.end(op)
    world.journal.resolve("c-1", group, Word.UNNEEDED, by="ops", reason="nobody uses it")
    world.cloud.others[group].attached_to.append(SOMEBODY_ELSES)
    why = f"server {SOMEBODY_ELSES} uses it, and is not seen here: if there is none, say again what this server_group is"
    for _ in range(2):
        assert world.rollback().problems == (f"server_group {group}: {why}",)
    world.journal.resolve("c-1", group, Word.UNNEEDED, by="ops", reason="there is no such server")
    assert world.rollback().complete


def test_what_a_reclaimed_server_still_seems_to_use_is_deleted(world: World) -> None:
    volume, server = world.dead_create(VOLUME)
    delete_softly(world, server)
    waits = (f"volume {volume}: server {server}, which uses it, is still there",)
    assert world.rollback().problems == waits
    world.cloud.hidden.add(server)  # Nova does not list it, but shows it
    assert world.rollback().problems == waits
    assert not world.rollback().changed
    world.cloud.servers.pop(server)  # reclaimed, while Cinder was away
    assert world.rollback().complete
    assert world.deleted == [volume]


def test_a_deletion_that_waits_for_somebodys_server_is_looked_at_again(world: World) -> None:
    volume, server = world.active(VOLUME)
    world.cloud.others[volume].attached_to.append(SOMEBODY_ELSES)
    world.handler.delete("c-1", by="user")
    version = world.history.version
    (waiting,) = world.recover()
    assert (waiting.complete, waiting.kept, waiting.status) == (True, 1, "Error")
    assert world.history.version == version, "nothing is new"
    world.cloud.others[volume].attached_to.clear()
    (foreseen,) = foresee(world.handler)
    assert foreseen.deleted == 1
    assert [(done.complete, done.status) for done in world.recover()] == [(True, "Deleted")]
    assert world.deleted == [server, volume]
    assert world.recover() == []


def test_a_deletion_that_a_person_holds_something_back_from_is_left_alone(world: World) -> None:
    _, server = world.active(VOLUME)
    world.journal.resolve("c-1", server, Word.UNSAFE, by="ops", reason="look first")
    world.handler.delete("c-1", by="user")
    assert world.recover() == []


def test_the_order_of_users_is_no_news(world: World) -> None:
    group, _ = world.dead_create(GROUP)
    world.journal.hold("c-1", by="ops", reason="wait")
    world.cloud.others[group].attached_to[:] = ["x1", "vm-2"]
    world.rollback()
    world.cloud.others[group].attached_to.reverse()
    assert not world.rollback().changed
    events = tuple(world.journal.store.read("c-1"))
    (observed,) = (event for event in events if isinstance(event.data, InventoryObserved))
    assert isinstance(observed.data, InventoryObserved)
    assert observed.data.resources[0].attached_to == ("vm-2", "x1")
    turned = attrs.evolve(observed.data.resources[0], attached_to=("x1", "vm-2"))
    again = attrs.evolve(observed, version=len(events) + 1, data=attrs.evolve(observed.data, resources=(turned,)))
    assert not is_news(events, again), "an older journal has them in any order"


# Found


@pytest.mark.parametrize("kind", OTHERS)
def test_one_whose_answer_was_lost_is_found_by_its_mark(world: World, kind: ResourceKind) -> None:
    op = world.begin()
    with pytest.raises(CloudError), op.create_resource(kind, "lost", user=world.owner(kind)) as step:
        world.cloud.create_resource(step)
        raise CloudError("the answer was lost")
    world.clock.sleep(300)
    assert world.rollback().complete
    assert world.cloud.others == {}
    (create,) = world.history.creates.values()
    assert create.completion is not None
    assert create.completion.reason == "found by its mark"
    assert create.completion.resource_id == world.deleted[0]


@pytest.mark.parametrize("kind", OTHERS)
def test_one_that_was_never_made_is_proved_absent(world: World, kind: ResourceKind) -> None:
    world.begin().create_resource(kind, "lost", user=world.owner(kind)).__enter__()
    world.clock.sleep(300)
    assert world.rollback().complete
    (create,) = world.history.creates.values()
    assert create.ended_as(StepOutcome.ABSENT)


def test_a_kind_that_the_cloud_cannot_list_stays_in_doubt(world: World) -> None:
    world.begin().create_resource(VOLUME, "lost").__enter__()
    world.clock.sleep(300)
    world.cloud.kinds -= {VOLUME}
    report = world.rollback()
    assert "is still in doubt: the cloud could not be seen whole" in report.problems[0]


@pytest.mark.parametrize("kind", [PORT, VOLUME])
def test_nothing_is_listed_where_the_clock_of_its_service_is_off(world: World, kind: ResourceKind) -> None:
    world.dead_create(kind)
    for seconds in (-31, 31):
        world.cloud.skews[kind] = timedelta(seconds=seconds)
        with pytest.raises(UnsuitableCloud, match=f"its service for a {kind}: "):
            world.rollback()
    world.cloud.skews[kind] = timedelta(seconds=29)
    world.cloud.fails["now"] = [CloudError("HTTP 503")]
    with pytest.raises(CloudError, match="HTTP 503"):
        world.rollback()
    assert world.rollback().complete


@pytest.mark.parametrize("kind", [PORT, VOLUME, ResourceKind.FLOATING_IP, GROUP])
@pytest.mark.parametrize("seconds", [-90, 100_000])
def test_a_create_is_not_absent_where_its_mark_is_on_something_of_another_time(
    world: World, kind: ResourceKind, seconds: int
) -> None:
    step = world.begin().create_resource(kind, "lost").__enter__()
    lost = world.cloud.land_other(step)
    world.cloud.others[lost].created_at += timedelta(seconds=seconds)
    world.clock.sleep(300)
    for _ in range(2):
        report = world.rollback()
        assert "is still in doubt: the cloud could not be seen whole" in report.problems[0]
        assert report.is_open
    assert not report.changed
    world.journal.resolve_gone("c-1", step.id, by="ops", reason="it is a copy of mine")
    assert world.rollback().complete
    assert lost in world.cloud.others


def test_a_copy_beside_its_original_leaves_nothing_in_doubt(world: World) -> None:
    step = world.begin().create_resource(VOLUME, "lost").__enter__()
    original, copy = world.cloud.land_other(step), world.cloud.land_other(step)
    world.cloud.others[copy].created_at += timedelta(days=1)
    world.clock.sleep(300)
    assert world.rollback().complete
    assert (world.deleted, list(world.cloud.others)) == ([original], [copy])
    assert not world.rollback().changed
    assert world.history.listings[0].whole == {ResourceKind.SERVER, VOLUME}


def test_a_create_that_is_settled_or_of_another_kind_keeps_no_kind_from_being_seen_whole(world: World) -> None:
    op = world.begin()
    lost = op.create_resource(VOLUME, "lost").__enter__()
    volume = world.cloud.land_other(lost)
    other = op.create_resource(PORT, "p").__enter__()
    port = world.cloud.land_other(other)
    world.cloud.others[port].text = world.marks_of(lost).text
    for id_ in (volume, port):
        world.cloud.others[id_].created_at += timedelta(days=1)
    world.clock.sleep(300)

    def whole() -> tuple[ResourceKind, ...]:
        return observe(world.cloud, world.journal.id, world.history, world.clock, 30, lambda _: None).event.kinds

    assert whole() == (PORT,)
    world.journal.resolve_gone("c-1", lost.id, by="ops", reason="it is a copy of mine")
    assert whole() == (PORT, VOLUME)


def test_a_keypair_with_the_name_of_something_hides_it_not(world: World) -> None:
    op = world.begin()
    world.make(op, ResourceKind.KEYPAIR)
    port = world.cloud.land_other(op.create_resource(PORT, "lost").__enter__())
    world.clock.sleep(300)
    listed = world.cloud.list_kind
    twin = SimulatedOther(ResourceKind.KEYPAIR, port, port, port, {}, world.clock.now()).shown()
    world.cloud.list_kind = lambda kind: [*listed(kind), *([twin] if kind is ResourceKind.KEYPAIR else [])]  # type: ignore[method-assign]
    assert world.rollback().complete
    assert port in world.deleted
    port = world.cloud.land_other(Step(world.journal.id, "c-9", uuid4(), world.clock.now(), "p", kind=PORT))
    twin = attrs.evolve(twin, id=port)
    assert [orphan.id for orphan in sweep(world.handler).orphans] == [port]
    late = world.cloud.others.pop(port)
    world.clock.later(1, lambda: world.cloud.others.update({port: late}))
    assert sweep(world.handler).orphans == (), "the port was seen but once"


def test_a_repeated_request_is_deleted_and_a_copy_is_kept(world: World) -> None:
    op = world.begin()
    with op.create_resource(VOLUME, "twice") as step:
        step.created(world.cloud.create_resource(step))
        second = world.cloud.land_other(step)
        copy = world.cloud.land_other(step)
    world.cloud.others[copy].created_at += timedelta(days=1)
    world.clock.sleep(300)
    report = world.rollback()
    assert report.complete
    assert set(world.cloud.others) == {copy}
    assert second in world.deleted
    assert world.verdicts[copy] is VerdictName.FOREIGN


def test_a_group_of_the_same_name_that_comes_later_is_somebodys(world: World) -> None:
    group, _ = world.active(ResourceKind.SERVER_GROUP)
    name = world.cloud.others[group].name
    world.clock.sleep(86400 * 365)
    world.cloud.others["a-later"] = SimulatedOther(ResourceKind.SERVER_GROUP, "a-later", name, name, {}, world.clock.now())
    assert [(orphan.id, orphan.is_deletable) for orphan in sweep(world.handler).orphans] == [("a-later", False)]
    assert world.rollback().complete
    assert set(world.cloud.others) == {group, "a-later"}


def test_a_second_one_that_nobody_knew_of_is_not_taken_for_used(world: World) -> None:
    op = world.begin()
    with op.create_resource(PORT, "twice") as step:
        step.created(world.cloud.create_resource(step))
        second = world.cloud.land_other(step)
    world.server(op, str(step.resource_id))
    with op.start():
        pass
    op.succeed()
    op.release()
    world.clock.sleep(300)
    assert world.verdicts[second] is VerdictName.NEW
    assert world.rollback().complete
    assert world.deleted == [second]


def test_a_cluster_without_such_things_asks_no_service_for_them(world: World) -> None:
    op = world.begin()
    world.server(op)
    world.clock.sleep(300)
    assert world.rollback().complete
    assert "list_kind" not in [call for call, _ in world.cloud.calls]


def test_a_cloud_that_cannot_be_listed_decides_nothing(world: World) -> None:
    world.dead_create(PORT)
    world.cloud.fails["list_kind"] = [CloudError("HTTP 503")]
    with pytest.raises(CloudError):
        world.rollback()
    assert world.deleted == []
    assert world.rollback().complete


def test_one_that_landed_late_is_swept(world: World) -> None:
    steps: list[Step] = []
    with world.handler.operation("c-1", OperationKind.CREATE) as op, op.create_resource(PORT, "late") as step:
        steps.append(step)
        raise Refused("HTTP 500")
    late = world.cloud.land_other(steps[0])
    world.cloud.others["foreign"] = SimulatedOther(PORT, "foreign", "n", "a port of mine", {}, world.clock.now())
    found = sweep(world.handler)
    assert [(orphan.kind, orphan.id, orphan.is_deletable) for orphan in found.orphans] == [(PORT, late, True)]
    (swept,) = delete_orphans(world.handler, found)
    assert swept.report is not None
    assert swept.report.deleted == (late,)
    assert set(world.cloud.others) == {"foreign"}
    assert sweep(world.handler).orphans == ()


def test_a_sweep_says_what_it_could_not_list(world: World) -> None:
    world.active(PORT)
    world.cloud.fails["list_kind"] = [CloudError("HTTP 503")]
    found = sweep(world.handler)
    assert (found.orphans, len(found.unlisted)) == ((), 1)


def test_a_sweep_goes_on_where_a_service_does_not_tell_the_time(world: World) -> None:
    world.active(PORT)
    world.cloud.fails["now"] = [CloudError("HTTP 503")]
    assert len(sweep(world.handler).unlisted) == 1
    world.cloud.skews[VOLUME] = timedelta(seconds=31)
    with pytest.raises(UnsuitableCloud):
        sweep(world.handler)


def test_a_sweep_says_which_kinds_that_clusters_had_the_cloud_has_no_service_for_any_more(world: World) -> None:
    world.active(PORT)
    world.cloud.kinds -= {VOLUME}
    op = world.begin(OperationKind.SCALE)
    world.make(op, PORT, "create_volume")
    op.succeed()
    op.release()
    assert sweep(world.handler).unlisted == ()
    elsewhere = SimulatedCloud(world.clock, "RegionOne/other")
    op = world.journal.begin("c-2", OperationKind.CREATE, elsewhere.name)
    op.create_resource(VOLUME, "v").run(lambda step: step.created(elsewhere.create_resource(step)))
    op.succeed()
    op.release()
    assert sweep(world.handler).unlisted == (), "that cluster is of another cloud"
    op = world.journal.begin("c-3", OperationKind.CREATE, world.cloud.name)
    with pytest.raises(Refused), op.create_resource(VOLUME, "v"):
        raise Refused("no such service")
    op.release()
    assert sweep(world.handler).unlisted == (VOLUME,)


def test_a_kind_that_nobody_can_say_was_never_had_is_said_not_to_be_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.active(PORT, VOLUME)
    world.cloud.kinds -= {VOLUME}

    def damaged(journal: Journal, cluster: str) -> Any:
        raise DamagedStream(cluster, 1, "its hash does not fit")

    monkeypatch.setattr(Journal, "stream", damaged)
    assert sweep(world.handler).unlisted == (VOLUME,)


def test_one_of_a_cluster_that_the_journal_does_not_know_is_reported(world: World) -> None:
    step = Step(world.journal.id, "c-9", uuid4(), world.clock.now() + timedelta(seconds=60), "p", kind=PORT)
    lost = world.cloud.land_other(step)
    (orphan,) = sweep(world.handler).orphans
    assert (orphan.id, orphan.cluster, orphan.is_deletable) == (lost, "c-9", False)


def test_one_with_a_step_that_the_journal_does_not_have_places_a_hold(world: World) -> None:
    world.dead_create(PORT)
    world.cloud.land_other(Step(world.journal.id, "c-1", uuid4(), world.clock.now() + timedelta(seconds=60), "p", kind=PORT))
    report = world.rollback()
    assert "the journal has lost history: port" in report.problems[0]
    assert world.deleted == []


# A conductor's


def test_a_scale_that_removes_a_server_with_its_volume_is_finished_after_a_crash(world: World) -> None:
    volume, port, server = world.active(VOLUME, PORT)
    op = world.begin(OperationKind.SCALE, victims=[server, volume, port])
    with op.decommission([server]):
        pass
    with op.delete_server(server):
        world.cloud.delete_server(server)
    op.delete_resource(PORT, port).__enter__()
    op.release()
    world.clock.sleep(300)
    report = world.rollback()
    assert (report.complete, report.cluster_status) == (True, "Active")
    assert world.cloud.others == {}
    assert set(report.deleted) == {volume, port}


def test_a_volume_is_not_deleted_before_its_data_moved(world: World) -> None:
    volume, server = world.active(VOLUME)
    op = world.begin(OperationKind.SCALE, victims=[server, volume])
    with pytest.raises(RuntimeError), op.decommission([server]):
        raise RuntimeError
    op.release()
    world.clock.sleep(300)
    report = world.rollback()
    assert (world.deleted, report.cluster_status) == ([], "Error")
    assert {verdict.id for verdict in report.kept} == {volume, server}


def test_a_resumed_operation_makes_nothing_twice(world: World) -> None:
    made: list[str] = []

    def body(op: Operation) -> None:
        op.create_resource(VOLUME, "v", key="v").run(lambda step: made.append(create(step)))
        op.create_resource(PORT, "p", key="p").run(lambda step: made.append(create(step)))

    def create(step: Step) -> str:
        step.created(id_ := world.cloud.create_resource(step))
        return id_

    op = world.begin()
    op.create_resource(VOLUME, "v", key="v").run(lambda step: made.append(create(step)))
    lost = op.create_resource(PORT, "p", key="p").__enter__()
    world.cloud.land_other(lost)
    op.release()
    world.clock.sleep(300)
    with world.handler.resume("c-1") as resumed:
        body(resumed)
    assert len(made) == 1
    assert len(world.cloud.others) == 2
    (step,) = (step for step in world.history.steps.values() if step.id == lost.id)
    assert step.ended_as(StepOutcome.SUCCEEDED)
    assert step.named in world.cloud.others


def test_a_conductor_deletes_with_steps(world: World) -> None:
    port, _ = world.active(PORT)
    world.cloud.others[port].attached_to.clear()
    with world.handler.operation("c-1", OperationKind.SCALE) as op, op.delete_resource(PORT, port):
        world.cloud.delete_resource(PORT, port)
    assert world.verdicts[port] is VerdictName.GONE
    (step,) = world.history.resources[port].deletes
    assert isinstance(step.intent, DeleteResource)


@pytest.mark.parametrize("plan", ["create_resource", "delete_resource"])
def test_a_server_is_no_other_resource(world: World, plan: str) -> None:
    with pytest.raises(ValueError, match="a server has steps of its own"):
        getattr(world.begin(), plan)(ResourceKind.SERVER, "w")


# The mark as text


MARKS = Marks(UUID("0c3f2b0e-5d1c-4f6e-9a52-6a1f8a1b7c01"), "c-1", UUID("7f0a9a34-11de-4d6b-8c3b-2f9c66a1d902"))


@pytest.mark.parametrize(
    "marked",
    [
        MARKS.text,
        MARKS.name("keys"),
        MARKS.description(""),
        MARKS.description("of mine"),
        MARKS.description("two\nlines"),
        MARKS.name("x" * 300),
        MARKS.name(Marks(MARKS.journal, "c-1", uuid4()).name("of another")),
        MARKS.description(Marks(uuid4(), "c-2", uuid4()).text),
    ],
    ids=str.__len__,
)
def test_a_mark_in_text_is_read_back(marked: str) -> None:
    assert len(marked) <= LONGEST_TEXT
    assert agreement_of_other(FoundMarks.of_text(marked), MARKS) is Agreement.BOTH


@pytest.mark.parametrize(
    "cluster",
    ["a cluster/with.odd characters", "c" * 255, "ö", Marks(uuid4(), "", uuid4()).text],
    ids=["odd", "long", "foreign", "a mark"],
)
def test_a_cluster_id_that_does_not_fit_is_left_out(cluster: str) -> None:
    marks = Marks(uuid4(), cluster, uuid4())
    found = FoundMarks.of_text(marks.name("keys"))
    assert (found.cluster, agreement_of_other(found, marks)) == (None, Agreement.BOTH)


@pytest.mark.parametrize(
    ("change", "agreed"),
    [
        (lambda text: text.replace(str(MARKS.step), str(uuid4())), Agreement.CONTRADICTION),
        (lambda text: text.replace(str(MARKS.journal), str(uuid4())), Agreement.CONTRADICTION),
        (lambda text: text.removesuffix("c-1") + "c-2", Agreement.CONTRADICTION),
        (lambda text: f"{text} changed", Agreement.NONE),
        (lambda _: "", Agreement.NONE),
    ],
)
def test_a_mark_in_text_that_was_changed_does_not_agree(change: Callable[[str], str], agreed: Agreement) -> None:
    assert agreement_of_other(FoundMarks.of_text(change(MARKS.text)), MARKS) is agreed


def test_a_description_without_room_for_the_mark_is_refused() -> None:
    room = LONGEST_TEXT - len(MARKS.text) - 1
    assert len(MARKS.description("x" * room)) == LONGEST_TEXT
    with pytest.raises(ValueError, match=f"it can have {room} characters, not {room + 1}"):
        MARKS.description("x" * (room + 1))


# Of a user


def of_another(world: World) -> None:
    """From here on somebody else acts, in the same project."""
    world.cloud.user_id = "user-b"
    world.clock.sleep(300)


def unchanged(world: World) -> bool:
    version = world.history.version
    return not world.rollback().changed and world.history.version == version


@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_keypair_of_another_user_stays_in_doubt(world: World, *, arrives: bool) -> None:
    lost = world.begin().create_resource(KEYPAIR, "lost", user="user-a").__enter__()
    if arrives:
        world.cloud.land_other(lost)
    of_another(world)
    report = world.rollback()
    (problem,) = report.problems
    assert problem == (
        f"create {lost.id} of 'lost' is still in doubt: a keypair of user user-a, which no other user sees: run this as that user"
    )
    assert report.is_open
    assert unchanged(world)
    world.cloud.user_id = "user-a"
    assert world.rollback().complete
    assert world.cloud.others == {}
    assert len(world.deleted) == arrives
    assert unchanged(world)


def test_a_known_keypair_of_another_user_is_not_asked_for_and_not_called_gone(world: World) -> None:
    port, keypair, server = world.dead_create(PORT, KEYPAIR)
    of_another(world)
    report = world.rollback()
    assert report.problems == (f"keypair {keypair}: it belongs to user user-a, and no other user sees it: run this as that user",)
    assert report.deleted == (server, port)
    assert world.deleted == [server, port]
    assert unchanged(world)
    world.cloud.user_id = "user-c"
    assert unchanged(world)
    world.cloud.user_id = "user-a"
    assert world.rollback().deleted == (keypair,)
    assert world.cloud.others == {}
    assert unchanged(world)


def test_a_deletion_by_another_user_ends_once_the_keypairs_user_ran_it(world: World) -> None:
    keypair, _ = world.active(KEYPAIR)
    of_another(world)
    world.handler.delete("c-1", by="user")
    assert keypair in world.cloud.others
    assert world.history.deletion_asked is not None
    assert unchanged(world)
    world.cloud.user_id = "user-a"
    assert world.rollback().cluster_status == "Deleted"
    assert world.cloud.others == {}


def test_each_user_proves_what_is_his(world: World) -> None:
    op = world.begin()
    first = op.create_resource(KEYPAIR, "first", user="user-a").__enter__()
    second = op.create_resource(KEYPAIR, "second", user="user-b").__enter__()
    world.clock.sleep(300)
    world.rollback()
    assert [first.id] == [step.id for step in world.history.creates.values() if step.ended_as(StepOutcome.ABSENT)]
    of_another(world)
    assert world.rollback().complete
    assert world.history.creates[second.id].ended_as(StepOutcome.ABSENT)


def test_a_keypair_whose_user_nobody_said_is_deleted_by_who_sees_it_only(world: World) -> None:
    op = world.begin()
    step = op.create_resource(KEYPAIR, "k").run(lambda step: step.created(world.cloud.create_resource(step)))
    of_another(world)
    (problem,) = world.rollback().problems
    assert problem == (
        f"keypair {step.resource_id}: nobody said to which user it belongs, and this one does not see it: "
        "run this as the user who made it. Once it is certain that there is none: "
        f"`provjournal resolve c-1 {step.id} gone --reason …`"
    )
    assert unchanged(world)
    world.cloud.user_id = "user-a"
    assert world.rollback().complete
    assert world.cloud.others == {}


def test_a_lost_keypair_whose_user_nobody_said_stays_in_doubt_until_somebody_says_that_it_is_gone(world: World) -> None:
    lost = world.begin().create_resource(KEYPAIR, "lost").__enter__()
    world.clock.sleep(300)
    (problem,) = world.rollback().problems
    assert problem == (
        f"create {lost.id} of 'lost' is still in doubt: it does not say to which user its keypair belongs, so no listing proves "
        f"that there is none. Once it is certain that there is none: `provjournal resolve c-1 {lost.id} gone --reason …`"
    )
    assert unchanged(world)
    world.journal.resolve_gone("c-1", lost.id, by="ops", reason="looked")
    assert world.rollback().complete


def test_what_a_conductor_did_not_find_to_delete_is_not_gone_if_it_is_a_keypair(world: World) -> None:
    keypair, _ = world.active(KEYPAIR)
    of_another(world)
    with world.handler.operation("c-1", OperationKind.SCALE) as op, op.delete_resource(KEYPAIR, keypair):
        world.cloud.delete_resource(KEYPAIR, keypair)
    assert world.verdicts[keypair] is VerdictName.IN_SERVICE
    world.cloud.user_id = "user-a"
    world.cloud.delete_resource(KEYPAIR, keypair)
    assert world.verdicts[keypair] is VerdictName.GONE


def test_a_step_makes_nothing_as_another_user_than_it_says(world: World) -> None:
    with pytest.raises(CloudRefused, match="is to belong to user user-b, but this is user-a"):
        world.cloud.create_resource(world.begin().create_resource(KEYPAIR, "k", user="user-b").__enter__())
    assert world.cloud.others == {}


def test_only_what_belongs_to_a_user_has_one(world: World) -> None:
    with pytest.raises(ValueError, match="a port belongs to its project"):
        world.begin().create_resource(PORT, "p", user="user-a")


def test_a_resumed_operation_does_not_make_a_keypair_of_another_user_again(world: World) -> None:
    op = world.begin()
    lost = op.create_resource(KEYPAIR, "k", user="user-a", key="k").__enter__()
    world.cloud.land_other(lost)
    op.release()
    of_another(world)
    with pytest.raises(NotResumable, match="a keypair of user user-a, which no other user sees"):
        resume(world.journal, world.cloud, "c-1")
