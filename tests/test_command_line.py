"""The command line as its users meet it: what it prints, its exit codes, and that bad input ends in one clear message."""

import gzip
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from command import GOLDEN, HISTORY, Run, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal.codec import encode_line
from journal.events import Event, OperationKind
from journal.files import read_file
from journal.journal import Journal
from journal.memory import MemoryStore
from journal.sql.store import SqlStore

ROOT = Path(__file__).parent.parent


@pytest.fixture
def deleted(tmp_path: Path) -> Path:
    """The history of a deleted cluster, named `gone`."""
    path = tmp_path / "gone.jsonl"
    text = (GOLDEN / "plans" / "delete-that-took-over-succeeded.jsonl").read_text()
    path.write_text(text.replace('"c-1"', '"gone"'))
    return path


@pytest.mark.parametrize(
    "command", ["cluster list --cluster c-1", "cluster show c-1", "step list --cluster c-1", "plan show c-1"]
)
def test_a_damaged_journal_is_not_interpreted(filled: Run, tmp_path: Path, command: str) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("DROP TRIGGER events_refuse_DELETE; DELETE FROM events WHERE version = 7")
    connection.close()
    code, out, err = filled(*command.split())
    assert (code, out) == (2, "")
    assert "'c-1', version 8" in err
    assert "run `provjournal journal verify`" in err


def test_stats_count_what_there_is(filled: Run) -> None:
    code, out, _ = filled("journal", "stats", "-f", "json")
    found = json.loads(out)
    assert code == 0
    assert found.pop("size_bytes") > 20_000
    assert len(found.pop("journal")) == 36
    assert found == {
        "clusters": 1,
        "archived_clusters": 0,
        "events": 19,
        "unfinished_operations": 1,
        "unfinished_operations_with_a_live_owner": 0,
        "unfinished_steps": 2,
        "oldest_unfinished_step": "2026-11-23T10:00:16Z",
    }


def test_a_deleted_cluster_is_archived_checked_and_brought_back(filled: Run, deleted: Path, tmp_path: Path) -> None:
    run = filled
    run("journal", "import", deleted)
    names = {row["Cluster"] for row in rows(run("cluster", "list", "-f", "json")[1])}
    assert run("journal", "archive", "-o", tmp_path / "archive") == (0, "", ""), "changed a moment ago"
    code, out, _ = run("journal", "archive", "-o", tmp_path / "archive", "--dry-run", "gone")
    assert (code, out) == (0, f"cluster 'gone', {len(list(read_file(deleted)))} events, would be archived\n")
    code, out, err = run("journal", "archive", "-o", tmp_path / "archive", "gone")
    (file,) = (tmp_path / "archive").iterdir()
    assert (code, err) == (0, "")
    assert out.endswith(f"is archived in {file}\n")
    assert {row["Cluster"] for row in rows(run("cluster", "list", "-f", "json")[1])} == names - {"gone"}
    for command in (("cluster", "show", "gone"), ("journal", "export", "gone"), ("plan", "show", "gone")):
        code, _, err = run(*command)
        assert code in (1, 2)
        assert f"is archived in {file}" in err
    assert run("journal", "verify", file)[0] == 0
    assert run("journal", "verify")[0] == 0
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(gzip.decompress(file.read_bytes()).replace(b'"gone"', b'"dead"'))
    assert run("journal", "verify", damaged)[0] == 1
    code, out, err = run("journal", "import", file)
    assert (code, "1 archived cluster brought back" in err) == (0, True)
    assert {row["Cluster"] for row in rows(run("cluster", "list", "-f", "json")[1])} == names
    assert b"".join(encode_line(event) for event in read_file(file)).decode() == run("journal", "export", "gone")[1]


def test_a_cluster_that_is_not_deleted_is_not_archived(filled: Run, tmp_path: Path) -> None:
    (name, *_) = [row["Cluster"] for row in rows(filled("cluster", "list", "-f", "json")[1])]
    code, _, err = filled("journal", "archive", "-o", tmp_path, name)
    assert code == 1
    assert f"cluster {name!r} is kept: " in err


