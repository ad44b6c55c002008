"""The benchmarks run; what they say of speed is not looked at."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import raw
from benchmarks.contest import Outcome, rotated
from benchmarks.contestants import OURS, RAW
from benchmarks.databases import Sqlite
from benchmarks.measures import MEASURES, Target
from benchmarks.report import put_into, summary
from journal import Journal
from journal.events import OperationKind

ROOT = Path(__file__).parent.parent
BENCH = (sys.executable, "-m", "benchmarks", "--peers", "none", "--engines", "sqlite", "--rounds", "1", "--seconds", "0.05")


ONE_OF_A_KIND = ("steps", "replay", "recovery-1000", "memory-40000", "import")


def test_measures_run_on_sqlite_without_peers(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BENCH, "--only", *ONE_OF_A_KIND, "--scale", "0.005", "--json", tmp_path / "results.json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    measured = {measure["name"]: measure["contestants"] for measure in found["measures"]}
    assert measured.keys() == set(ONE_OF_A_KIND)
    assert [name for name, contestants in measured.items() if not contestants[OURS]["value"]] == []
    one_writer = measured["steps"]
    assert one_writer[RAW]["settings"] == {"synchronous": 2, "journal_mode": "wal"}
    assert {name: round(found["commits"]["transactions"], 1) for name, found in one_writer.items()} == {
        RAW: pytest.approx(2, abs=0.2),
        OURS: pytest.approx(2, abs=0.2),
    }
    assert "durable steps, one writer, SQLite" in done.stdout


def test_the_raw_driver_has_the_columns_and_indexes_of_events(tmp_path: Path) -> None:
    Journal.open(f"sqlite:///{tmp_path}/ours.db", upgrade=True).close()
    raw.tables(f"sqlite:///{tmp_path}/raw.db")()
    ours, theirs = (shape(tmp_path / f"{name}.db") for name in ("ours", "raw"))
    assert theirs == ours


def shape(path: Path) -> tuple[list[tuple[object, ...]], set[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    columns = connection.execute("SELECT name, type, \"notnull\", pk FROM pragma_table_info('events')").fetchall()
    indexes = connection.execute("SELECT name, \"unique\" FROM pragma_index_list('events')").fetchall()
    of = "SELECT name FROM pragma_index_info(?)"
    return columns, {(unique, *(name for (name,) in connection.execute(of, (index,)))) for index, unique in indexes}


def test_the_raw_driver_writes_as_much_as_the_journal(tmp_path: Path) -> None:
    with Journal.open(f"sqlite:///{tmp_path}/ours.db", upgrade=True) as journal:
        operation = journal.begin("c-1", OperationKind.CREATE, "RegionOne/5f0c")
        with operation.create_server("worker", "worker-001") as step:
            step.created("5f0c5f0c-5f0c-4f0c-8f0c-5f0c5f0c5f0c")
    rows = sqlite3.connect(tmp_path / "ours.db").execute("SELECT * FROM events WHERE version > 1 ORDER BY version").fetchall()
    ours, theirs = ([[len(str(value)) for value in row[2:]] for row in rows] for rows in (rows, raw.step_rows()()))
    assert theirs == ours


def test_commits_are_counted_whatever_was_in_the_log_before(tmp_path: Path) -> None:
    place = Sqlite(tmp_path)
    urls = place.fresh()
    raw.tables(urls[0])()
    with place.counting(urls) as commits:
        writer = raw.connect(urls[0])
        for number in range(300):  # more than a thousand pages, after which the log would start anew
            writer.execute(raw.insertion(urls[0]), ("c", number, str(number), "intent", 1, "", 1, None, "x" * 20_000, ""))
        writer.execute("BEGIN")
        writer.execute("DELETE FROM events")
        writer.execute("ROLLBACK")
    assert commits.transactions == 300


def test_each_round_begins_with_another_contestant() -> None:
    assert [rotated("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_a_target_is_met_by_the_middle_of_the_ratios_of_each_round() -> None:
    measure = next(measure for measure in MEASURES if measure.name == "steps")
    outcome = Outcome(measure, "sqlite", (), [{RAW: 10, OURS: 8}, {RAW: 100, OURS: 90}, {RAW: 10, OURS: 9.5}])
    assert "0.90 (0.80" in summary([outcome])
    assert "met" in summary([outcome])
    outcome.rounds[1][OURS] = 80
    assert "missed" in summary([outcome])
    assert not Target(5, is_most=True).is_met(5.1)


def test_results_replace_those_that_a_page_had() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    once = put_into(page, "| new |")
    assert put_into(once, "| new |") == once
    assert once.count("| new |") == 1
    with pytest.raises(ValueError, match="has no"):
        put_into("nothing", "| new |")
