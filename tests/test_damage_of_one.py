"""A journal of which one cluster is damaged: the others are shown all the same, and the damage is told."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command import HISTORY, Run, renamed, rows

from journal.journal import Journal

LISTS = [
    "cluster list",
    "operation list",
    "event list",
    "step list",
    "step list --unfinished --cluster *",
    "server list",
]
EVENT = "UPDATE events SET data = '{' WHERE stream_id = 'bad' AND version = 19"
HEAD = "UPDATE streams SET version = 'abc' WHERE stream_id = 'bad'"


@pytest.fixture
def three(run: Run, tmp_path: Path) -> Run:
    """A journal of the clusters `also`, `bad` and `good`."""
    run("journal", "upgrade")
    for name in ("also", "bad", "good"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(renamed(HISTORY.read_text(), name))
        assert run("journal", "import", path)[0] == 0
    return run


def damage(tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("statement", [EVENT, HEAD], ids=["an event", "the guard row"])
@pytest.mark.parametrize("command", LISTS)
def test_lists_show_the_others_and_end_with_1(three: Run, tmp_path: Path, command: str, statement: str) -> None:
    damage(tmp_path, statement)
    code, out, err = three(*command.split(), "--limit", "0", "-f", "json")
    if statement is EVENT and "--unfinished" in command:
        assert (code, err) == (0, ""), "no history is read for it"
    else:
        assert (code, err.count("'bad'"), err.count("\n")) == (1, 1, 1)
        assert err.startswith("provjournal: Cluster 'bad'")
        assert {row["Cluster"] for row in rows(out)} == {"also", "good"}
    code, out, err = three(*command.removesuffix(" --cluster *").split(), "--cluster", "g*", "-f", "json")
    assert (code, err) == (0, ""), "nobody asked for it"
    assert {row["Cluster"] for row in rows(out)} == {"good"}


@pytest.mark.parametrize("statement", [EVENT, HEAD], ids=["an event", "the guard row"])
@pytest.mark.parametrize("command", ["cluster list", "operation list", "event list", "server list"])
def test_a_damaged_cluster_that_is_named_is_refused(three: Run, tmp_path: Path, command: str, statement: str) -> None:
    damage(tmp_path, statement)
    code, out, err = three(*command.split(), "--cluster", "bad")
    assert (code, out) == (2, "")
    assert err.startswith("provjournal: Cluster 'bad'")


@pytest.mark.parametrize("statement", [EVENT, HEAD], ids=["an event", "the guard row"])
def test_the_tail_shows_the_others(three: Run, tmp_path: Path, statement: str) -> None:
    damage(tmp_path, statement)
    code, out, err = three("event", "tail", "-n", "0")
    assert (code, len(out.splitlines()), err.count("'bad'")) == (1, 38, 1)


@pytest.mark.parametrize("statement", [EVENT, HEAD], ids=["an event", "the guard row"])
def test_one_operation_and_one_server_are_found_among_the_others(three: Run, tmp_path: Path, statement: str) -> None:
    (operation, _) = rows(three("operation", "list", "--cluster", "good", "-f", "json")[1])
    damage(tmp_path, statement)
    code, out, err = three("operation", "show", operation["Operation"], "-f", "json")
    assert (code, json.loads(out)["cluster"], err.count("'bad'")) == (1, "good", 1)
    code, out, err = three("server", "explain", "id-w1", "-f", "json")
    assert (code, {row["Cluster"] for row in rows(out)}, err.count("'bad'")) == (1, {"also", "good"}, 1)
    assert three("server", "explain", "id-w1", "--cluster", "good")[0] == 0
    assert three("server", "explain", "id-w1", "--cluster", "bad")[0] == 2


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("statement", [EVENT, HEAD], ids=["an event", "the guard row"])
def test_health_tells_damage_wherever_it_is(three: Run, tmp_path: Path, statement: str, settled: bool) -> None:
    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        for head in list(journal.store.heads()):
            journal.abandon(head.stream, head.operation, by="x", reason="x")
            if settled:
                now = journal.store.head(head.stream)
                assert now is not None
                journal.store.settle(head.stream, now.version)
    damage(tmp_path, statement)
    code, out, _ = three("health", "-f", "json")
    assert (code, sorted((row["Problem"], row["Cluster"]) for row in rows(out))) == (
        1,
        [("damaged", "bad"), ("undecided", "also"), ("undecided", "good")],
    )
    code, out, _ = three("health", "--prometheus")
    assert (code, 'provjournal_problems{problem="damaged"} 1.0' in out.splitlines()) == (1, True)


def test_stats_count_the_others(three: Run, tmp_path: Path) -> None:
    damage(tmp_path, HEAD)
    code, out, err = three("journal", "stats", "-f", "json")
    assert (code, json.loads(out)["clusters"], err.count("'bad'")) == (1, 2, 1)
