"""The conductor's own records, as another process reaches them: by a command, or by an entry point."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from journal.events import ClusterStatus
from rollback.errors import RecordError
from rollback.records import GROUP, CommandRecord, NoRecord, load_records

ROOT = Path(__file__).parent.parent.parent


def test_a_command_answers_for_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    record = CommandRecord([sys.executable, "-m", "examples.records", str(tmp_path)], "c-1")
    assert not record.exists()
    record.set_status(ClusterStatus.ERROR, "it's; $broken", 7)
    assert record.exists()
    assert (tmp_path / "c-1.json").read_text() == '{"status": "Error", "reason": "it\'s; $broken", "version": 7}\n'


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/no/such/program"], "`/no/such/program exists c-1` cannot be run: .*No such file"),
        (["sh", "-c", "echo no database >&2; exit 1"], "ended with 1, expected 0 or 3: no database"),
        (["sh", "-c", "kill -9 $$"], "ended with -9, expected 0 or 3"),
    ],
)
def test_a_command_that_fails_decides_nothing(command: list[str], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        CommandRecord(command, "c-1").exists()


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollback.records.COMMAND_SECONDS", 0.1)
    with pytest.raises(RecordError, match="timed out"):
        CommandRecord(["sh", "-c", "exec sleep 1000"], "c-1").exists()


def test_telling_must_succeed() -> None:
    with pytest.raises(RecordError, match="`sh -c exit 3 set-status c-1` ended with 3, expected 0"):
        CommandRecord(["sh", "-c", "exit 3"], "c-1").set_status(ClusterStatus.ACTIVE, "", 1)


def test_an_installed_package_offers_records(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = EntryPoints([EntryPoint("none", "rollback.records:NoRecord", GROUP)])
    monkeypatch.setattr("rollback.records.entry_points", lambda group: offered.select(group=group))
    assert load_records("none")("c-1") == NoRecord("c-1")
    with pytest.raises(RecordError, match="No installed package offers records under the name 'sahara'; there are none"):
        load_records("sahara")
