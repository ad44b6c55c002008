"""The list of all commands says what each is for, and loads none of them."""

import inspect
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points

import pytest

from journal.command_line import main
from journal.command_list import first_line

POINTS = sorted(entry_points(group="provjournal.commands"))


def loaded(*arguments: str) -> set[str]:
    """Run a command in a process of its own, and return what modules are loaded then."""
    program = (
        "import contextlib, io, sys; from journal.command_line import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main({list(arguments)!r})\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["help"], []])
def test_it_loads_no_command_and_nothing_that_one_needs(arguments: list[str]) -> None:
    found = loaded(*arguments)
    assert "journal.command_line" in found
    assert not {point.module for point in POINTS} & found
    assert not {"sqlalchemy", "alembic", "openstack", "keystoneauth1", "tenacity", "jinja2", "psutil"} & found


def test_a_command_that_is_called_loads_no_other() -> None:
    found = loaded("hold", "--help")
    assert {point.module for point in POINTS} & found == {"journal.commands.holds"}


def test_each_command_is_listed_with_the_first_line_of_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    told = {point.name.replace("_", " "): (inspect.getdoc(point.load()) or "").splitlines()[0].rstrip(".") for point in POINTS}
    cliffs = {"help": "print detailed help for another command (cliff)", "complete": "print bash completion command (cliff)"}
    assert all(told.values())
    assert shown == [f"  {name:<13}  {line}" for name, line in sorted((told | cliffs).items())]


def test_of_a_command_without_such_a_source_nothing_is_known_before_it_is_loaded() -> None:
    for value in ("journal.command_list:Missing", "no_such_module:Command", "no_such.module:Command", "sys:Command"):
        assert first_line(EntryPoint("x", value, "provjournal.commands")) is None
