"""Console blocks of the documentation, run: what a page says that a command prints is what it prints.

    python -m terminal docs/how-to/*.md        (with PYTHONPATH=.:tests) writes what the commands print into the pages

A page's blocks are run in their order, in a folder of their own, on the scene that the page asks for by a comment,
`<!-- scene: NAME -->`; from each such comment on everything begins anew.
"""

import io
import logging
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

import attrs
import pytest
from rich.console import Console
from scenes import SCENES, Scene

from journal.clock import SystemClock
from journal.command_line import main
from journal.journal import Journal
from journal.threads import SystemThreads
from rollback.commands import confirming
from rollback.openstack import OpenStackCloud
from rollback.testing.threads import InlineExecutor

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCENE = re.compile(r"^<!-- scene: (\w+) -->$", re.MULTILINE)
ANYTHING = "…"
"""In shown output: whatever stands there, within its line."""
COMMANDS = {point.name.replace("_", " "): point for point in entry_points(group="provjournal.commands")}
ELSEWHERE = {"git", "pip", "python3", ".", "cd", "make"}
"""Commands that need more than this tree: they are not run."""
ENDLESS = {"--watch", "--follow"}
"""Options of commands that come to no end: they are only parsed."""
HOME = "/home/maria"
"""What the folder is called in what is shown."""
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d{4})?")


