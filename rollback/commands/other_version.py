"""Another version of this library: where it is, how it is installed for a while, and how it is asked.

It is asked through its command line alone, `provjournal replay FILE --plan`, in a process of its own.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import msgspec

from journal.command_line import OK, UNREADABLE, CommandError, say
from rollback.compatibility import Outcome, PlanDocument, Refusal

DISTRIBUTION: Final = "provisioning-journal"
_VERSION: Final = re.compile(r"\d[\w.!+-]*")
_PREFIX: Final = "provjournal: "
"""How a line begins in which a command says what is wrong."""
_OURS: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__"})
"""What would lead another Python to this one's modules."""
_DETAILS: Final = 5
"""How many lines of what a failed installation said are shown."""


@attrs.frozen
class OtherVersion:
    """A version that can be asked: its program, and what it is called."""

    program: Path
    name: str

    async def replay(self, file: Path) -> Outcome:
        """Return what it makes of a file. If this is cancelled, its process ends.

        Raises CommandError if it cannot be asked, or answers with what is no plan.
        """
        process = await asyncio.create_subprocess_exec(
            self.program,
            "replay",
            file,
            "--plan",
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == OK:
            return self._plans(out)
        said = _said(err).removeprefix(f"{file}, ")
        return Refusal(said if process.returncode == UNREADABLE else f"it failed with code {process.returncode}: {said}")

    def _plans(self, printed: bytes) -> Outcome:
        try:
            return [msgspec.json.decode(line, type=PlanDocument) for line in printed.splitlines()]
        except msgspec.DecodeError as error:
            msg = f"{self.name}: `provjournal replay --plan` printed what is no plan: {error}"
            raise CommandError(msg) from error


@contextmanager
def other_version(given: str) -> Iterator[OtherVersion]:
    """Yield the version that is meant: that of a virtual environment, of a wheel, or of a number.

    The last two are installed into a temporary virtual environment, which is removed afterwards. Raises CommandError if
    there is no such version, or if it cannot be installed or asked.
    """
    path = Path(given)
    if path.is_dir():
        yield _asked(path / "bin" / "provjournal", given)
    elif path.suffix == ".whl" and path.is_file():
        with _installed(str(path.absolute())) as program:
            yield _asked(program, path.name)
    elif _VERSION.fullmatch(given) and not path.exists():
        with _installed(f"{DISTRIBUTION}=={given}") as program:
            yield _asked(program, given)
    else:
        msg = (
            f"--compare {given}: expected the directory of a virtual environment in which another version is installed, "
            "a wheel file, or the number of a version that pip can install"
        )
        raise CommandError(msg)


def _asked(program: Path, given: str) -> OtherVersion:
    """Make sure that a version can be asked, and return it with what it calls itself."""
    if not program.is_file():
        msg = f"{given} is no virtual environment in which {DISTRIBUTION} is installed: there is no {program}"
        raise CommandError(msg)
    name = _run([str(program), "--version"], f"{program} cannot be run").split()[-1:]
    answer = _run([str(program), "replay", os.devnull, "--plan"], f"{program} has no `replay --plan`")
    if answer.strip():
        msg = f"{program} makes plans of an empty file: {answer[:60]!r}"
        raise CommandError(msg)
    return OtherVersion(program, " ".join((*name, f"({given})")) if name != [given] else given)


@contextmanager
def _installed(what: str) -> Iterator[Path]:
    """Yield the program of what pip installs into a temporary virtual environment."""
    with tempfile.TemporaryDirectory(prefix="provjournal-compare-") as folder:
        say(f"installing {what} into a temporary virtual environment")
        _run([sys.executable, "-m", "venv", folder], "no virtual environment can be made")
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        _run([*pip, what], f"pip cannot install {what}")
        yield Path(folder, "bin", "provjournal")


def _run(command: Sequence[str], otherwise: str) -> str:
    """Return what a program prints. Raises CommandError, which says what is so `otherwise`, and what the program said."""
    try:
        done = subprocess.run(  # noqa: S603 (of an environment that the user named)
            command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        msg = f"{otherwise}: {error.strerror}"
        raise CommandError(msg) from error
    if done.returncode != OK:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CommandError(otherwise, details=lines[-_DETAILS:])
    return done.stdout


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OURS}


def _said(err: bytes) -> str:
    """Return what a command said was wrong."""
    lines = err.decode(errors="replace").strip().splitlines()
    said = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    return (said or lines or ["it said nothing"])[-1]
