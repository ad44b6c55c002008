"""Commands that look: what they tell of clusters, operations, steps, servers and events, now and as it was."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import GOLDEN, HISTORY, Run, renamed, rows

from journal.clock import SystemClock
from journal.commands.options import newest_first
from journal.events import OperationKind
from journal.files import read_file
from journal.journal import Journal
from journal.sql.store import open_store

ROOT = Path(__file__).parent.parent


def column(output: str, name: str) -> list[object]:
    return [row[name] for row in rows(output)]


def imported(run: Run, tmp_path: Path, *names: str) -> None:
    """Import the same history under these names, with ids of its own for each."""
    for name in names:
        path = tmp_path / f"{name}.jsonl"
        path.write_text(renamed(HISTORY.read_text(), name))
        assert run("journal", "import", path)[0] == 0


# As it was


def test_a_cluster_is_shown_as_it_was_at_a_version(filled: Run) -> None:
    past = json.loads(filled("cluster", "show", "c-1", "--at", "11", "-f", "json")[1])
    assert (past["version"], past["status"], past["furthest_stage"]) == (11, "unfinished (create)", "start")
    assert filled("plan", "show", "c-1", "--at", "11", "-f", "json")[1] != filled("plan", "show", "c-1", "-f", "json")[1]
    assert column(filled("plan", "show", "c-1", "--at", "11", "-f", "json")[1], "Verdict") == ["new"] * 3


@pytest.mark.parametrize("at", ["2026-11-23T10:00:11Z", "2026-11-23T11:00:11+01:00", "2026-11-23 10:00:11.9+00:00"])
def test_a_time_means_what_had_been_recorded_by_then(filled: Run, at: str) -> None:
    assert json.loads(filled("cluster", "show", "c-1", "--at", at, "-f", "json")[1])["version"] == 11


def test_at_every_version_replay_says_what_it_said_then(filled: Run, tmp_path: Path) -> None:
    lines = HISTORY.read_text().splitlines(keepends=True)
    for version in range(1, len(lines) + 1):
        cut = tmp_path / "cut.jsonl"
        cut.write_text("".join(lines[:version]))
        assert filled("plan", "show", "c-1", "--at", version, "-f", "json")[1] == filled("replay", cut, "-f", "json")[1]


def test_a_moment_that_never_was_ends_with_2_and_says_what_there_is(filled: Run) -> None:
    assert filled("cluster", "show", "c-1", "--at", "20")[::2] == (
        2,
        "provjournal: Cluster 'c-1' has nothing at version 20: its versions are 1 to 19.\n",
    )
    code, _, err = filled("cluster", "show", "c-1", "--at", "2020-01-01")
    assert (code, "its first event was recorded at 2026-11-23 10:00:01Z" in err) == (2, True)
    code, _, err = filled("cluster", "show", "c-1", "--at", "yesterday")
    assert (code, "'yesterday' is no time; expected one such as" in err) == (2, True)


def test_lists_leave_out_what_did_not_exist_yet_and_refuse_a_version_of_many(filled: Run) -> None:
    assert filled("cluster", "list", "--at", "2020-01-01", "-f", "json")[1].strip() == "[]"
    code, _, err = filled("cluster", "list", "--at", "3")
    assert (code, "--at 3 is a version, and each cluster has its own" in err) == (2, True)
    assert column(filled("server", "list", "--cluster", "c-1", "--at", "3", "-f", "json")[1], "Id") == ["id-w1"]


@pytest.mark.parametrize("command", ["cluster list", "operation list", "step list", "server list", "server explain id-w1"])
def test_a_cluster_that_is_named_and_did_not_exist_yet_is_told(filled: Run, command: str) -> None:
    code, out, err = filled(*command.split(), "--cluster", "c-1", "--at", "2020-01-01")
    assert (code, out, "Cluster 'c-1' has nothing at 2020-01-01" in err) == (2, "", True)


def test_the_cluster_of_a_story_is_a_name_and_no_pattern(filled: Run, tmp_path: Path) -> None:
    imported(filled, tmp_path, "c-*")
    assert set(column(filled("server", "explain", "id-w1", "--cluster", "c-*", "-f", "json")[1], "Cluster")) == {"c-*"}
    told = column(filled("server", "explain", "id-w1", "-f", "json")[1], "Cluster")
    assert (set(told), len(told)) == ({"c-*", "c-1"}, 2 * told.count("c-1"))
    assert filled("server", "explain", "id-w1", "--cluster", "c-?")[0] == 2


def test_what_changed_between_two_points(filled: Run) -> None:
    changed = {
        row["What"]: (row["At version 12"], row["At version 19"]) for row in rows(filled("diff", "c-1", "12", "-f", "json")[1])
    }
    assert changed["status"] == ("Active", "unfinished (scale)")
    assert changed["server w3 (id-w3)"][0].startswith("in_service → keep")
    assert changed["server w3 (id-w3)"][1].startswith("unneeded → delete")
    assert not [what for what in changed if "w1" in what]
    assert filled("diff", "c-1", "12", "12", "-f", "json")[1].strip() == "[]"
    code, _, err = filled("diff", "c-1", "12", "2026-11-23T10:00:12.5Z")
    assert (code, err) == (0, "both are version 12: nothing changed between them\n")
    assert filled("diff", "c-1", "12", "99")[0] == 2


# Clusters, operations, steps


def test_a_cluster_at_a_glance_says_what_to_do_next(filled: Run) -> None:
    shown = json.loads(filled("cluster", "show", "c-1", "-f", "json")[1])
    assert shown["next"] == "look at `provjournal rollback c-1 --dry-run`, then `provjournal rollback c-1`"
    assert shown["unfinished_steps"] == ["delete_server id-w3 (version 16)", "create_server g2 (version 19)"]
    assert shown["resources"][2].startswith("server w3 (id-w3): unneeded → delete")
    filled("hold", "c-1", "--reason", "looking")
    assert "provjournal release c-1" in json.loads(filled("cluster", "show", "c-1", "-f", "json")[1])["next"]


def test_a_running_operation_is_shown_as_running_with_its_lease(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    with Journal.open(f"sqlite:///{tmp_path}/journal.db", conductor="a") as journal:
        op = journal.begin("c-1", OperationKind.CREATE, "RegionOne/1")
        op.create_server("worker", "w1").__enter__()
        (row,) = rows(run("cluster", "list", "-f", "json")[1])
        assert (row["Status"], row["Owner"]) == ("running (create)", "a")
        assert re.fullmatch(r"for (2m|1m\d\ds|1m)", row["Lease"])
        assert "this is what would happen if it died now" in run("plan", "show", "c-1")[2]
        assert column(run("operation", "list", "-f", "json")[1], "Outcome") == ["running"]
        op.release()
    assert rows(run("cluster", "list", "-f", "json")[1])[0]["Status"] == "Error"


def test_operations_are_listed_with_how_they_ended(filled: Run) -> None:
    found = rows(filled("operation", "list", "-f", "json")[1])
    assert [(row["Kind"], row["Outcome"], row["Steps"], row["Unfinished"]) for row in found] == [
        ("create", "succeeded", 5, 0),
        ("scale", "unfinished", 4, 2),
    ]
    assert column(filled("operation", "list", "--unfinished", "-f", "json")[1], "Kind") == ["scale"]
    assert column(filled("operation", "list", "--type", "create", "-f", "json")[1], "Kind") == ["create"]
    shown = json.loads(filled("operation", "show", found[1]["Operation"][:8], "-f", "json")[1])
    assert (shown["victims"], shown["steps"][1]) == (["id-w3"], "16: delete_server id-w3: unfinished")
    assert filled("operation", "show", "ffff")[0] == 2


def test_steps_are_filtered(filled: Run) -> None:
    assert column(filled("step", "list", "--action", "decommission", "-f", "json")[1], "Version") == [14]
    (scale,) = rows(filled("operation", "list", "--type", "scale", "-f", "json")[1])
    assert column(filled("step", "list", "--operation", scale["Operation"][:8], "-f", "json")[1], "Version") == [14, 16, 17, 19]
    assert column(filled("step", "list", "--since", "2026-11-23T10:00:17Z", "-f", "json")[1], "Version") == [17, 19]
    assert column(filled("step", "list", "--unfinished", "--until", "2026-11-23T10:00:16Z", "-f", "json")[1], "Version") == [16]
    assert column(filled("step", "list", "--unfinished", "--at", "17", "--cluster", "c-1", "-f", "json")[1], "Version") == [
        16,
        17,
    ]


def test_clusters_are_chosen_by_pattern_and_cut_by_limit(filled: Run, tmp_path: Path) -> None:
    imported(filled, tmp_path, "prod-1", "prod-2", "test-1")
    assert column(filled("cluster", "list", "--cluster", "prod-*", "-f", "json")[1], "Cluster") == ["prod-1", "prod-2"]
    code, out, err = filled("cluster", "list", "--limit", "2", "-f", "json")
    assert (code, column(out, "Cluster"), err) == (
        0,
        ["c-1", "prod-1"],
        "only the first 2: --limit N shows more, --limit 0 all\n",
    )
    assert len(rows(filled("cluster", "list", "--limit", "0", "-f", "json")[1])) == 4
    assert set(column(filled("step", "list", "--cluster", "test-*", "-f", "json")[1], "Cluster")) == {"test-1"}
    code, _, err = filled("cluster", "show", "prod-3")
    assert (code, "Did you mean prod-2 or prod-1?" in err or "Did you mean prod-1 or prod-2?" in err) == (2, True)


# Servers


def test_servers_are_listed_with_lifecycle_and_verdict(filled: Run) -> None:
    found = [(row["Id"], row["Lifecycle"], row["Verdict"]) for row in rows(filled("server", "list", "-f", "json")[1])[:4]]
    assert found == [
        ("id-w1", "started", "in_service"),
        ("id-w2", "started", "in_service"),
        ("id-w3", "deleting", "unneeded"),
        ("id-g1", "created", "new"),
    ]
    assert column(filled("server", "list", "--action", "delete", "-f", "json")[1], "Id") == ["id-w3", "id-g1"]
    assert column(filled("server", "list", "--verdict", "in_doubt", "-f", "json")[1], "Lifecycle") == ["not known to exist"]


def test_the_story_of_a_server_tells_every_event_that_led_to_its_verdict(filled: Run) -> None:
    told = rows(filled("server", "explain", "id-w3", "-f", "json")[1])
    assert [(row["Version"], row["Evidence"]) for row in told] == [
        *[(1, "*"), (6, "*"), (7, "*"), (8, ""), (9, ""), (10, ""), (11, ""), (12, ""), (13, "*")],
        *[(14, "*"), (15, "*"), (16, ""), (19, "")],
    ]
    assert told[1]["What"] == "create_server of w3 began"
    assert told[-1]["What"] == (
        "server id-w3 of cluster c-1 is unneeded, to delete: it was decommissioned, so the scale-down is finished "
        "(events 1, 6, 7, 13, 14, 15)"
    )
    assert (
        filled("server", "explain", "id-w3", "--cluster", "c-1", "-f", "json")[1]
        == filled("server", "explain", "id-w3", "-f", "json")[1]
    )


def test_a_story_is_found_by_a_name_or_the_beginning_of_an_id(filled: Run) -> None:
    whole = filled("server", "explain", "id-w3", "-f", "json")[1]
    assert filled("server", "explain", "w3", "-f", "json")[1] == whole
    assert filled("server", "explain", "w3", "--cluster", "c-1", "-f", "json")[1] == whole
    in_doubt = rows(filled("server", "explain", "60296798", "-f", "json")[1])
    assert "is in_doubt, to find" in in_doubt[-1]["What"]


def test_times_that_make_no_sense_are_refused(filled: Run) -> None:
    code, _, err = filled("event", "list", "--since", "1h", "--until", "2h")
    assert (code, "is after --until" in err) == (2, True)
    code, _, err = filled("cluster", "show", "c-1", "--at", "2199-01-01")
    assert (code, "2199-01-01 is in the future" in err) == (2, True)


def test_a_create_in_doubt_has_a_story_by_the_id_of_its_step(filled: Run) -> None:
    told = rows(filled("server", "explain", "60296798-b8dc-585f-9155-5c35b542267c", "-f", "json")[1])
    assert "is in_doubt, to find" in told[-1]["What"]


def test_every_resource_of_every_golden_history_has_a_story_with_all_its_evidence(run: Run, tmp_path: Path) -> None:
    from projections.fold import fold  # noqa: PLC0415
    from projections.story import story  # noqa: PLC0415
    from projections.verdicts import verdicts  # noqa: PLC0415

    count = 0
    for path in sorted((GOLDEN / "plans").glob("*.jsonl")):
        streams: dict[str, list[object]] = {}
        for event in read_file(path):
            streams.setdefault(event.stream, []).append(event)
        for events in streams.values():
            for verdict in verdicts(fold(events)):  # type: ignore[arg-type]
                told = story(tuple(events), verdict.id or str(verdict.step))  # type: ignore[arg-type]
                assert told is not None
                assert told.verdict == verdict
                assert {chapter.version for chapter in told.chapters if chapter.is_evidence} == set(verdict.evidence), path
                count += 1
    assert count > 500


def test_a_server_that_nobody_knows_ends_with_2(filled: Run) -> None:
    assert filled("server", "explain", "nope")[::2] == (
        2,
        "provjournal: No cluster knows nope. `provjournal server list` names what each knows.\n",
    )
    assert "Cluster 'c-1' does not know nope." in filled("server", "explain", "nope", "--cluster", "c-1")[2]


# Events


def test_events_of_several_clusters_come_in_the_order_of_time(filled: Run, tmp_path: Path) -> None:
    imported(filled, tmp_path, "c-2")
    found = [(row["Version"], row["Cluster"]) for row in rows(filled("event", "list", "--limit", "4", "-f", "json")[1])]
    assert found == [(18, "c-2"), (18, "c-1"), (19, "c-2"), (19, "c-1")]
    assert column(filled("event", "list", "--cluster", "c-2", "--since", "2026-11-23T10:00:18Z", "-f", "json")[1], "Version") == [
        18,
        19,
    ]


class Skewed(SystemClock):
    """The clock of a writer's machine, which is not that of the database."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


