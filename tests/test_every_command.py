"""Every command that looks, in every format, on journals of all kinds; and every one on each engine."""

import csv
import io
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import GOLDEN, HISTORY, Run, renamed

from journal.clock import SystemClock
from journal.events import OperationKind
from journal.journal import Journal
from rollback.handler import Handler
from rollback.openstack import OpenStackCloud
from rollback.testing.cloud import SimulatedCloud, SimulatedServer

LISTS = [
    "cluster list",
    "operation list",
    "event list",
    "event list --long",
    "step list",
    "step list --unfinished",
    "server list",
]
OF_ONE = [
    "cluster show c-1",
    "plan show c-1",
    "event show c-1 1",
    "server explain id-w1",
    "diff c-1 1",
    "operation show {operation}",
]
WHOLE = ["journal stats", "health"]
DATA_FORMATS = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "csv": lambda text: list(csv.DictReader(io.StringIO(text))),
}


@pytest.fixture
def many(run: Run, tmp_path: Path) -> Run:
    """A journal of three hundred clusters, and one with two thousand steps."""
    run("journal", "upgrade")
    path = tmp_path / "many.jsonl"
    text = HISTORY.read_text()
    path.write_text("".join(renamed(text, f"c-{number}") for number in range(1, 301)) + long("long", 2000))
    assert run("journal", "import", path)[0] == 0
    return run


def long(cluster: str, steps: int) -> str:
    """A cluster that was configured so many times."""
    first, *_, intent, completion = (json.loads(line) for line in renamed(HISTORY.read_text(), cluster).splitlines()[:9])
    intent["data"]["server_ids"] = []
    lines = [json.dumps(first)]
    for number in range(steps):
        ids = {"id": f"00000000-0000-4000-8000-{2 * number:012x}", "version": 2 * number + 2}
        step = f"00000000-0000-4000-9000-{number:012x}"
        lines.append(json.dumps({**intent, **ids, "data": {**intent["data"], "step": step}}))
        ids = {"id": f"00000000-0000-4000-8000-{2 * number + 1:012x}", "version": 2 * number + 3}
        lines.append(json.dumps({**completion, **ids, "data": {**completion["data"], "step": step}}))
    return "\n".join(lines) + "\n"


def operation_in(run: Run) -> str:
    return str(json.loads(run("operation", "list", "--cluster", "c-1", "--limit", "1", "-f", "json")[1])[0]["Operation"])


def told(run: Run, command: str, form: str) -> Any:
    code, out, err = run(*command.split(), "-f", form)
    assert (code, err.startswith("provjournal:")) == (1 if command == "health" and "c-1" in out else 0, False), err
    return DATA_FORMATS[form](out)


def as_text(value: Any) -> str:
    return "" if value is None else str(value)


def check_formats(run: Run, command: str) -> None:
    """The same is told in each format."""
    as_json = told(run, command, "json")
    assert told(run, command, "yaml") == as_json
    as_rows = as_json if isinstance(as_json, list) else [as_json]
    if isinstance(as_json, list):
        assert told(run, command, "csv") == [{key: as_text(value) for key, value in row.items()} for row in as_rows]
    values = run(*command.split(), "-f", "value")[1]
    table = run(*command.split(), "-f", "table", "--max-width", "0")[1]
    for row in as_rows:
        for value in row.values():
            if isinstance(value, int | str) and "\n" not in str(value) and not is_time(value):
                assert str(value) in table
                assert str(value) in values
    if as_rows and isinstance(as_json, list):
        first = next(iter(as_rows[0]))
        assert [line.strip() for line in run(*command.split(), "-f", "value", "-c", first)[1].splitlines()] == [
            as_text(row[first]) for row in as_rows
        ]


def is_time(value: object) -> bool:
    return isinstance(value, str) and value.endswith("Z") and value[4:5] == "-"


@pytest.mark.parametrize("command", [*LISTS, *WHOLE])
def test_on_an_empty_journal(run: Run, command: str) -> None:
    run("journal", "upgrade")
    check_formats(run, command)


@pytest.mark.parametrize("command", [*LISTS, *OF_ONE, *WHOLE])
def test_on_a_small_journal(filled: Run, command: str) -> None:
    check_formats(filled, command.format(operation=operation_in(filled)))


