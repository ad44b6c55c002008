"""`provjournal rollback` and `provjournal sweep` on a real Nova, as an operator runs them."""

from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from projections.fold import fold


@pytest.fixture
def bench(nova: dict[str, Any], tmp_path: Path) -> Bench:
    return Bench(nova, tmp_path)


def test_what_was_looked_at_is_what_is_done(bench: Bench) -> None:
    kept, *others = bench.dead_create("choice-1", 4)
    code, rows, said = bench.run("rollback", "choice-1", "--dry-run", "--max-deletions", "50%")
    assert (code, len(rows)) == (0, 4)
    assert "a rollback would delete nothing: 4 servers are to be deleted, more than the 2 that --max-deletions 50% allows" in said

    code, rows, said = bench.run("rollback", "choice-1", "--max-deletions", "3")
    assert (code, {row["Result"] for row in rows}) == (3, {"not deleted"})
    assert {kept, *others} <= bench.left

    code, _, said = bench.run("rollback", "choice-1", "--keep", kept, "--dry-run", "--out", "plan.json")
    assert (code, "1 to keep" in said, "3 to delete" in said) == (0, True, True)
    code, rows, said = bench.run("rollback", "choice-1", "--plan", "plan.json")
    assert (code, rows) == (3, [])
    assert f"server {kept}: keep (unsafe) → delete (new)" in said
    assert {kept, *others} <= bench.left

    code, rows, _ = bench.run(
        "rollback", "choice-1", "--plan", "plan.json", "--keep", kept, "--by", "ops", "--reason", "to look at"
    )
    assert (code, {row["Id"]: row["Result"] for row in rows}) == (0, {kept: "kept", **dict.fromkeys(others, "deleted")})
    assert bench.left & {kept, *others} == {kept}

    code, _, said = bench.run("rollback", "choice-1", "--plan", "plan.json", "--keep", kept)
    assert (code, said.count("→ none (gone)")) == (3, 3)


def test_servers_from_before_the_journal_are_adopted_and_marked_again(bench: Bench) -> None:
    (old,) = bench.dead_create("adopt-0", 1)
    compute = bench.cloud.connection.compute
    compute.wait_for_server(compute.get_server(old), interval=0.1, wait=60)
    compute.delete_server_metadata(old)
    for tag in compute.get_server(old).tags:
        compute.remove_tag_from_server(old, tag)
    code, rows, said = bench.run("adopt", "adopt-1", "--server", old, "--dry-run")
    assert (code, rows[0]["Result"], said.splitlines()[-1]) == (0, "adopted", "this was a dry run: nothing was changed")
    code, rows, _ = bench.run("adopt", "adopt-1", "--server", old, "--node-group", "db", "--reason", "made by hand")
    assert (code, rows[0]["Result"]) == (0, "adopted")
    compute.remove_tag_from_server(old, compute.get_server(old).tags[0])
    assert bench.run("adopt", "adopt-1", "--server", old)[1][0]["Result"] == "marked again"
    code, _, said = bench.run("adopt", "adopt-2", "--server", old)
    assert (code, "its marks say that it is another's: cluster 'adopt-1'" in said) == (3, True)
    bench.journal.request_deletion("adopt-1", by="user")
    code, rows, _ = bench.run("rollback", "adopt-1")
    assert (code, [row["Result"] for row in rows]) == (0, ["deleted"])
    assert old not in bench.left


def test_a_sweep_finds_what_landed_late_and_deletes_it_on_request(bench: Bench) -> None:
    late = bench.late("late-1")
    (well,) = bench.dead_create("late-2", 1)
    code, rows, said = bench.run("sweep")
    assert (code, {row["Id"]: row["Verdict"] for row in rows}) == (1, {late: "new", well: ""})
    assert said.endswith("2 resources of this journal, 2 orphans, 0 deleted\n")
    assert {late, well} <= bench.left

    code, rows, _ = bench.run("sweep", "--delete")
    assert (code, {row["Id"]: row["Result"] for row in rows}) == (1, {late: "deleted", well: "still there"})
    assert bench.left & {late, well} == {well}
    assert [str(op.kind) for op in fold(bench.journal.store.read("late-1")).operations.values()] == ["create", "sweep"]

    assert bench.run("recover")[0] == 0
    assert bench.run("sweep") == (0, [], bench.run("sweep")[2])
