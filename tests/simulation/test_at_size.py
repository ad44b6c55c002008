"""Ten thousand servers of one cluster: what is asked of the cloud grows with servers, not with servers times polls."""

from collections import Counter

import pytest
from simulated import SimulatedClock, SimulatedCloud, SimulatedThreads

from journal.events import OperationKind
from journal.journal import Journal
from journal.memory import MemoryStore
from rollback.compensator import rollback_cluster
from rollback.progress import Counted

SERVERS = 10_000


@pytest.mark.parametrize("delete_seconds", [0, 15], ids=["gone at once", "gone after a while"])
def test_what_is_asked_of_the_cloud_grows_with_servers_and_listings_do_not(delete_seconds: float) -> None:
    clock = SimulatedClock()
    cloud = SimulatedCloud(clock)
    journal = Journal(MemoryStore(clock.now), conductor="a", clock=clock, threads=SimulatedThreads())
    op = journal.begin("c-1", OperationKind.CREATE, cloud.name)
    steps = [op.create_server("worker", f"w{number}") for number in range(SERVERS)]
    op.run_all(steps, lambda step: step.created(cloud.create_server(step)))
    clock.sleep(300)
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
