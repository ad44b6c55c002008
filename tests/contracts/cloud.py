"""What every cloud behind the port must do. The simulated cloud and the real one both subclass it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from journal.events import ResourceKind
from journal.steps import Absent, Refused, Step
from rollback.cloud import DeleteAnswer
from rollback.errors import CloudError, CloudRefused
from rollback.marks import Agreement, FoundMarks, Marks, agreement, agreement_of_other, marks_of

NONE = "no trouble"
SLOW_BUILD = "it builds for seconds"
BOOT_FAILS = "its host cannot boot it"
SLOW_DELETE = "its delete takes seconds"
DELETE_FAILS = "its first delete fails on the host"


class CloudContract:
    """The promises of `rollback.cloud.Cloud`, and of creating under it.

    Fixtures: `cloud`; `create`, which makes a server for a step and returns its id; `settled`, which calls until the
    result is true.
    """

    @pytest.fixture
    def step(self, cloud: Any) -> Step:
        return Step(uuid4(), "c-1", uuid4(), cloud.now() + timedelta(seconds=60), f"contract-{uuid4().hex[:8]}")

    def test_a_created_server_carries_its_marks_from_the_first_listing_on(
        self, cloud: Any, step: Step, create: Callable[[Step], str]
    ) -> None:
        server_id = create(step)
        (found,) = cloud.list_journal(step.journal)
        assert (found.id, found.name) == (server_id, step.name)
        assert agreement(found.marks, marks_of(step)) is Agreement.BOTH
        assert found.marks.step_id == step.id
        assert abs(found.created_at - cloud.now()) < timedelta(minutes=1)
        assert cloud.get(server_id).marks == found.marks

    def test_nothing_is_created_once_the_deadline_has_passed(self, cloud: Any, step: Step, create: Callable[[Step], str]) -> None:
        step.deadline = cloud.now() - timedelta(minutes=1)
        with pytest.raises(Refused, match=f"the request for {step.name} was not sent: its deadline"):
            create(step)
        assert cloud.list_journal(step.journal) == []

    def test_a_listing_by_journal_shows_only_that_journals_servers(
        self, cloud: Any, step: Step, create: Callable[[Step], str]
    ) -> None:
        server_id = create(step)
        assert cloud.list_journal(uuid4()) == []
        assert server_id in {found.id for found in cloud.list_all()}

    def test_marks_of_another_step_cluster_or_journal_contradict(
        self, cloud: Any, step: Step, create: Callable[[Step], str]
    ) -> None:
        found = cloud.get(create(step))
        for other in (
            Marks(uuid4(), step.cluster, step.id),
            Marks(step.journal, "c-2", step.id),
            Marks(step.journal, step.cluster, uuid4()),
        ):
            assert agreement(found.marks, other) is Agreement.CONTRADICTION

    def test_two_creates_of_one_step_are_two_servers(self, cloud: Any, step: Step, create: Callable[[Step], str]) -> None:
        ids = {create(step), create(step)}
        assert {found.id for found in cloud.list_journal(step.journal)} == ids
        assert len(ids) == 2

    def test_a_server_can_be_marked_again(
        self, cloud: Any, step: Step, create: Callable[..., str], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id = create(step, tags=["mine"], metadata={"role": "worker"})
        settled(lambda: bool(cloud.is_active(server_id)))
        for marks in (Marks(uuid4(), "c-2", None), Marks(uuid4(), "c-3", uuid4()), marks_of(step)):
            cloud.mark(server_id, marks)
            found = cloud.get(server_id)
            assert agreement(found.marks, marks) is Agreement.BOTH
            assert found.marks == FoundMarks.of(marks.tags, marks.metadata), "nothing of the marks before is left"
            assert [server.id for server in cloud.list_journal(marks.journal)] == [server_id]

    def test_a_server_that_is_not_there_cannot_be_marked(self, cloud: Any) -> None:
        with pytest.raises(CloudRefused):
            cloud.mark(str(uuid4()), Marks(uuid4(), "c-1", None))

    def test_a_deleted_server_is_gone(
        self, cloud: Any, step: Step, create: Callable[[Step], str], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id = create(step)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.get(server_id) is None)
        assert cloud.delete(server_id) is DeleteAnswer.ABSENT
        assert cloud.list_journal(step.journal) == []

    def test_what_was_never_there_is_absent(self, cloud: Any) -> None:
        unknown = str(uuid4())
        assert cloud.get(unknown) is None
        assert cloud.delete(unknown) is DeleteAnswer.ABSENT

    def test_the_cloud_says_which_region_and_project_it_is(self, cloud: Any) -> None:
        region, project = cloud.name.split("/")
        assert region
        assert project


class TroubleContract:
    """What else is done to servers, and how the port shows it.

    Fixtures: `cloud`, `settled` as above; `troubled`, which makes a server that meets trouble (`SLOW_BUILD` …) and returns
    its id with what to look for it by; `lock`, which locks a server or unlocks it; `ignoring`, which makes the cloud
    accept deletes of a server and ignore them; `restore`, which restores a softly deleted server.
    """

    def test_a_server_that_builds_is_not_active_yet_and_can_be_deleted(
        self, cloud: Any, troubled: Callable[[str], tuple[str, UUID]], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id, _ = troubled(SLOW_BUILD)
        assert cloud.get(server_id).status == "BUILD"
        assert not cloud.is_active(server_id)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.is_gone(server_id))

    def test_a_server_that_fails_to_boot_is_in_error_and_listed(
        self, cloud: Any, troubled: Callable[[str], tuple[str, UUID]], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id, journal = troubled(BOOT_FAILS)
        settled(lambda: cloud.get(server_id).status == "ERROR")
        with pytest.raises(CloudError, match="ERROR"):
            cloud.is_active(server_id)
        assert [found.id for found in cloud.list_journal(journal)] == [server_id]
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.is_gone(server_id))

    def test_a_delete_that_takes_long_is_seen_to_be_under_way(
        self, cloud: Any, troubled: Callable[[str], tuple[str, UUID]], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id, journal = troubled(SLOW_DELETE)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        assert cloud.get(server_id).is_deleting
        assert not cloud.is_gone(server_id)
        assert [found.id for found in cloud.list_journal(journal)] == [server_id]
        settled(lambda: cloud.is_gone(server_id))
        settled(lambda: cloud.get(server_id) is None)  # for a moment Nova shows it as DELETED

    def test_a_delete_that_fails_leaves_the_server_in_error_and_a_second_one_works(
        self, cloud: Any, troubled: Callable[[str], tuple[str, UUID]], settled: Callable[[Callable[[], bool]], None]
    ) -> None:
        server_id, _ = troubled(DELETE_FAILS)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.get(server_id).status == "ERROR" and not cloud.get(server_id).is_deleting)
        with pytest.raises(CloudError, match="went to ERROR while it was deleted"):
            cloud.is_gone(server_id)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.is_gone(server_id))

    def test_a_locked_server_is_not_deleted(
        self,
        cloud: Any,
        troubled: Callable[[str], tuple[str, UUID]],
        lock: Callable[..., None],
        settled: Callable[[Callable[[], bool]], None],
    ) -> None:
        server_id, _ = troubled(NONE)
        settled(lambda: cloud.is_active(server_id))
        lock(server_id, locked=True)
        with pytest.raises(CloudRefused, match="409"):
            cloud.delete(server_id)
        assert cloud.is_active(server_id)
        lock(server_id, locked=False)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.is_gone(server_id))

    def test_a_delete_can_be_accepted_and_ignored(
        self,
        cloud: Any,
        troubled: Callable[[str], tuple[str, UUID]],
        ignoring: Callable[[str], None],
        settled: Callable[[Callable[[], bool]], None],
    ) -> None:
        server_id, _ = troubled(NONE)
        settled(lambda: cloud.is_active(server_id))
        ignoring(server_id)
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        assert cloud.is_active(server_id)
        assert not cloud.get(server_id).is_deleting


class SoftDeleteContract:
    """How a softly deleted server shows. Fixtures: those of the contract before."""

    def test_it_is_gone_for_listings_but_not_for_who_asks_for_its_id_and_can_be_restored(
        self,
        cloud: Any,
        troubled: Callable[[str], tuple[str, UUID]],
        restore: Callable[[str], None],
        settled: Callable[[Callable[[], bool]], None],
    ) -> None:
        server_id, journal = troubled(NONE)
        settled(lambda: cloud.is_active(server_id))
        assert cloud.delete(server_id) is DeleteAnswer.ACCEPTED
        settled(lambda: cloud.is_gone(server_id))
        assert cloud.get(server_id).status == "SOFT_DELETED"
        assert cloud.list_journal(journal) == []
        assert server_id not in {found.id for found in cloud.list_all()}
        restore(server_id)
        settled(lambda: cloud.is_active(server_id))
        assert [found.id for found in cloud.list_journal(journal)] == [server_id]


OTHERS = [kind for kind in ResourceKind if kind is not ResourceKind.SERVER]


class ResourceContract:
    """The promises of the same port for what servers bring along.

    Fixtures: `cloud`; `make`, which makes something for a step and returns its id; `serve`, which makes a server for a
    step that uses a port, a volume, a security group and a server group, by kind, and waits until it does; `settled`,
    which calls until the result is true.
    """

    @pytest.fixture
    def step(self, cloud: Any) -> Callable[[ResourceKind], Step]:
        def step(kind: ResourceKind) -> Step:
            return Step(uuid4(), "c-1", uuid4(), cloud.now() + timedelta(seconds=60), f"contract-{uuid4().hex[:8]}", kind=kind)

        return step

    def test_it_is_there_with_its_mark_from_the_first_listing_on(
        self, cloud: Any, step: Any, make: Callable[[Step], str], kind: ResourceKind
    ) -> None:
        made = step(kind)
        id_ = make(made)
        (found,) = (each for each in cloud.list_kind(kind) if each.id == id_)
        assert (found.kind, found.attached_to) == (kind, ())
        assert agreement_of_other(found.marks, marks_of(made)) is Agreement.BOTH
        assert (found.marks.step_id, found.marks.cluster) == (made.id, "c-1")
        assert found.marks.says_journal(made.journal)
        timeless = kind in (ResourceKind.SERVER_GROUP, ResourceKind.KEYPAIR)
        assert found.created_at is None if timeless else abs(found.created_at - cloud.now()) < timedelta(minutes=1)
        assert cloud.get(id_, kind).marks == found.marks

    def test_nothing_is_made_once_the_deadline_has_passed(
        self, cloud: Any, step: Any, make: Callable[[Step], str], kind: ResourceKind
    ) -> None:
        late = step(kind)
        late.deadline = cloud.now() - timedelta(minutes=1)
        with pytest.raises(Refused, match="was not sent: its deadline"):
            make(late)
        assert not [each for each in cloud.list_kind(kind) if each.marks.says_journal(late.journal)]

    def test_a_deleted_one_is_gone(
        self,
        cloud: Any,
        step: Any,
        make: Callable[[Step], str],
        settled: Callable[[Callable[[], bool]], None],
        kind: ResourceKind,
    ) -> None:
        id_ = make(step(kind))
        cloud.delete_resource(kind, id_)
        settled(lambda: bool(cloud.is_gone(id_, kind)))
        assert cloud.get(id_, kind) is None
        assert cloud.delete(id_, kind) is DeleteAnswer.ABSENT
        assert id_ not in {each.id for each in cloud.list_kind(kind)}
        with pytest.raises(Absent):
            cloud.delete_resource(kind, id_)

    def test_what_was_never_there_is_absent(self, cloud: Any, kind: ResourceKind) -> None:
        assert cloud.get(str(uuid4()), kind) is None
        assert cloud.delete(str(uuid4()), kind) is DeleteAnswer.ABSENT

    def test_nothing_is_made_for_another_user_than_the_step_says(
        self, cloud: Any, step: Any, make: Callable[[Step], str], kind: ResourceKind
    ) -> None:
        anothers = step(kind)
        anothers.user = uuid4().hex
        with pytest.raises(Refused, match=f"is to belong to user {anothers.user}, but this is {cloud.user_id}"):
            make(anothers)
        assert not [each for each in cloud.list_kind(kind) if each.marks.says_journal(anothers.journal)]

    def test_two_requests_of_one_step_are_two_but_of_keypairs_one(
        self, cloud: Any, step: Any, make: Callable[[Step], str], kind: ResourceKind
    ) -> None:
        twice = step(kind)
        ids = {make(twice)}
        if kind is ResourceKind.KEYPAIR:
            with pytest.raises(CloudRefused):
                make(twice)
        else:
            ids.add(make(twice))
        assert {each.id for each in cloud.list_kind(kind) if each.marks.step_id == twice.id} == ids

    def test_what_a_server_uses_says_so_and_is_free_once_the_server_is_gone(
        self,
        cloud: Any,
        step: Any,
        make: Callable[[Step], str],
        serve: Callable[[Step, dict[ResourceKind, str]], str],
        settled: Callable[[Callable[[], bool]], None],
    ) -> None:
        kinds = (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SECURITY_GROUP, ResourceKind.SERVER_GROUP)
        used = {kind: make(step(kind)) for kind in kinds}
        server_id = serve(step(ResourceKind.SERVER), used)
        for kind, id_ in used.items():
            assert cloud.get(id_, kind).attached_to == (server_id,), kind
            (listed,) = (each for each in cloud.list_kind(kind) if each.id == id_)
            assert listed.attached_to == (server_id,), kind
        for kind in (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SECURITY_GROUP):
            assert cloud.delete(used[kind], kind) is DeleteAnswer.IN_USE
            with pytest.raises(CloudRefused, match="is still in use"):
                cloud.delete_resource(kind, used[kind])
        cloud.delete_server(server_id)
        settled(lambda: bool(cloud.is_gone(server_id)))
        for kind in (ResourceKind.PORT, ResourceKind.VOLUME, ResourceKind.SECURITY_GROUP, ResourceKind.SERVER_GROUP):
            assert cloud.get(used[kind], kind).attached_to == (), kind
            cloud.delete_resource(kind, used[kind])
            settled(lambda kind=kind: bool(cloud.is_gone(used[kind], kind)))
