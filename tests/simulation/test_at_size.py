"""Ten thousand servers of one cluster: what is asked of the cloud grows with servers, not with servers times polls."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from journal.events import OperationKind
from journal.journal import Journal
from journal.memory import MemoryStore
from rollback.cloud import DeleteAnswer, Found
from rollback.compensator import rollback_cluster
from rollback.progress import Counted
from rollback.testing.clock import SimulatedClock
from rollback.testing.cloud import SimulatedCloud
from rollback.testing.threads import SimulatedThreads

SERVERS = 10_000


def dead_create(servers: int) -> tuple[SimulatedClock, SimulatedCloud, Journal]:
    """Servers of a create whose conductor died."""
    clock = SimulatedClock()
    cloud = SimulatedCloud(clock)
    journal = Journal(MemoryStore(clock.now), conductor="a", clock=clock, threads=SimulatedThreads())
    op = journal.begin("c-1", OperationKind.CREATE, cloud.name)
    steps = [op.create_server("worker", f"w{number}") for number in range(servers)]
    op.run_all(steps, lambda step: step.created(cloud.create_server(step)))
    clock.sleep(300)
    return clock, cloud, journal


@pytest.mark.parametrize("delete_seconds", [0, 15], ids=["gone at once", "gone after a while"])
def test_what_is_asked_of_the_cloud_grows_with_servers_and_listings_do_not(delete_seconds: float) -> None:
    _, cloud, journal = dead_create(SERVERS)
    cloud.calls.clear()
    cloud.delete_seconds = delete_seconds
    counted: list[Counted] = []
    report = rollback_cluster(
        journal, cloud, "c-1", progress=lambda line: counted.append(line) if isinstance(line, Counted) else None
    )
    assert report.complete
    assert cloud.servers == {}
    calls = Counter(call for call, _ in cloud.calls)
    print(f"{SERVERS} servers: {dict(calls)}")
    assert calls["delete"] == SERVERS
    assert calls["get"] <= SERVERS, "each is asked for once, when it is not listed any more"
    polls = 1 + delete_seconds / journal.settings.poll_seconds
    assert calls["list_journal"] + calls["list_all"] <= 3 + polls + 1
    assert [(line.done, line.total) for line in counted[-1:]] == [(SERVERS, SERVERS)]


def test_a_cloud_that_deletes_slowly_is_waited_for_as_long_as_it_goes_on() -> None:
    _, cloud, journal = dead_create(30)
    delete, between = cloud.delete, journal.settings.delete_timeout_seconds / 2

    def delete_after_the_others(server_id: str, *kind: Any) -> DeleteAnswer:
        cloud.delete_seconds += between
        return delete(server_id, *kind)

    cloud.delete = delete_after_the_others  # type: ignore[method-assign]
    report = rollback_cluster(journal, cloud, "c-1")
    assert (report.complete, len(report.deleted), report.problems) == (True, 30, ())


def test_a_cloud_that_is_slow_to_list_is_left_alone_as_long_as_that_took() -> None:
    clock, cloud, journal = dead_create(30)
    cloud.delete_seconds = 100
    list_journal = cloud.list_journal

    def list_slowly(id_: UUID) -> list[Found]:
        clock.sleep(10)
        return list_journal(id_)

    cloud.list_journal = list_slowly  # type: ignore[method-assign]
    assert rollback_cluster(journal, cloud, "c-1").complete
    listings = [call for call, _ in cloud.calls if call == "list_journal"]
    assert len(listings) <= 2 + 100 / 20 + 1