@pytest.mark.parametrize("history", ["every-event-of-schema-2", "resources-in-service", "every-event-type"])
def test_on_other_histories(run: Run, history: str) -> None:
    path = GOLDEN / "plans" / f"{history}.jsonl"
    if not path.exists():
        pytest.fail(f"{history} is no golden history any more: choose another")
    run("journal", "upgrade")
    assert run("journal", "import", path)[0] == 0
    for command in LISTS:
        check_formats(run, command)


def test_on_a_large_journal_lists_are_pages(many: Run) -> None:
    for command in [*LISTS, *OF_ONE]:
        check_formats(many, command.format(operation=operation_in(many)))
    assert len(told(many, "cluster list --limit 0", "json")) == 301
    assert len(told(many, "event list --cluster long --limit 0", "json")) == 4001
    assert [row["Version"] for row in told(many, "event list --cluster long --limit 3", "json")] == [3999, 4000, 4001]
    assert len(told(many, "step list --cluster long --limit 0", "json")) == 2000


@pytest.mark.parametrize("command", [*LISTS[:3], *OF_ONE[:5]])
def test_on_a_damaged_journal(filled: Run, tmp_path: Path, command: str) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("DROP TRIGGER events_refuse_UPDATE; UPDATE events SET data = '{' WHERE version = 1")
    connection.close()
    for form in (*DATA_FORMATS, "table", "value"):
        if form == "csv" and " show " in command and "plan" not in command:
            continue  # cliff shows one thing in other formats
        code, out, err = filled(*command.split(), "-f", form)
        assert "'c-1', version 1" in err
        if command in LISTS:
            assert (code, "c-1" in out) == (1, False), "it was not named, and there are no others"
            code, out, _ = filled(*command.split(), "--cluster", "c-1", "-f", form)
        assert (code, out) == (2, "")


