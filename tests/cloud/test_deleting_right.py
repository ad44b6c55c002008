"""What a real Nova makes of deletes: each is recorded as what it is, and nothing is called deleted that is still there."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import openstack
import pytest
from bench import Bench
from waiting import until

from examples.cloud import local_cloud
from rollback import rollback_cluster
from rollback.compensator import Report


@pytest.fixture
def bench(nova: dict[str, Any], tmp_path: Path) -> Bench:
    return Bench(nova, tmp_path)


def rolled_back(bench: Bench, cluster: str, progress: Callable[[str], None] = lambda _: None, **settings: Any) -> Report:
    """Roll back with other settings than the command has."""
    bench.journal.settings = attrs.evolve(bench.journal.settings, **settings)
    return rollback_cluster(bench.journal, bench.cloud, cluster, progress=progress)


def test_a_locked_server_is_told_as_locked_and_deleted_once_it_is_not(bench: Bench) -> None:
    locked, free = bench.active("locked-1", 2)
    compute = bench.cloud.connection.compute
    compute.lock_server(locked)
    code, rows, said = bench.run("rollback", "locked-1")
    assert (code, {row["Id"]: row["Result"] for row in rows}) == (1, {locked: "not deleted", free: "deleted"})
    why = f"the cloud refused: deleting server {locked}: HTTP 409: Instance {locked} is locked"
    assert f"left to do: server {locked}: not deleted in 3 attempts: {why}" in said
    assert bench.deletes("locked-1", locked) == [("failed", why)] * 3
    assert bench.left & {locked, free} == {locked}
    compute.unlock_server(locked)
    code, rows, _ = bench.run("rollback", "locked-1")
    assert (code, {row["Id"]: row["Result"] for row in rows}) == (0, {locked: "deleted", free: ""})
    assert locked not in bench.left


def test_a_server_that_somebody_else_has_deleted_meanwhile_is_recorded_as_absent(bench: Bench) -> None:
    (server,) = bench.active("deleted-1", 1)

    def delete_it_first(line: str) -> None:
        if line == f"deleting {server}":
            bench.cloud.delete(server)
            until(lambda: bench.cloud.get(server) is None)

    report = rolled_back(bench, "deleted-1", delete_it_first)
    assert (report.complete, report.deleted) == (True, (server,))
    assert bench.deletes("deleted-1", server) == [("absent", "the server was not there")]


def test_a_server_that_goes_to_error_is_not_deleted_until_a_further_delete_has_done_it(bench: Bench) -> None:
    (server,) = bench.active("error-1", 1, metadata={"inject": "destroy_fail"})
    report = rolled_back(bench, "error-1", delete_attempts=1)
    why = "the server went to ERROR while it was deleted"
    assert (report.deleted, report.is_open, str(report.cluster_status)) == ((), True, "Error")
    assert report.problems == (f"server {server}: not deleted in 1 attempts: {why}",)
    found = bench.cloud.get(server)
    assert found is not None
    assert found.status == "ERROR"
    code, rows, _ = bench.run("rollback", "error-1")
    assert (code, [row["Result"] for row in rows]) == (0, ["deleted"])
    assert bench.deletes("error-1", server) == [("failed", why), ("succeeded", None)]
    assert server not in bench.left


def test_a_server_that_stays_deleting_is_told_as_stuck_and_its_delete_ends_once_it_is_gone(bench: Bench) -> None:
    (server,) = bench.active("stuck-1", 1, metadata={"inject": "destroy_slow:6"})
    report = rolled_back(bench, "stuck-1", delete_timeout_seconds=1)
    assert (report.deleted, report.problems) == ((), (f"server {server}: still there 1 s after its delete",))
    found = bench.cloud.get(server)
    assert found is not None
    assert found.is_deleting
    assert bench.deletes("stuck-1", server) == [("unfinished", None)]
    until(lambda: bench.cloud.is_gone(server))
    code, rows, _ = bench.run("rollback", "stuck-1")
    assert (code, [row["Verdict"] for row in rows]) == (0, ["gone"])
    assert bench.deletes("stuck-1", server) == [("absent", "the server is gone")]


def set_termination(nova: dict[str, Any], server_id: str, *, is_disabled: bool) -> None:
    """Set in Nova's own database what its API does not let anybody set."""
    path = Path(nova["clouds_yaml"]).parent / "nova_cell1.db"
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("UPDATE instances SET disable_terminate = ? WHERE uuid = ?", (is_disabled, server_id))


def test_a_delete_that_answers_success_and_does_nothing_is_told_as_what_it_is(nova: dict[str, Any], bench: Bench) -> None:
    (server,) = bench.active("kept-1", 1)
    set_termination(nova, server, is_disabled=True)
    report = rolled_back(bench, "kept-1", delete_timeout_seconds=1)
    assert (report.deleted, report.problems) == ((), (f"server {server}: still there 1 s after its delete",))
    assert (report.is_open, str(report.cluster_status)) == (True, "Error")
    assert bench.deletes("kept-1", server) == [("unfinished", None)]
    assert bench.cloud.is_active(server)
    set_termination(nova, server, is_disabled=False)
    code, rows, _ = bench.run("rollback", "kept-1")
    assert (code, [row["Result"] for row in rows]) == (0, ["deleted"])
    assert bench.deletes("kept-1", server) == [("absent", "the server is gone"), ("succeeded", None)]
    assert server not in bench.left


@pytest.fixture
def reclaiming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A cloud of its own whose deletes are soft."""
    with local_cloud(tmp_path / "cloud", "--hosts", "1", "--reclaim", "86400") as ready:
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", ready["clouds_yaml"])
        bench = Bench(ready, tmp_path)
        yield bench
        bench.cloud.connection.close()


def test_a_soft_delete_is_told_as_one_and_what_is_restored_is_kept_and_told(reclaiming: Bench) -> None:
    bench = reclaiming
    restored, other = bench.active("soft-1", 2)
    code, rows, _ = bench.run("rollback", "soft-1")
    assert (code, {row["Result"] for row in rows}) == (0, {"deleted"})
    found = bench.cloud.get(restored)
    assert found is not None
    assert found.status == "SOFT_DELETED"
    assert bench.deletes("soft-1", restored) == [("succeeded", "soft-deleted: it can still be restored")]
    version = bench.journal.stream("soft-1").version
    assert bench.run("rollback", "soft-1")[0] == 0
    assert bench.journal.stream("soft-1").version == version, "a second one changes nothing"

    with openstack.connect(cloud="demo") as connection:
        connection.compute.restore_server(restored)
    until(lambda: bench.cloud.is_active(restored))
    code, rows, said = bench.run("rollback", "soft-1")
    assert (code, {row["Id"]: (row["Verdict"], row["Action"]) for row in rows}) == (
        0,
        {restored: ("unsafe", "keep"), other: ("gone", "none")},
    )
    assert "it was deleted, yet it is there" in next(row["Because"] for row in rows if row["Id"] == restored)
    assert "nothing deleted, 1 kept as unsafe" in said
    assert bench.cloud.is_active(restored)