def test_clocks_that_differ_hide_no_event_and_turn_no_order(run: Run, tmp_path: Path) -> None:
    run("journal", "upgrade")
    clock = Skewed()
    with Journal(open_store(f"sqlite:///{tmp_path}/journal.db"), clock=clock) as journal:
        for name in ("fast", "right"):
            journal.begin(name, OperationKind.CREATE, "RegionOne/1").release()
        clock.ahead = timedelta(seconds=25)
        journal.hold("fast", by="x", reason="x")
        clock.ahead = timedelta(0)
        journal.hold("right", by="x", reason="x")
    since = (datetime.now(UTC) + timedelta(seconds=15)).isoformat()
    assert column(run("event", "list", "--since", since, "-f", "json")[1], "Cluster") == ["fast"]
    assert column(run("event", "list", "--limit", "1", "-f", "json")[1], "Cluster") == ["fast"]
    assert run("event", "tail", "-n", "1")[1].split()[2] == "fast"
    assert len(rows(run("event", "list", "--since", "0001-01-01T00:00Z", "-f", "json")[1])) == 4


def test_of_a_stream_no_more_is_read_than_is_asked_for() -> None:
    read: list[int] = []

    class Long:
        """A store with one long stream, which counts what is read of it."""

        def read(self, _: str, *, after: int) -> Iterator[int]:
            for version in range(after + 1, 5001):
                read.append(version)
                yield version

    store: Any = SimpleNamespace(store=Long())
    head: Any = SimpleNamespace(stream="long", version=5000)
    assert next(newest_first(store, head)) == 5000
    assert len(read) <= 20
    read.clear()
    assert list(newest_first(store, head)) == list(range(5000, 0, -1))
    assert sorted(read) == list(range(1, 5001))