def test_after_a_restore_every_cluster_is_held(filled: Run) -> None:
    with Journal.open(os.environ["PROVJOURNAL_URL"]) as journal:
        journal.begin("c-2", OperationKind.CREATE, "RegionOne/5f0c4d")
    code, _, err = filled("journal", "restored", "--by", "ops")
    clusters = rows(filled("cluster", "list", "-f", "json")[1])
    assert (code, len(clusters)) == (0, 2)
    assert "2 clusters held" in err
    holds = rows(filled("event", "list", "--type", "hold_placed", "--long", "-f", "json")[1])
    assert {row["Cluster"] for row in holds} == {row["Cluster"] for row in clusters}
    assert all("restored from a backup" in str(row["Data"]) for row in holds)


def test_replay_shows_each_vm_with_verdict_action_reason_and_evidence(run: Run) -> None:
    code, out, err = run("replay", HISTORY, "-f", "json")
    assert code == 0
    assert [(row["Name"], row["Verdict"], row["Action"]) for row in rows(out)] == [
        ("w1", "in_service", "keep"),
        ("w2", "in_service", "keep"),
        ("w3", "unneeded", "delete"),
        ("g1", "new", "delete"),
        ("g2", "in_doubt", "find"),
    ]
    assert all(row["Because"] and row["Evidence"] for row in rows(out))
    assert err == "cluster c-1 at version 19: operation scale is unfinished; the cluster becomes Active\n"


def test_quiet_leaves_the_answer_and_the_errors_but_no_notes(run: Run) -> None:
    code, out, err = run("--quiet", "replay", HISTORY, "-f", "json")
    assert (code, len(rows(out)), err) == (0, 5, "")
    code, out, err = run("--quiet", "replay", "nope.jsonl")
    assert (code, out) == (2, "")
    assert "nope.jsonl: cannot be read" in err


def test_the_plan_document_has_the_shape_of_plan_made(run: Run) -> None:
    code, out, _ = run("replay", HISTORY, "--plan")
    assert code == 0
    (document,) = [json.loads(line) for line in out.splitlines()]
    assert set(document) == {"stream", "operation", "version", "verdicts", "cluster_status"}
    assert set(document["verdicts"][0]) == {"server_id", "step", "name", "verdict", "action", "because", "evidence"}
    assert (document["version"], document["cluster_status"]) == (19, "Active")


def test_what_is_logged_with_an_error_is_one_line(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("--journal", "sqlite:///none.db", "journal", "stats")
    try:
        raise RuntimeError("the server said password=hunter2")
    except RuntimeError:
        logging.getLogger("rollback").exception("its record cannot be asked")
    shown = "its record cannot be asked: RuntimeError: the server said password=[redacted]\n"
    assert capfd.readouterr().err == shown


def test_an_empty_file_is_an_empty_journal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    assert run("replay", path, "--plan") == (0, "", "")
    assert run("replay", path, "-f", "json")[:2] == (0, "[]\n")


def test_several_clusters_in_one_file_replay_to_a_plan_each(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    path.write_text(HISTORY.read_text())
    with path.open("a") as more:
        more.write((GOLDEN / "plans" / "create-in-flight.jsonl").read_text().replace('"stream":"c-1"', '"stream":"c-2"'))
    code, out, _ = run("replay", path, "--plan")
    assert (code, [json.loads(line)["stream"] for line in out.splitlines()]) == (0, ["c-1", "c-2"])


@pytest.mark.parametrize("command", [("replay",), ("replay", "--plan"), ("journal", "import")], ids=" ".join)
@pytest.mark.parametrize("path", sorted((GOLDEN / "refused").glob("*.jsonl"))[::17], ids=lambda path: path.stem)
def test_a_malformed_file_ends_with_2_and_one_message_that_names_the_line(run: Run, path: Path, command: tuple[str, ...]) -> None:
    assert run("journal", "upgrade")[0] == 0
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    code, out, err = run(*command, path)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"{path}, line {expected['line']}: " in err
    assert run("cluster", "list", "-f", "json")[1] == "[]\n", "nothing was changed"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=40), at=st.integers(0, 6000))
def test_a_damaged_file_never_ends_in_a_traceback(run: Run, tmp_path: Path, noise: bytes, at: int) -> None:
    text = HISTORY.read_bytes()
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(text[:at] + noise + text[at + len(noise) :])
    code, _, err = run("replay", path)
    assert code in (0, 2)
    assert code == 0 or "line" in err or "cannot be decompressed" in err


