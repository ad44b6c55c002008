"""What README.md shows is true: its commands print what it says, its Python runs, its links lead somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import blocks, check_target, commands, matches

from rollback.commands.rollback import Rollback

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class Terminal:
    """A shell in a folder that has the repository's tests, with nothing but what a README needs."""

    def __init__(self, folder: Path) -> None:
        (folder / "tests").symlink_to(ROOT / "tests")
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "PROVJOURNAL", "CLIFF", "COLUMNS"))}
        self.code = 0

    def run(self, command: str) -> str | None:
        """Run one command and return all that it prints; None where it is only checked, as it needs more than this tree."""
        match command.split():
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.environment[name] = value
                return ""
            case ["echo", "$?"]:
                return f"{self.code}\n"
            case ["make", *args]:
                check_target(args)
                return None
            case ["provjournal", "rollback", *args]:
                Rollback(None, None).get_parser("provjournal rollback").parse_args(args)
                return None
            case ["provjournal", *args]:
                return self._provjournal(args)
        pytest.fail(f"this test does not know how to check: {command}")

    def _provjournal(self, args: list[str]) -> str:
        program = Path(sys.executable).parent / "provjournal"
        done = subprocess.run(
            [program, *args],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.code = done.returncode
        return done.stdout


@pytest.mark.parametrize("block", blocks(README, "console"), ids=lambda block: block.partition("\n")[0])
def test_commands_print_what_the_readme_says(block: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)

    for shown in commands(block):
        printed = terminal.run(shown.command)

        if printed is not None:
            assert matches(shown.output, printed), f"$ {shown.command}\n{printed}"


def names_of_run(block: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a block, and every test in it from the repository's root; yield the names of what it defines."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 (our own README)
    for name, value in names.items():
        if name.startswith("test_") and callable(value):
            value()
        if not name.startswith("__"):
            yield name


@pytest.mark.parametrize("block", blocks(README, "python"), ids=["conductor", "regression test"])
def test_python_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(names_of_run(block, monkeypatch))


def test_there_is_something_to_check() -> None:
    ran = [shown.command.split()[0] for block in blocks(README, "console") for shown in commands(block)]

    assert ran.count("provjournal") >= 8
    assert ran.count("make") == 2
    assert len(blocks(README, "python")) == 2


LONGEST_LINE = 110
"""In characters; only a table's row may be longer, and code and what a command prints, which are as long as they are."""
ROOMS = "journal|projections|rollback|examples|local_cloud|tests|docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    links = [document.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = [ROOT / path for path in re.findall(rf"`((?:{ROOMS})/[\w./-]+)`", text)]

    assert [str(path) for path in (*links, *named) if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_fit_a_terminal(document: Path) -> None:
    text = re.sub(r"```python\n.*?```", lambda code: "\n" * code.group().count("\n"), document.read_text(), flags=re.DOTALL)
    text = re.sub(r"```console\n.*?```", lambda block: only_commands(block.group()), text, flags=re.DOTALL)
    lines = enumerate(text.splitlines(), start=1)

    assert [number for number, line in lines if len(line) > LONGEST_LINE and not line.startswith("|")] == []


def only_commands(block: str) -> str:
    return "\n".join(line if line.startswith("$ ") else "" for line in block.split("\n"))