def test_an_event_is_shown_as_it_is_stored(filled: Run) -> None:
    shown = json.loads(filled("event", "show", "c-1", "17", "-f", "json")[1])
    stored = list(read_file(HISTORY))[16]
    assert (shown["id"], shown["action"], shown["name"]) == (str(stored.id), "create_server", "g1")
    assert re.fullmatch("[0-9a-f]{64}", shown["hash"])
    code, _, err = filled("event", "show", "c-1", "20")
    assert (code, err) == (2, "provjournal: Cluster 'c-1' has no version 20: its versions are 1 to 19.\n")


def test_the_tail_shows_the_latest_events(filled: Run) -> None:
    lines = filled("event", "tail", "-n", "2", "--utc")[1].splitlines()
    assert lines[1] == "2026-11-23 10:00:19Z  c-1  19  create_server of g2 began"
    assert len(lines) == 2
    exported = filled("journal", "export")[1].splitlines()
    assert filled("event", "tail", "-n", "0", "--json")[1].splitlines() == exported


def test_a_completion_is_told_with_what_its_step_was(filled: Run) -> None:
    (last,) = rows(filled("event", "list", "--type", "completion", "--limit", "1", "-f", "json")[1])
    assert last["What"] == "create_server of g1 succeeded: it made id-g1"
    assert json.loads(filled("event", "show", "c-1", "18", "-f", "json")[1])["what"] == last["What"]
    assert last["What"] in filled("event", "tail", "-n", "2")[1]


