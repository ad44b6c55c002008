"""The adapter on a real Nova: the contract, and what only a real cloud can show."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import openstack
import pytest
from contracts.cloud import CloudContract
from faults_settings import SETTINGS
from hostile.proxy import Fault, HostileProxy, Kind
from waiting import until

from journal.steps import Refused, Step
from rollback import OpenStackCloud
from rollback.cloud import DeleteAnswer
from rollback.errors import CloudError, CloudRefused, UnknownCloud, UnsuitableCloud
from rollback.openstack import MICROVERSION


@pytest.fixture(scope="module")
def cloud(nova: dict[str, Any]) -> Iterator[OpenStackCloud]:
    cloud = OpenStackCloud.connect("demo", SETTINGS)
    yield cloud
    for server in cloud.list_all():
        cloud.delete(server.id)
    cloud.connection.close()


@pytest.fixture
def create(cloud: OpenStackCloud, nova: dict[str, Any]) -> Callable[..., str]:
    def create(step: Step, **attributes: Any) -> str:
        given = {"image_id": nova["image"], "flavor_id": nova["flavor"], "networks": "none", **attributes}
        return cloud.create_server(step, **given)

    return create


class TestRealNova(CloudContract):
    @pytest.fixture
    def cloud(self, cloud: OpenStackCloud) -> OpenStackCloud:
        return cloud

    @pytest.fixture
    def create(self, create: Callable[..., str]) -> Callable[..., str]:
        return create

    @pytest.fixture
    def settled(self) -> Callable[[Callable[[], bool]], None]:
        return until


@pytest.fixture
def step(cloud: OpenStackCloud) -> Step:
    return Step(uuid4(), "c-1", uuid4(), cloud.now() + timedelta(seconds=60), f"adapter-{uuid4().hex[:8]}")


def test_the_microversion_is_pinned_and_creates_are_not_retried(cloud: OpenStackCloud) -> None:
    compute = cloud.connection.compute
    assert compute.default_microversion == MICROVERSION
    assert (compute.connect_retries, compute.status_code_retries) == (0, 0)


def test_a_servers_own_tags_and_metadata_stay_beside_the_marks(
    cloud: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    server_id = create(step, tags=["mine"], metadata={"role": "worker"})
    server = cloud.connection.compute.get_server(server_id)
    assert "mine" in server.tags
    assert server.metadata["role"] == "worker"


def test_a_request_that_nova_refuses_is_refused(step: Step, create: Callable[..., str]) -> None:
    with pytest.raises(Refused, match="HTTP 400"):
        create(step, flavor_id="nope")


def test_a_server_that_no_host_can_take_goes_to_error_and_is_still_found_by_its_mark(
    cloud: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    server_id = create(step, flavor_id="9")
    with pytest.raises(CloudError, match="went to ERROR: .*No valid host"):
        until(lambda: cloud.is_active(server_id))
    (found,) = cloud.list_journal(step.journal)
    assert (found.id, found.status) == (server_id, "ERROR")


def test_waiting_ends_when_the_server_is_active_and_when_it_is_gone(
    cloud: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    server_id = create(step)
    until(lambda: cloud.is_active(server_id))
    cloud.delete(server_id)
    until(lambda: cloud.is_gone(server_id))
    until(lambda: cloud.get(server_id) is None)
    assert cloud.is_gone(server_id)


def test_a_delete_that_fails_on_the_host_shows_as_error(cloud: OpenStackCloud, step: Step, create: Callable[..., str]) -> None:
    server_id = create(step, metadata={"inject": "destroy_fail"})
    until(lambda: cloud.is_active(server_id))
    cloud.delete(server_id)
    until(lambda: (found := cloud.get(server_id)) is not None and (found.status, found.is_deleting) == ("ERROR", False))
    cloud.delete(server_id)
    until(lambda: cloud.is_gone(server_id))


@pytest.fixture
def proxy(nova: dict[str, Any]) -> Iterator[HostileProxy]:
    with HostileProxy(nova["ports"]["compute"]) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: HostileProxy) -> Iterator[OpenStackCloud]:
    """The cloud as it is seen through the proxy, whose calls count from here on."""
    with openstack.connect(cloud="demo") as connection:
        connection.session.session.proxies = {"http": proxy.url}
        cloud = OpenStackCloud(connection)
        proxy.counts = True
        yield cloud


def three_active(cloud: OpenStackCloud, step: Step, create: Callable[..., str]) -> set[str]:
    """Create three servers and wait: one that leaves the scheduler for its cell can be missing between two pages."""
    ids = {create(step) for _ in range(3)}
    until(lambda: all(cloud.is_active(server_id) for server_id in ids))
    return ids


def test_a_delete_that_something_in_between_answers_with_404_is_not_believed(
    proxy: HostileProxy, behind: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    server_id = create(step)
    proxy.fault, proxy.at = Fault(Kind.ANSWERED, 404), 0
    with pytest.raises(CloudRefused, match=f"deleting server {server_id}: the cloud says that it is not there, but it is"):
        behind.delete(server_id)
    assert behind.delete(server_id) is DeleteAnswer.ACCEPTED
    until(lambda: behind.is_gone(server_id))


def test_a_listing_of_several_pages_is_whole_and_says_that_it_hides_cells_that_are_down(
    proxy: HostileProxy, behind: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    ids = three_active(behind, step, create)
    assert not behind.list_all().hides_down_cells
    proxy.page, before = 1, len(proxy.calls)
    assert {found.id for found in behind.list_journal(step.journal)} == ids
    assert len(proxy.calls) - before == 4
    everything = behind.list_all()
    assert (everything.hides_down_cells, ids <= {found.id for found in everything}) == (True, True)


def test_a_listing_is_begun_again_where_the_marker_of_a_page_has_vanished(
    proxy: HostileProxy, behind: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    ids = three_active(behind, step, create)
    before = len(proxy.calls)
    proxy.page, proxy.fault, proxy.at = 1, Fault(Kind.ANSWERED, 400), before + 2
    assert {found.id for found in behind.list_journal(step.journal)} == ids
    assert len(proxy.calls) - before == 3 + 4
    proxy.at = len(proxy.calls)
    with pytest.raises(CloudRefused, match="listing servers: HTTP 400"):
        behind.list_journal(step.journal)


def test_an_answer_that_is_no_listing_is_an_error_and_not_an_empty_cloud(proxy: HostileProxy, behind: OpenStackCloud) -> None:
    proxy.fault, proxy.at = Fault(Kind.ANSWERED, 200), 0
    with pytest.raises(CloudError, match="is not a page of servers"):
        behind.list_all()


def test_the_clouds_clock_is_the_date_of_its_answers(cloud: OpenStackCloud) -> None:
    assert abs(cloud.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_another_project_is_another_cloud_and_shows_nothing(
    cloud: OpenStackCloud, step: Step, create: Callable[..., str]
) -> None:
    create(step)
    other = OpenStackCloud.connect("demo2", SETTINGS)
    assert other.name != cloud.name
    assert other.list_journal(step.journal) == []
    other.connection.close()


def test_an_older_cloud_is_refused(nova: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollback.openstack.MICROVERSION", "2.999")
    with pytest.raises(UnsuitableCloud, match=r"2\.999 .* or newer is needed"):
        OpenStackCloud.connect("demo", SETTINGS)


def test_a_cloud_that_is_not_configured_is_named(nova: dict[str, Any]) -> None:
    with pytest.raises(UnknownCloud, match=r"nope.*--cloud or OS_CLOUD"):
        OpenStackCloud.connect("nope", SETTINGS)


def test_a_cloud_that_does_not_answer_is_an_unknown_outcome(nova: dict[str, Any]) -> None:
    config = openstack.config.OpenStackConfig().get_one(cloud="demo", auth={"auth_url": "http://127.0.0.1:1/v3"})
    with openstack.connection.Connection(config=config) as connection, pytest.raises(CloudError):
        OpenStackCloud(connection)
