"""Listings of a real Nova that say less, or more, than they were asked for."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from hostile.proxy import Fault, HostileProxy, Kind

from rollback import Handler, NoRecord, rollback_cluster, sweep


@pytest.fixture
def proxied(nova: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Bench, HostileProxy]]:
    """A bench whose cloud is reached through a proxy whose fault is yet to be said."""
    bench = Bench(nova, tmp_path)
    with HostileProxy(nova["ports"]["compute"]) as proxy, closing(bench.cloud.connection):
        bench.cloud.connection.session.session.proxies = {"http": proxy.url}
        yield bench, proxy


def test_where_the_filter_is_dropped_silently_no_server_of_others_is_judged_or_deleted(
    proxied: tuple[Bench, HostileProxy], nova: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench, proxy = proxied
    own = bench.dead_create("filter-1", 1)
    same_journal = bench.dead_create("filter-2", 1)
    other_journal = Bench(nova, tmp_path_factory.mktemp("other")).dead_create("filter-1", 1)
    compute = bench.cloud.connection.compute
    unmarked = compute.create_server(name="filter-1-w0", image_id=nova["image"], flavor_id=nova["flavor"], networks="none").id
    proxy.fault, proxy.at, proxy.counts = Fault(Kind.UNFILTERED), "tags=", True
    found = sweep(Handler(bench.journal, bench.cloud, NoRecord))
    assert found.marked == 2
    report = rollback_cluster(bench.journal, bench.cloud, "filter-1")
    assert (report.complete, [verdict.id for verdict in report.planned.verdicts]) == (True, own)
    assert report.deleted == tuple(own)
    assert {*same_journal, *other_journal, unmarked} <= bench.left
    assert len([call for call in proxy.calls if "tags=" in call]) >= 2


@pytest.mark.parametrize("at", [1, "tags="], ids=["the first listing", "both listings by tag"])
def test_a_server_that_a_listing_misses_is_found_by_the_next(proxied: tuple[Bench, HostileProxy], at: int | str) -> None:
    bench, proxy = proxied
    server = bench.in_flight("missed-1")
    proxy.fault, proxy.at, proxy.counts = Fault(Kind.SHORTENED), at, True
    report = rollback_cluster(bench.journal, bench.cloud, "missed-1")
    assert "tags=" in proxy.calls[1]
    assert (report.complete, report.deleted) == (True, (server,))
    assert server not in bench.left