def test_on_a_journal_of_a_newer_version_of_this_library(filled: Run, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("DROP TRIGGER events_refuse_UPDATE; UPDATE events SET schema = 9 WHERE version = 3")
    connection.close()
    code, _, err = filled("cluster", "show", "c-1")
    assert (code, "version 3" in err, "schema" in err) == (2, True, True)


ENGINES = ["sqlite", "postgresql", "mariadb", "galera"]


@pytest.mark.parametrize("engine", ENGINES)
def test_acting_on_each_engine(
    run: Run, new_database: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str
) -> None:
    monkeypatch.setenv("PROVJOURNAL_URL", new_database(engine)[0])
    cloud = SimulatedCloud(SystemClock())  # type: ignore[arg-type] (its time is that of the journal's database)
    monkeypatch.setattr(OpenStackCloud, "connect", lambda *_: cloud)
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
    assert run("journal", "upgrade")[0] == 0
    with Journal.open(os.environ["PROVJOURNAL_URL"], conductor="dead") as journal:
        for cluster in ("c-1", "c-2", "c-3"):
            op = journal.begin(cluster, OperationKind.CREATE, cloud.name)
            op.create_server("worker", f"{cluster}-w1").run(lambda step: step.created(cloud.create_server(step)))
            op.release()
    assert run("rollback", "c-1", "--dry-run", "--out", tmp_path / "plan.json")[0] == 0
    assert run("rollback", "c-1", "--plan", tmp_path / "plan.json")[0] == 0
    assert [row["Deleted"] for row in json.loads(run("recover", "--yes", "-f", "json")[1])] == [1, 1]
    assert cloud.servers == {}
    assert run("sweep", "--delete", "--yes")[0] == 0
    cloud.servers["old"] = SimulatedServer("old", "old", [], {}, SystemClock().now())
    assert run("adopt", "legacy", "--server", "old", "--reason", "by hand")[0] == 0
    assert json.loads(run("server", "list", "--cluster", "legacy", "-f", "json")[1])[0]["Lifecycle"] == "adopted"
    with Journal.open(os.environ["PROVJOURNAL_URL"]) as journal:
        Handler(journal, cloud, None).delete("c-1", by="user")
    assert run("journal", "archive", "c-1", "-o", tmp_path / "archive")[0] == 0
    assert run("journal", "restored")[0] == 0
    assert run("rollback", "legacy", "--yes")[0] == 3
    assert json.loads(run("journal", "stats", "-f", "json")[1])["clusters"] == 3
    assert run("report", "legacy", "-o", tmp_path / "report.html")[0] == 0
    assert run("journal", "verify")[0] == 0


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_looking_on_each_engine(
    run: Run, new_database: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("PROVJOURNAL_URL", new_database(engine)[0])
    assert run("journal", "upgrade")[0] == 0
    assert run("journal", "import", HISTORY)[0] == 0
    on_server = {
        command: run(*command.format(operation=operation_in(run)).split(), "-f", "json")[1] for command in [*LISTS, *OF_ONE]
    }
    for command in (("timeline", "c-1"), ("event", "tail"), ("journal", "verify"), ("replay", HISTORY), ("journal", "export")):
        code, out, _ = run(*command)
        assert (code, bool(out)) == (0, True), command
    assert run("health", "-f", "value")[0] == 1
    assert run("hold", "c-1", "--reason", "x")[0] == 0
    assert run("release", "c-1", "--reason", "x")[0] == 0
    assert run("resolve", "c-1", "id-g1", "unsafe", "--reason", "x")[0] == 0
    assert run("abandon", "c-1", "--reason", "x", "--yes")[0] == 0
    assert all(json.loads(out) for out in on_server.values())
    assert [row["Version"] for row in json.loads(on_server["event list"])] == list(range(1, 20))


LOOKS_OF_ACTING = [
    "rollback c-1 --dry-run",
    "recover --dry-run",
    "sweep",
    "adopt legacy --server old --dry-run",
    "resolve c-1 id-g1 unsafe --reason x --dry-run",
    "abandon c-1 --reason x --dry-run",
    f"replay {HISTORY}",
    f"replay {HISTORY} --compare {sys.prefix}",
]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> SimulatedCloud:
    """A cloud in which nothing is but one server without marks."""
    cloud = SimulatedCloud(SystemClock(), "RegionOne/5f0c4d")  # type: ignore[arg-type] (its time is that of the journal's database)
    cloud.servers["old"] = SimulatedServer("old", "old", [], {}, SystemClock().now())
    monkeypatch.setattr(OpenStackCloud, "connect", lambda *_: cloud)
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
    return cloud


@pytest.mark.parametrize("command", LOOKS_OF_ACTING)
def test_what_acting_shows_on_a_small_journal(filled: Run, cloud: SimulatedCloud, command: str) -> None:
    before = filled("journal", "export")[1]
    check_formats(filled, command)
    assert filled("journal", "export")[1] == before
    assert cloud.writes == []


@pytest.mark.parametrize("command", LOOKS_OF_ACTING)
def test_what_acting_shows_on_an_empty_journal(run: Run, cloud: SimulatedCloud, command: str) -> None:
    run("journal", "upgrade")
    if " c-1 " in command:
        code, out, err = run(*command.split(), "-f", "json")
        assert (code, out, "There is no cluster 'c-1'" in err) == (2, "", True)
    else:
        check_formats(run, command)


@pytest.mark.parametrize("command", LOOKS_OF_ACTING[:6])
def test_what_acting_shows_on_a_damaged_journal(filled: Run, cloud: SimulatedCloud, tmp_path: Path, command: str) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("DROP TRIGGER events_refuse_UPDATE; UPDATE events SET data = '{' WHERE version = 1")
    connection.close()
    for form in (*DATA_FORMATS, "table", "value"):
        code, out, err = filled(*command.split(), "-f", form)
        if " c-1 " in command:
            assert (code, out, "'c-1', version 1" in err) == (2, "", True)
        elif command.startswith("recover"):
            assert (code, "version 1" in out) == (1, True)
        else:
            assert code == 0, "it has nothing to do with the damaged cluster"
    assert cloud.writes == []


def test_what_acting_shows_on_a_large_journal(many: Run, cloud: SimulatedCloud) -> None:
    assert len(json.loads(many("recover", "--dry-run", "-f", "json")[1])) == 301
    assert len(json.loads(many("rollback", "c-7", "--dry-run", "-f", "json")[1])) == 5
    assert many("sweep", "-f", "json")[0] == 0