@attrs.frozen
class Shown:
    """One command of a page, and what the page says that it prints."""

    command: str
    output: str


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a page that are in this language."""
    return [body for found, body in BLOCK.findall(text) if found == language]


def commands(block: str) -> list[Shown]:
    """Return the commands of a console block."""
    assert block.startswith("$ "), f"a console block starts with a command: {block}"
    parts = (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:])
    return [Shown(command, output) for command, _, output in parts]


def matches(shown: str, printed: str) -> bool:
    """Whether a page says what was printed."""
    return re.fullmatch(".*".join(map(re.escape, shown.split(ANYTHING))), printed) is not None


def played(text: str) -> list[tuple[str, list[str]]]:
    """Return the scenes of a page, each with its console blocks."""
    before, *parts = SCENE.split(text)
    assert not blocks(before, "console"), "a page with console blocks says on which scene they are run"
    return [(name, blocks(part, "console")) for name, part in zip(parts[::2], parts[1::2], strict=True)]


@contextmanager
def terminal(scene: str, folder: Path) -> Iterator["Terminal"]:
    """Set a scene, and yield a terminal on it; no second of its waiting passes."""
    examples = (path for path in (ROOT / "examples").glob("*.jsonl"))
    (folder / "examples").mkdir()
    for path in examples:
        shutil.copy(path, folder / "examples")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "PROVJOURNAL", "CLIFF", "COLUMNS"))}
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = own | {"LOGNAME": "maria", "PATH": programs}
    with pytest.MonkeyPatch.context() as patch, closing(Scene(folder)) as setting:
        patch.setattr(Journal, "conductor", property(lambda journal: journal._conductor or "ops-1:4711"))  # noqa: SLF001 (as in journal.py)
        environment |= SCENES[scene](setting)
        patch.setattr(SystemClock, "sleep", lambda _clock, _seconds: None)
        patch.setattr(SystemThreads, "pool", lambda _threads, _at_once: InlineExecutor())
        patch.setattr(
            confirming, "ERRORS", Console(stderr=True, highlight=False, soft_wrap=True, force_terminal=True, no_color=True)
        )
        patch.setattr(OpenStackCloud, "connect", lambda *_: setting.cloud)
        yield Terminal(folder, environment, setting)


class Person(io.StringIO):
    """Who sits at the terminal, and answers what is asked."""

    def __init__(self, screen: io.TextIOBase, answer: Callable[[], str]) -> None:
        super().__init__()
        self._screen = screen
        self._answer = answer

    def isatty(self) -> bool:
        """Whether somebody is there."""
        return True

    def readline(self, _size: int = -1, /) -> str:
        """Type an answer, which the terminal echoes."""
        answer = self._answer()
        self._screen.write(answer)
        return answer


class Terminal:
    """A shell in a folder. `provjournal` is run in this process, on the cloud of the scene."""

    def __init__(self, folder: Path, environment: dict[str, str], scene: Scene) -> None:
        self.folder = folder
        self.environment = environment
        self.scene = scene
        self.code = 0
        self.answer: Callable[[], str] | None = lambda: "y\n"
        """What the person answers who sits there; None if nobody does."""

    def run(self, command: str) -> str | None:
        """Run one command and return all that it prints; None where it is only checked, as it needs more than this tree."""
        args = shlex.split(command, comments=True)
        if args[0] in ELSEWHERE or args[0].startswith(".venv/"):
            if args[0] == "make":
                check_target(args[1:])
            return None
        if args[0] == "provjournal" and ENDLESS.intersection(args):
            parse(args[1:])
            return None
        return self._run(args, command)

    def _run(self, args: list[str], command: str) -> str:
        match args:
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.environment[name] = value
                return ""
            case ["echo", "$?"]:
                return f"{self.code}\n"
            case ["sqlite3", source, backup] if backup.startswith(".backup "):
                return self._backup(source, backup.split()[1].strip("'"))
            case ["provjournal", *rest] if "|" in rest:
                return self._shell(command.partition("|")[2], self._provjournal(rest[: rest.index("|")]))
            case ["provjournal", *rest]:
                end = rest.index(">") if ">" in rest else len(rest)
                return self._provjournal(rest[:end], *(self.folder / file for file in rest[end + 1 :]))
        return self._shell(command)

    def _provjournal(self, args: list[str], file: Path | None = None) -> str:
        """Run a command and return all that it prints; what goes to standard output only where it goes to no file."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        kept = out if file is None else file.open("w", encoding="utf-8")
        root, before = logging.getLogger(), list(logging.getLogger().handlers)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(kept), redirect_stderr(out):
            patch.chdir(self.folder)
            patch.setattr(os, "environ", self.environment)
            patch.setattr(sys, "stdin", io.StringIO() if self.answer is None else Person(out, self.answer))
            try:
                self.code = main(args)
            except SystemExit as ended:
                self.code = int(ended.code or 0)
            finally:
                for handler in set(root.handlers).difference(before):
                    root.removeHandler(handler)
                if kept is not out:
                    kept.close()
        out.seek(0)
        return out.read().replace(str(self.folder), HOME)

    def _backup(self, source: str, target: str) -> str:
        """Do what the program `sqlite3` would do: it is not everywhere."""
        with closing(sqlite3.connect(self.folder / source)) as old, closing(sqlite3.connect(self.folder / target)) as new:
            old.backup(new)
        return ""

    def _shell(self, command: str, given: str = "") -> str:
        done = subprocess.run(
            ["sh", "-c", command],  # noqa: S607 (the user's shell)
            cwd=self.folder,
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.code = done.returncode
        return done.stdout


def check_target(args: list[str]) -> None:
    """Demand that make knows the target; what else stands there are its variables."""
    for target in (arg for arg in args if "=" not in arg):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"no target {target}"


def parse(args: list[str]) -> None:
    """Demand that a command of `provjournal` takes these arguments."""
    name = max((name for name in COMMANDS if args[: len(name.split())] == name.split()), key=len, default=None)
    assert name is not None, f"no command: {args}"
    COMMANDS[name].load()(None, None).get_parser(name).parse_args(args[len(name.split()) :])


def normalised(printed: str, known: str) -> str:
    """Return what was printed with … for each id and time that is another in each run; `known` has the lasting ones."""

    def is_now(text: str) -> bool:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.now(UTC) - found < timedelta(days=1)

    def tidied(line: str) -> str:
        def hidden(found: re.Match[str]) -> str:
            return ANYTHING.ljust(len(found.group()) if line.startswith("|") else 0)

        line = _UUID.sub(lambda found: found.group() if found.group() in known else hidden(found), line)
        return _TIME.sub(lambda found: hidden(found) if is_now(found.group()) else found.group(), line)

    return "".join(map(tidied, printed.splitlines(keepends=True)))


def known() -> str:
    """Return the text in which the ids stand that are the same in every run."""
    return "".join(path.read_text() for path in [*(ROOT / "examples").glob("*.jsonl"), ROOT / "tests" / "scenes.py"])


def differences(text: str, folder: Callable[[], Path]) -> Iterator[tuple[Shown, str]]:
    """Run the console blocks of a page; yield each command that prints something else than the page says, and what."""
    lasting = known()
    for scene, found in played(text):
        with terminal(scene, folder()) as shell:
            for shown in (shown for block in found for shown in commands(block)):
                printed = shell.run(shown.command)
                if printed is None or matches(shown.output, printed):
                    continue
                tidy = normalised(printed, lasting)
                if not matches(shown.output, tidy):
                    yield shown, tidy


def rewrite(path: Path) -> int:
    """Write what the commands of a page print into it, and return of how many that was new."""
    text = path.read_text()
    with tempfile.TemporaryDirectory() as folder:
        found = list(differences(text, lambda: Path(tempfile.mkdtemp(dir=folder))))
    for shown, printed in found:
        ends = r"(?=\$ |```)"
        pattern = re.compile(re.escape(f"$ {shown.command}\n{shown.output}") + ends)
        text = pattern.sub(lambda _, to=f"$ {shown.command}\n{printed}": to, text, count=1)
    path.write_text(text)
    return len(found)


if __name__ == "__main__":
    for each in map(Path, sys.argv[1:]):
        print(f"{each}: {rewrite(each)} outputs written")