def test_the_tail_ends_when_nobody_reads_any_more(filled: Run) -> None:
    program = "import sys; from journal.command_line import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "event", "tail", "-f", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert "create_server of g2 began" in tail.stdout.readline()
        tail.stdout.close()
        assert tail.wait() == 0


def test_the_tail_follows_and_misses_nothing(filled: Run, tmp_path: Path) -> None:
    program = "import sys; from journal.command_line import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "event", "tail", "-f", "-n", "1", "--cluster", "new-*"]
    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.begin("new-0", OperationKind.CREATE, "RegionOne/1")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
            try:
                assert tail.stdout is not None
                assert "new-0  1" in tail.stdout.readline()
                for number in range(1, 4):
                    op = journal.begin(f"new-{number}", OperationKind.CREATE, "RegionOne/1")
                    journal.begin(f"other-{number}", OperationKind.CREATE, "RegionOne/1")
                    op.create_server("worker", "w1").__enter__()
                seen = {" ".join(tail.stdout.readline().split()[2:4]) for _ in range(6)}
                assert seen == {f"new-{number} {version}" for number in range(1, 4) for version in (1, 2)}
                tail.send_signal(signal.SIGINT)
                assert tail.wait() == 130
            finally:
                tail.kill()


# Times


def test_times_are_of_this_machine_unless_utc_is_asked_for(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert "2026-11-23 19:00:19+0900" in filled("cluster", "list")[1]
        assert "2026-11-23 10:00:19Z" in filled("cluster", "list", "--utc")[1]
        assert rows(filled("cluster", "list", "-f", "json")[1])[0]["Changed at"] == "2026-11-23T10:00:19.000Z"
        assert json.loads(filled("cluster", "show", "c-1", "--at", "2026-11-23T19:00:11", "-f", "json")[1])["version"] == 11
    finally:
        monkeypatch.undo()
        time.tzset()


# Without the right to write


@pytest.mark.parametrize("is_open", [True, False], ids=["while a conductor has it open", "while nobody has it open"])
def test_who_looks_needs_no_right_to_write(filled: Run, tmp_path: Path, is_open: bool) -> None:
    with closing(Journal.open(f"sqlite:///{tmp_path}/journal.db")) as journal:
        journal.hold("c-1", by="ops", reason="to have something in the log")
        if not is_open:
            journal.close()
        as_nobody = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        program = "import sys; from journal.command_line import main; sys.exit(main(sys.argv[1:]))"
        mode = tmp_path.stat().st_mode
        for path in tmp_path.iterdir():
            path.chmod(0o444)
        tmp_path.chmod(0o555)
        try:
            for command, code, said in [
                (["cluster", "list", "-f", "json"], 0, '"Version": 20'),
                (["health"], 1, "owner_gone"),
                (["hold", "c-1", "--reason", "x"], 2, "Work as a user who may write the file and its folder."),
            ]:
                done = subprocess.run(
                    [*as_nobody, sys.executable, "-c", program, *command], capture_output=True, text=True, check=False, cwd=ROOT
                )
                assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
                assert "could lose what it has acknowledged" not in done.stderr
        finally:
            tmp_path.chmod(mode)


# What is not there


@pytest.mark.parametrize(
    "command", ["cluster show done", "server explain id-w1 --cluster c-1", "operation show {operation}", "health"]
)
def test_what_is_not_there_is_empty_for_people_and_null_for_programs(filled: Run, tmp_path: Path, command: str) -> None:
    with Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.begin("done", OperationKind.CREATE, "RegionOne/1").succeed()
    (_, scale) = rows(filled("operation", "list", "--cluster", "c-1", "-f", "json")[1])
    command = command.format(operation=scale["Operation"])
    assert "None" not in filled(*command.split())[1]
    assert "None" not in filled(*command.split(), "-f", "value")[1]
    if command != "health":
        assert "null" in filled(*command.split(), "-f", "json")[1]
