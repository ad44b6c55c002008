"""The simulated world itself: a sample of its schedules, the same again from the same seed, and what is left of a breach."""

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from simulate.__main__ import main
from simulate.choices import Choices, Replayed, shrunk
from simulate.planted import configured_servers_deleted, index_not_updated
from simulate.world import Outcome, play

SAMPLE = 600
PARTS = 2
ROOT = Path(__file__).parent.parent.parent


def played(seed: str) -> Outcome:
    return play(Choices(Random(seed)))


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_breaches_an_invariant(part: int) -> None:
    seed = time.time_ns() % 10**9
    print(f"seed {seed}")
    for number in range(SAMPLE):
        breaches = played(f"{seed} {number}").breaches
        assert not breaches, f'Choices(Random("{seed} {number}")), part {part}: {breaches}'


def test_a_schedule_is_the_same_from_the_same_seed_and_from_its_choices() -> None:
    for number in range(40):
        first = played(f"again {number}")
        assert played(f"again {number}") == first
        assert play(Replayed(first.made)) == first


def test_choices_are_shrunk_to_those_that_matter() -> None:
    def fails(choices: list[int]) -> list[int] | None:
        return choices if sum(choice == 7 for choice in choices) >= 2 else None

    assert shrunk([1, 7, 0, 3, 7, 5, 7, 0], fails, 200) == [7, 7]


def run_main(patch: pytest.MonkeyPatch, *arguments: str) -> int:
    patch.setattr(sys, "argv", ["simulate", *arguments])
    return main()


def test_a_run_without_breach_ends_with_0_and_tells_what_was_hit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "--schedules", "60", "--seed", "5", "--processes", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert lines[0] == "seed 5"
    assert (summary["seed"], summary["schedules"], summary["breached"]) == (5, 60, {})
    assert "| crash before a call |" in "\n".join(lines)


def test_a_breach_ends_with_1_is_told_in_words_and_leaves_a_test_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        configured_servers_deleted(patch)
        schedules = ("--schedules", "600", "--seed", "7", "--processes", "1", "--tests", str(tmp_path))
        assert run_main(patch, *schedules) == 1
    said = capsys.readouterr().out
    assert "unsafe: vm-" in said
    assert "the operation ended as" in said or "began" in said
    assert json.loads(said.splitlines()[-1])["breached"]
    tests = sorted(tmp_path.glob("test_schedule_*_of_seed_7.py"))
    assert tests
    assert ran(tests[0]) == 0, "without the bug, what it left is a test that passes"
    planted = "from simulate.planted import configured_servers_deleted\n"
    fixture = "\n\n@pytest.fixture(autouse=True)\ndef bug(monkeypatch):\n    configured_servers_deleted(monkeypatch)\n"
    tests[0].write_text(f"{tests[0].read_text()}\nimport pytest\n{planted}{fixture}")
    assert ran(tests[0]) == 1, "with it, it fails"


def ran(test: Path) -> int:
    """Run a test file in a process of its own, and return its exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", f"-c{ROOT}/pyproject.toml"]
    return subprocess.run([*command, str(test)], cwd=ROOT, capture_output=True, check=False).returncode


def test_the_index_of_unfinished_steps_is_looked_at_after_every_append(monkeypatch: pytest.MonkeyPatch) -> None:
    index_not_updated(monkeypatch)
    assert any("the index of unfinished steps" in breach for breach in played("1 1").breaches)
