"""Names and reasons are data of others: whatever stands in them, no command lets them steer a terminal or forge a line."""

import json
from pathlib import Path

import pytest
import yaml
from command import Run, rows

from journal.errors import StoreError
from journal.events import OperationKind
from journal.journal import Journal

EVIL = "x\nDelete 0 servers of cluster shop? [y/N] \x1b[2J\x1b[8m\x9b2J\u202e:bomb: [red]m[/red]"
STEERING = ("\x1b", "\x9b", "\u202e", "\r")
CLUSTER = "ev\x1b[2Jil\nforged"

COMMANDS = [
    ("event", "list", "--long"),
    ("event", "show", CLUSTER, "1"),
    ("event", "show", CLUSTER, "3"),
    ("event", "tail", "--utc"),
    ("cluster", "list"),
    ("cluster", "show", CLUSTER),
    ("cluster", "show", f"no{EVIL}"),
    ("operation", "list"),
    ("operation", "show", "no" + EVIL),
    ("step", "list"),
    ("server", "list"),
    ("health",),
    ("plan", "show", CLUSTER),
    ("diff", CLUSTER, "1"),
    ("timeline", CLUSTER),
    ("hold", CLUSTER, "--reason", EVIL),
    ("hold", f"no{EVIL}", "--reason", EVIL),
    ("journal", "verify"),
]


@pytest.fixture
def hostile(run: Run, tmp_path: Path) -> Run:
    """A journal with hostile names and reasons in it, of an operation that nobody is at work on."""
    run("journal", "upgrade")
    with Journal.open(f"sqlite:///{tmp_path}/journal.db", conductor="a") as journal:
        op = journal.begin(CLUSTER, OperationKind.CREATE, "RegionOne/1", request={"x": EVIL})
        op.create_server("g" + EVIL, EVIL).__enter__()
        op.record_error(EVIL)
        op.release()
        journal.hold(CLUSTER, by=EVIL, reason=EVIL)
    return run


def expect_tame(shown: str) -> None:
    assert [char for char in STEERING if char in shown] == []
    assert not any(line.lstrip().startswith(("Delete 0", "forged")) for line in shown.splitlines()), "a forged line"
    assert "\N{BOMB}" not in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_no_command_lets_data_steer_the_terminal(hostile: Run, command: tuple[str, ...]) -> None:
    _, out, err = hostile(*command)
    expect_tame(out + err)


@pytest.mark.parametrize("form", ["table", "value", "csv"])
def test_nor_does_any_format_for_people(hostile: Run, form: str) -> None:
    for command in [command for command in COMMANDS if command[1:2] == ("list",)]:
        code, out, err = hostile(*command, "-f", form)
        assert (code, bool(out)) == (0, True)
        expect_tame(out + err)


@pytest.mark.parametrize("form", ["table", "value", "shell"])
def test_nor_does_one_thing_in_a_format_for_people(hostile: Run, form: str) -> None:
    for command in (("cluster", "show", CLUSTER), ("event", "show", CLUSTER, "1"), ("event", "show", CLUSTER, "2")):
        code, out, err = hostile(*command, "-f", form)
        assert (code, bool(out)) == (0, True)
        expect_tame(out + err)


def test_formats_for_programs_have_the_data_as_it_is_in_escapes(hostile: Run) -> None:
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        out = hostile("cluster", "show", CLUSTER, "-f", form)[1]
        assert [char for char in STEERING if char in out] == []
        assert (read(out)["cluster"], read(out)["hold"]) == (CLUSTER, f"{EVIL}: {EVIL}")
    (row,) = rows(hostile("event", "list", "--long", "--type", "hold_placed", "-f", "json")[1])
    assert row["Data"] == {"by": EVIL, "reason": EVIL}


def test_data_in_a_table_is_json_that_says_all(hostile: Run) -> None:
    out = hostile("event", "show", CLUSTER, "1", "-c", "request")[1]
    (line,) = [line for line in out.splitlines() if "request" in line]
    assert json.loads(line.split("|")[2]) == {"x": EVIL}


def test_a_report_shows_what_steers_as_escapes(hostile: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert hostile("report", CLUSTER, "-o", page)[0] == 0
    text = page.read_text()
    assert [char for char in STEERING if char in text] == []
    assert "\\u202e" in text


def test_what_is_said_and_logged_is_tame(capfd: pytest.CaptureFixture[str]) -> None:
    from journal.command_line import print_error, say  # noqa: PLC0415

    say((f"cluster {EVIL} is held", f"  left to do: {EVIL}"))
    print_error(StoreError(EVIL))
    err = capfd.readouterr().err
    expect_tame(err)
    assert len(err.splitlines()) == 3
    assert err.splitlines()[1].startswith("  left to do: x Delete 0")
