"""What docs/testing/histories.md shows works as it says."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from simulate import planted
from terminal import ROOT, blocks

from rollback.testing import Unsafe, assert_safe, plugin, replay

PAGE = (ROOT / "docs" / "testing" / "histories.md").read_text()
LOADED = any(point.value == plugin.__name__ for point in entry_points(group="pytest11"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of a user who did what the page says."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests" / "histories").mkdir(parents=True)
    (setting,) = blocks(PAGE, "ini")
    (tmp_path / "pytest.ini").write_text(setting)
    building, testing = blocks(PAGE, "python")
    exec(compile(building, "histories.md", "exec"), {})  # noqa: S102 (our own documentation)
    (tmp_path / "tests" / "test_histories.py").write_text(testing)
    return tmp_path


def run(*args: str) -> str:
    options = [] if LOADED else ["-p", plugin.__name__]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def shown(beginning: str) -> str:
    (block,) = (block for block in blocks(PAGE, "text") if block.startswith(beginning))
    return block


def test_the_tests_of_the_page_pass_and_say_what_changed(project: Path) -> None:
    assert "2 failed, 3 passed" in run()
    assert "5 passed" in run("--update-plans")

    golden = project / "tests" / "histories" / "scale.plan.json"
    plan = json.loads(golden.read_text())
    (row,) = (row for row in plan["verdicts"] if row["name"] == "w2")
    row |= {"verdict": "new", "action": "delete", "evidence": [7, 8, 9]}
    row["because"] = "operation scale did not finish, and nothing was put on it"
    golden.write_text(json.dumps(plan))

    said = run()
    assert "2 failed, 3 passed" in said
    assert shown("scale.jsonl does not") in said


def test_what_is_not_safe_is_told_as_the_page_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.configured_servers_deleted(monkeypatch)

    with pytest.raises(Unsafe) as found:
        assert_safe("tests/histories/scale.jsonl")

    assert shown("cluster c-1 is not safe") in str(found.value)
    assert replay("tests/histories/scale.jsonl").history.version == 11