def test_what_was_exported_is_imported_again_as_it_was(filled: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert filled("journal", "export", "-o", first)[0] == 0
    other = f"sqlite:///{tmp_path}/other.db"
    assert filled("--journal", other, "journal", "upgrade")[0] == 0
    assert filled("journal", "import", "--journal", other, first)[0] == 0
    assert filled("journal", "export", "--journal", other, "-o", second)[0] == 0
    assert first.read_bytes() == second.read_bytes()
    assert filled("replay", first, "--plan")[1] == filled("replay", HISTORY, "--plan")[1]


def test_importing_again_changes_nothing_and_more_of_it_goes_on(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    part = tmp_path / "part.jsonl"
    part.write_text("".join(HISTORY.read_text().splitlines(keepends=True)[:7]))
    assert run("journal", "import", part)[2].startswith("7 events")
    assert run("journal", "import", HISTORY)[2].startswith("12 events")
    assert run("journal", "import", HISTORY)[2].startswith("0 events")
    assert run("journal", "verify")[0] == 0


def test_another_history_of_the_same_cluster_is_refused_and_changes_nothing(filled: Run) -> None:
    code, _, err = filled("journal", "import", GOLDEN / "plans" / "create-in-flight.jsonl")
    assert code == 2
    assert "Nothing was imported" in err
    assert filled("cluster", "show", "c-1", "-f", "json", "-c", "version")[1] == '{\n  "version": 19\n}\n'


def test_an_event_id_that_the_journal_has_in_another_cluster_is_refused(filled: Run, tmp_path: Path) -> None:
    path = tmp_path / "renamed.jsonl"
    path.write_text(HISTORY.read_text().replace('"stream":"c-1"', '"stream":"c-2"'))
    code, _, err = filled("journal", "import", path)
    assert (code, "already stands in the journal" in err) == (2, True)
    assert [row["Cluster"] for row in rows(filled("cluster", "list", "-f", "json")[1])] == ["c-1"]


def test_looking_at_clusters_steps_events_and_plans(filled: Run) -> None:
    (cluster,) = rows(filled("cluster", "list", "-f", "json")[1])
    assert (cluster["Cluster"], cluster["Status"], cluster["Unfinished steps"], cluster["Version"]) == ("c-1", "Error", 2, 19)
    assert cluster["Verdicts"] == {"in_doubt": 1, "in_service": 2, "new": 1, "unneeded": 1}
    unfinished = rows(filled("step", "list", "--unfinished", "-f", "json")[1])
    assert [(step["Action"], step["Subject"], step["Version"]) for step in unfinished] == [
        ("delete_server", "id-w3", 16),
        ("create_server", "g2", 19),
    ]
    assert len(rows(filled("step", "list", "--cluster", "c-1", "-f", "json")[1])) == 9
    events = rows(filled("event", "list", "--cluster", "c-1", "--type", "operation_started", "-f", "json")[1])
    assert [event["Version"] for event in events] == [1, 13]
    assert [event["Version"] for event in rows(filled("event", "list", "--limit", "2", "-f", "json")[1])] == [18, 19]
    assert filled("plan", "show", "c-1", "-f", "json")[1] == filled("replay", HISTORY, "-f", "json")[1]


def test_a_hold_is_placed_shown_and_released(filled: Run) -> None:
    assert filled("hold", "c-1", "--by", "ops", "--reason", "looking")[0] == 0
    assert json.loads(filled("cluster", "show", "c-1", "-f", "json")[1])["hold"] == "ops: looking"
    assert "a hold stands, placed by ops: nothing is deleted" in filled("plan", "show", "c-1")[2]
    assert filled("release", "c-1", "--by", "ops", "--reason", "done")[0] == 0
    assert json.loads(filled("cluster", "show", "c-1", "-f", "json")[1])["hold"] == ""
    assert filled("hold", "c-9", "--reason", "x")[0] == 2


def test_verify_ends_with_1_and_names_the_damaged_event(filled: Run, tmp_path: Path) -> None:
    assert filled("journal", "verify")[:2] == (0, "19 events of 1 cluster verified, all as they were written\n")
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("DROP TRIGGER events_refuse_UPDATE")
        connection.execute("UPDATE events SET data = replace(data, 'w2', 'w9') WHERE version = 4")
    connection.close()
    code, out, _ = filled("journal", "verify")
    assert code == 1
    assert out.startswith("cluster 'c-1', version 4: hash is ")


@pytest.mark.parametrize(
    "command",
    [
        ("cluster", "show", "c-9"),
        ("plan", "show", "c-9"),
        ("event", "list", "--cluster", "c-9"),
        ("step", "list", "--cluster", "c-9"),
    ],
    ids=" ".join,
)
def test_an_unknown_cluster_ends_with_2(filled: Run, command: tuple[str, ...]) -> None:
    code, out, err = filled(*command)
    assert (code, out) == (2, "")
    assert err == (
        "provjournal: There is no cluster 'c-9' in this journal. `provjournal cluster list` names them all. Did you mean c-1?\n"
    )


def test_without_a_journal_every_command_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "provjournal journal upgrade" in run("cluster", "list")[2]
    monkeypatch.delenv("PROVJOURNAL_URL")
    code, _, err = run("cluster", "list")
    assert (code, err.startswith("provjournal: Which journal? Give --journal URL")) == (2, True)


@pytest.mark.parametrize(
    "args",
    [("nope",), ("cluster", "list", "--nope"), ("event", "list", "--limit", "-1"), ("event", "list", "-c", "Nope")],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(run: Run, args: tuple[str, ...]) -> None:
    try:
        code = run(*args)[0]
    except SystemExit as ended:  # argparse leaves this way
        code = int(str(ended.code))
    assert code == 2


def test_a_rollback_without_any_cloud_says_what_to_do(filled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    code, out, err = filled("rollback", "c-1", "--dry-run")
    assert (code, out) == (2, "")
    assert err.endswith("Name a cloud of clouds.yaml with --cloud or OS_CLOUD.\n")


def damage(tmp_path: Path, *statements: str) -> None:
    """Change the database as somebody with any SQL client can who takes the triggers away first."""
    connection = sqlite3.connect(tmp_path / "journal.db")
    for name in [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_export_that_fails_leaves_the_one_before(filled: Run, tmp_path: Path) -> None:
    backup = tmp_path / "backup.jsonl"
    assert filled("journal", "export", "-o", backup)[0] == 0
    before = backup.read_bytes()
    damage(tmp_path, "UPDATE events SET data = '{}' WHERE version = 7")
    code, _, err = filled("journal", "export", "-o", backup)
    assert (code, "damaged at version 7" in err) == (2, True)
    assert backup.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_an_import_does_not_continue_a_cluster_that_somebody_is_at_work_on(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    with Journal.open(f"sqlite:///{tmp_path}/journal.db", conductor="a") as journal:
        op = journal.begin("c-1", OperationKind.CREATE, "RegionOne/1")
        exported = tmp_path / "exported.jsonl"
        assert run("journal", "export", "-o", exported)[0] == 0
        line = json.loads(exported.read_text())
        more = {
            **{key: line[key] for key in ("stream", "recorded_at", "epoch", "operation", "schema")},
            "version": 2,
            "id": "00000000-0000-4000-8000-000000000002",
            "type": "operation_finished",
            "data": {"outcome": "failed", "cluster_status": "Error", "reason": "said a file"},
        }
        exported.write_text(exported.read_text() + json.dumps(more) + "\n")
        code, _, err = run("journal", "import", exported)
        assert (code, "is owned by a" in err) == (3, True)
        op.record_error("still mine")


def test_a_history_is_imported_whole_or_not_at_all(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("journal", "upgrade")
    commits: list[int] = []
    commit = SqlStore.append

    def counted(self: SqlStore, events: Sequence[Event], **more: Any) -> Any:
        commits.append(len(events))
        return commit(self, events, **more)

    with Journal(MemoryStore(), conductor="a") as journal:
        op = journal.begin("c-1", OperationKind.CREATE, "RegionOne/1")
        for _ in range(2500):
            op.record_error("again")
        path = tmp_path / "long.jsonl"
        path.write_bytes(b"".join(map(encode_line, journal.store.read("c-1"))))
    monkeypatch.setattr(SqlStore, "append", counted)
    assert run("journal", "import", path)[0] == 0
    assert commits == [2501]


UUID4 = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def renamed(text: str, name: str) -> str:
    """Return the history of a cluster as that of another, with ids of its own."""
    bare = re.sub(r',"hash":"[0-9a-f]+"', "", text).replace('"c-1"', f'"{name}"')
    return UUID4.sub(lambda found: str(uuid5(NAMESPACE_URL, name + found.group())), bare)


NONSENSE = {
    "operation = 'nope'": "head",
    "lease_expires_at = 1e300": "head",
    "lease_expires_at = 'soon'": "head",
    "changed_at = 1e15": "head",
    "version = 'abc'": "head",
    "epoch = 7": "epoch 7",
    "operation = NULL": "unfinished operation None",
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_damaged_guard_row_is_named_and_the_others_are_verified_and_held(run: Run, tmp_path: Path, nonsense: str) -> None:
    run("journal", "upgrade")
    for name in ("bad", "good"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(renamed(HISTORY.read_text(), name))
        assert run("journal", "import", path)[0] == 0
    damage(tmp_path, f"UPDATE streams SET {nonsense} WHERE stream_id = 'bad'")  # noqa: S608 (ours)
    code, out, _ = run("journal", "verify")
    assert code == 1
    assert out.startswith("cluster 'bad', version ")
    assert NONSENSE[nonsense] in out
    assert "1 cluster damaged" in out
    code, _, err = run("journal", "restored")
    assert "cluster 'bad' could not be held" in err or code == 0
    assert "held: nothing is deleted" in err
    assert rows(run("event", "list", "--cluster", "good", "--limit", "1", "-f", "json")[1])[0]["Type"] == "hold_placed"


def test_events_without_a_guard_row_are_found(filled: Run, tmp_path: Path) -> None:
    damage(tmp_path, "DELETE FROM streams")
    code, out, _ = filled("journal", "verify")
    assert code == 1
    assert out.startswith("cluster 'c-1', version 1: its events have no head")


def test_guard_rows_are_not_removed(filled: Run, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    with pytest.raises(sqlite3.IntegrityError, match="heads are never removed"):
        connection.execute("DELETE FROM streams")
    connection.close()
    assert filled("journal", "verify")[0] == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM unfinished_steps WHERE subject = 'g2'",
        "UPDATE unfinished_steps SET step = '00000000-0000-4000-8000-000000000002' WHERE subject = 'g2'",
    ],
)
def test_an_index_of_unfinished_steps_that_lies_is_found(filled: Run, tmp_path: Path, statement: str) -> None:
    damage(tmp_path, statement)
    code, out, _ = filled("journal", "verify")
    assert code == 1
    assert out.startswith("cluster 'c-1', version 19: the index of unfinished steps")


def test_data_that_cannot_be_decoded_is_damage_of_its_cluster(filled: Run, tmp_path: Path) -> None:
    deep = "[" * 5000 + "]" * 5000
    for data in (f"'{deep}'", "'{'"):
        damage(tmp_path, f"UPDATE events SET data = {data} WHERE version = 3")  # noqa: S608 (ours)
        code, out, _ = filled("journal", "verify")
        assert (code, out.startswith("cluster 'c-1', version 3: ")) == (1, True)


def test_verify_looks_at_archived_clusters(run: Run, deleted: Path, tmp_path: Path) -> None:
    run("journal", "upgrade")
    run("journal", "import", deleted)
    assert run("journal", "archive", "gone", "-o", tmp_path / "archive")[0] == 0
    code, out, _ = run("journal", "verify")
    assert (code, out) == (
        0,
        "0 events of 0 clusters verified, all as they were written; 1 archived cluster\n",
    )
    (file,) = (tmp_path / "archive").iterdir()
    whole = file.read_bytes()
    file.write_bytes(gzip.compress(b"".join(gzip.decompress(whole).splitlines(keepends=True)[:-1])))
    code, out, _ = run("journal", "verify")
    assert code == 1
    assert out.startswith("cluster 'gone', version ")
    file.unlink()
    code, out, _ = run("journal", "verify")
    assert (code, "1 archived cluster, of which 1 file cannot be found from here" in out) == (0, True)
    file.write_bytes(whole)
    damage(tmp_path, "UPDATE streams SET operation = '00000000-0000-4000-8000-000000000002'")
    assert "is archived with an unfinished operation" in run("journal", "verify")[1]


def test_files_are_verified_one_after_the_other_whatever_they_are_like(filled: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl.gz"
    filled("journal", "export", "-o", good)
    bad.write_bytes(gzip.compress(good.read_bytes())[:-30])
    code, out, _ = filled("journal", "verify", bad, tmp_path / "nowhere", good)
    assert code == 1
    assert "cannot be decompressed" in out
    assert "No such file" in out
    assert f"{good}: 19 events, all as they were written" in out


def test_a_file_says_how_many_of_its_events_have_no_hash_to_check(run: Run, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.jsonl"
    documents = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    stripped.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "hash"}) + "\n" for line in documents))
    assert run("journal", "verify", stripped)[1] == f"{stripped}: 19 events, of which 19 have no hash to check\n"


def test_an_archive_is_verified_up_to_the_event_that_its_name_tells(run: Run, deleted: Path, tmp_path: Path) -> None:
    run("journal", "upgrade")
    run("journal", "import", deleted)
    run("journal", "archive", "gone", "-o", tmp_path / "archive")
    (file,) = (tmp_path / "archive").iterdir()
    assert run("journal", "verify", file)[0] == 0
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[:-1])))
    code, out, _ = run("journal", "verify", file)
    assert code == 1
    assert "its name tells of another end" in out


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_line_without_end_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("journal.files._LONGEST_LINE", 1 << 20)
    path = tmp_path / "endless"
    path.write_bytes(pack(b" " * (2 << 20)))
    code, _, err = run("replay", path)
    assert (code, "a line has more than 1 MiB; no event has" in err) == (2, True)


def test_an_export_to_a_closed_standard_output_says_so(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    code, _, err = filled("journal", "export")
    assert (code, "standard output is closed; name a file with --output" in err) == (2, True)


def test_a_file_that_is_not_there_is_no_damage(run: Run, tmp_path: Path) -> None:
    assert run("journal", "verify", tmp_path / "nope.jsonl")[0] == 2
    (tmp_path / "damaged.gz").write_bytes(b"\x1f\x8bnope")
    assert run("journal", "verify", tmp_path / "nope.jsonl", tmp_path / "damaged.gz")[0] == 1


def test_a_reader_that_goes_away_is_no_problem(filled: Run, tmp_path: Path) -> None:
    program = "import sys; from journal.command_line import main; sys.exit(main(sys.argv[1:]))"
    for command in ("timeline c-1", "event tail -n 0 --json", "journal export", "event list"):
        line = f'{sys.executable} -c "{program}" {command} | true; exit ${{PIPESTATUS[0]}}'
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S607 (the user's)
        assert done.returncode in (0, 128 + signal.SIGPIPE), command
        assert done.stderr == "", command


SECRET = "hunter2supersecret"  # noqa: S105 (ours)
FAILING = """
import logging, sys
from journal.command_line import main
from journal.sql.store import SqlStore

def fail(*_, **__):
    logging.getLogger("openstack").error("it said password=%s", sys.argv[1])
    raise KIND("password=" + sys.argv[1]) from KeyError("adminPass: " + sys.argv[1])

SqlStore.heads = fail
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("kind", ["RuntimeError", "ValueError"])
@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["without debug", "with debug"])
def test_what_nobody_foresaw_is_told_without_its_secrets(filled: Run, tmp_path: Path, debug: list[str], kind: str) -> None:
    del filled
    log = tmp_path / "log.txt"
    args = [*debug, "--log-file", str(log), "cluster", "list"]
    done = subprocess.run(
        [sys.executable, "-c", FAILING.replace("KIND", kind), SECRET, *args], capture_output=True, text=True, check=False
    )
    logged = log.read_text()
    assert (done.returncode, done.stdout) == (1, "")
    assert SECRET not in done.stderr + logged
    assert ("Traceback" in done.stderr) == bool(debug)
    assert "it said password=[redacted]" in done.stderr
    if not debug:
        assert f"provjournal: {kind}: password=[redacted] (--debug shows where it was raised)\n" in done.stderr
    assert ("Traceback" in logged, f"{kind}: password=[redacted]" in logged) == (True, True)
