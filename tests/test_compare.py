"""`replay --compare`: what another version makes of histories, asked through its command line; the others are built here."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from command import HISTORY, Run, rows
from histories import history
from waiting import until

from rollback.compatibility import Harm, PlanDocument, PlannedRow, Refusal, changes

ROOT = Path(__file__).parent.parent
PACKAGES = ("journal", "projections", "rollback")
EDITS = {
    # a scale in stage infrastructure: what it made, and nothing was put on, is kept
    "projections/verdicts.py": [
        ('return NEW, DELETE, "operation scale did not finish, and nothing was put on it", ()', 'return UNSAFE, KEEP, "x", ()'),
        # what is left over is deleted
        ('return UNSAFE, KEEP, f"{case.left_over.because}', 'return NEW, DELETE, f"{case.left_over.because}'),
    ],
    # a version may be left out
    "journal/rules.py": [("if event.version != self.version + 1:", "if event.version <= self.version:")],
    # there is no schema 2 yet
    "journal/codec.py": [("known = (1,) if type_ in _OF_SCHEMA_1 else SCHEMAS", "known = (1,)")],
}
"""How the other version differs from this one."""


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def build(folder: Path) -> Path:
    """Return a wheel of this tree with another policy. It finds what it depends on where this Python has it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    for file, edits in EDITS.items():
        text = (folder / file).read_text()
        for before, after in edits:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (folder / file).write_text(text)
    project, _, rest = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")
    project = project.replace('version = "0.1.0"', 'version = "0.0.7"')
    (folder / "pyproject.toml").write_text(f"{project}dependencies = []{rest.partition(']')[2]}")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", folder / "wheels", folder], check=True, capture_output=True, env=clean_environment())
    (wheel,) = (folder / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("present.pth", f"{Path(pytest.__file__).parent.parent}\n")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def other(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the other version."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, env=clean_environment())
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True, env=clean_environment())
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary environments are made; no network is asked for what they need."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def corpus(folder: Path, *names: str, refused: str = "") -> Path:
    (folder / "deeper").mkdir(parents=True)
    for name in names:
        shutil.copy(history("plans", name), folder)
    if refused:
        shutil.copy(history("refused", refused), folder / "deeper")
    return folder


def told(out: str) -> list[tuple[str, ...]]:
    return [(Path(row["File"]).stem, row["Kind"], row["Id"], row["Was"], row["Is"], row["Worse"]) for row in rows(out)]


CHANGED = ("held", "landed-late-and-used", "every-event-of-schema-2", "finished")


def test_each_change_is_shown_and_which_are_worse(run: Run, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # it would lead the other version to this one's modules
    folder = corpus(tmp_path / "corpus", *CHANGED, refused="version-gap")
    code, out, err = run("replay", "--compare", other, folder, "-f", "json")
    assert code == 1
    assert set(told(out)) == {
        ("held", "cluster", "", "Error", "Active", "status"),
        ("held", "server", "id-g1", "unsafe, keep", "new, delete", "deletes"),
        ("landed-late-and-used", "server", "late", "new, delete", "unsafe, keep", None),
        ("every-event-of-schema-2", "file", "", "refused", "replayed", None),
        ("version-gap", "file", "", "replayed", "refused", "refuses"),
    }
    because = {(Path(row["File"]).stem, row["Id"]): row["Because"] for row in rows(out)}
    assert because["held", "id-g1"] == "operation scale did not finish, and nothing was put on it"
    assert because["version-gap", ""].startswith("line ")
    assert "it was refused because: line " in because["every-event-of-schema-2", ""]
    assert [Path(row["File"]).parent.name for row in rows(out) if row["Worse"] == "refuses"] == ["deeper"]
    assert err == f"5 changes from 0.0.7 ({other}) to 0.1.0, in 4 of 5 histories; 3 for the worse\n"


def test_lenient_only_what_is_worse_ends_with_1(run: Run, other: Path) -> None:
    code, out, err = run("replay", "--compare", other, "--lenient", history("plans", "landed-late-and-used"), "-f", "csv")
    assert [row["Is"] for row in csv.DictReader(io.StringIO(out))] == ["unsafe, keep"]
    assert (code, "1 change from 0.0.7" in err, "; 0 for the worse" in err) == (0, True, True)
    code, _, err = run("replay", "--compare", other, "--lenient", history("refused", "version-gap"))
    assert (code, "; 1 for the worse" in err) == (1, True)


def test_where_nothing_changed_there_are_no_rows(run: Run, other: Path) -> None:
    code, out, err = run("replay", "--compare", other, history("plans", "finished"), "-f", "json")
    assert (code, rows(out)) == (0, [])
    assert err == f"nothing changed from 0.0.7 ({other}) to 0.1.0, in 1 history\n"


def test_what_neither_version_replays_is_no_change(run: Run, other: Path, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", "finished", refused="type-unknown")
    code, out, err = run("replay", "--compare", other, folder, "-f", "json")
    assert (code, rows(out)) == (0, [])
    assert "1 of 2 histories cannot be replayed by either version" in err


def test_a_wheel_is_installed_for_a_while(run: Run, wheel: Path, temporary: Path) -> None:
    code, out, err = run("replay", "--compare", wheel, history("plans", "held"), "-f", "json")
    assert (code, len(rows(out))) == (1, 2)
    assert f"installing {wheel} into a temporary virtual environment" in err
    assert f"from 0.0.7 ({wheel.name}) to 0.1.0" in err
    assert list(temporary.iterdir()) == []


def test_a_version_number_is_installed_for_a_while(
    run: Run, wheel: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    code, out, err = run("replay", "--compare", "0.0.7", history("plans", "held"), "-f", "json")
    assert (code, len(rows(out))) == (1, 2)
    assert "2 changes from 0.0.7 to 0.1.0" in err
    code, out, err = run("replay", "--compare", "0.0.8", history("plans", "held"), "-f", "json")
    assert (code, out) == (2, "")
    assert "provjournal: pip cannot install provisioning-journal==0.0.8\n  ERROR: " in err
    assert list(temporary.iterdir()) == []


def stub(folder: Path, answer: str) -> Path:
    """Make a program in the place of `provjournal` that answers as every version does when it is looked at, else so."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "provjournal"
    program.write_text(script(answer))
    program.chmod(0o755)
    return folder


def script(answer: str) -> str:
    return f'#!/bin/sh\ncase "$*" in --version) echo provjournal 9;; *{os.devnull}*) ;; *) {answer};; esac\n'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "expected the directory of a virtual environment"),
        ("1.0/nowhere", "expected the directory of a virtual environment"),
        (ROOT, "is no virtual environment in which provisioning-journal is installed"),
        (HISTORY, "expected the directory of a virtual environment"),
    ],
)
def test_what_is_no_version_is_refused(run: Run, given: object, said: str) -> None:
    code, out, err = run("replay", "--compare", given, HISTORY)
    assert (code, out, said in err) == (2, "", True)


def test_a_version_that_has_no_replay(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "provjournal"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] || { echo "no such command" >&2; exit 2; }\n')
    code, _, err = run("replay", "--compare", tmp_path, HISTORY)
    assert (code, "cannot be run: Permission denied" in err) == (2, True)
    program.chmod(0o755)
    code, _, err = run("replay", "--compare", tmp_path, HISTORY)
    assert (code, "has no `replay --plan`\n  no such command" in err) == (2, True)


def test_a_version_that_prints_what_is_no_plan(run: Run, tmp_path: Path) -> None:
    code, out, err = run("replay", "--compare", stub(tmp_path / "other", "echo '{}'"), HISTORY)
    assert (code, out, "printed what is no plan" in err) == (2, "", True)


def test_a_version_that_fails_at_a_history_does_not_replay_it(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("replay", "--compare", stub(tmp_path / "other", "echo broken >&2; exit 7"), HISTORY, "-f", "json")
    assert (code, told(out)) == (1, [("scale-both-ways", "file", "", "refused", "replayed", None)])
    assert rows(out)[0]["Because"] == "it was refused because: it failed with code 7: broken"


def test_usage(run: Run, other: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for args, said in (
        (("--compare", other, tmp_path / "nowhere.jsonl"), "cannot be read: No such file or directory"),
        (("--compare", other, tmp_path / "empty"), "there is no *.jsonl in this folder, nor below it"),
        (("--compare", other, "--plan", HISTORY), "not allowed with argument"),
        (("--lenient", HISTORY), "give --compare, too"),
        (("--lenient", "--plan", HISTORY), "give --compare, too"),
    ):
        code, out, err = run("replay", *args)
        assert (code, out, said in err) == (2, "", True), err


def test_a_folder_is_replayed_file_by_file(run: Run, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", "finished", "held")
    (folder / "notes.txt").write_text("no history")
    single = [run("replay", history("plans", name), "--plan")[1] for name in ("finished", "held")]
    assert run("replay", folder, "--plan")[:2] == (0, "".join(single))
    tables = [rows(run("replay", history("plans", name), "-f", "json")[1]) for name in ("finished", "held")]
    assert rows(run("replay", folder, "-f", "json")[1]) == [row for table in tables for row in table]


def test_an_interrupt_ends_the_children_and_removes_what_was_installed(tmp_path: Path) -> None:
    told, temporary = tmp_path / "told", tmp_path / "temporary"
    temporary.mkdir()
    wheel = tmp_path / "provisioning_journal-9-py3-none-any.whl"
    info = "provisioning_journal-9.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        entry = zipfile.ZipInfo("provisioning_journal-9.data/scripts/provjournal")
        entry.external_attr = 0o100755 << 16
        file.writestr(entry, script(f"echo $$ > {told}~; mv {told}~ {told}; exec sleep 600"))
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: provisioning-journal\nVersion: 9\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "provisioning_journal-9.data/scripts/provjournal,,\n")
    program = "import sys; from journal.command_line import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "replay", "--compare", wheel, HISTORY]
    environment = {**os.environ, "TMPDIR": str(temporary), "PIP_NO_INDEX": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    until(lambda: told.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    child = int(told.read_text())
    assert list(temporary.iterdir()) != []
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert list(temporary.iterdir()) == []


def row(verdict: str, action: str) -> PlannedRow:
    return PlannedRow(verdict, action, "so it is", "id-1")


ROWS = {
    "deleted": row("new", "delete"),
    "unneeded": row("unneeded", "delete"),
    "unsafe": row("unsafe", "keep"),
    "in service": row("in_service", "keep"),
    "looked for": row("in_doubt", "find"),
    "gone": row("gone", "none"),
    "foreign": row("foreign", "keep"),
    "not listed": None,
}
ACCOUNTED_FOR = ("deleted", "unneeded", "unsafe", "in service", "looked for")
HARMS = {
    **{(was, now): Harm.DELETES for was in ROWS for now in ("deleted", "unneeded") if was not in ("deleted", "unneeded")},
    **{(was, now): Harm.LEAKS for was in ACCOUNTED_FOR for now in ("gone", "foreign", "not listed")},
    **{(was, "in service"): Harm.LEAKS for was in ("deleted", "unneeded")},
}
"""What is worse; everything else is not."""


@pytest.mark.parametrize("was", ROWS)
@pytest.mark.parametrize("now", ROWS)
def test_what_is_worse_for_a_user(was: str, now: str) -> None:
    plans = [[PlanDocument("c-1", "Error", () if ROWS[name] is None else (ROWS[name],))] for name in (was, now)]
    found = list(changes(*plans))
    assert len(found) == (0 if was == now else 1)
    assert [change.harm for change in found if change.harm] == ([HARMS[was, now]] if (was, now) in HARMS else [])


def test_reasons_evidence_and_the_words_of_a_refusal_may_differ() -> None:
    plans = [[PlanDocument("c-1", "Error", (PlannedRow("new", "delete", because, "id-1"),))] for because in ("a", "b")]
    assert list(changes(*plans)) == []
    assert list(changes(Refusal("a"), Refusal("b"))) == []


def test_a_cluster_that_one_version_does_not_tell_of_is_a_change() -> None:
    document = PlanDocument("c-1", "Active", (row("in_service", "keep"),))
    assert [(change.kind, change.was, change.now) for change in changes([document], [])] == [
        ("cluster", "Active", "not listed"),
        ("server", "in_service, keep", "not listed"),
    ]


def test_what_is_told_of_a_plan_document_is_read(run: Run) -> None:
    printed = json.loads(run("replay", history("plans", "every-event-of-schema-2"), "--plan")[1])
    assert {"stream", "cluster_status", "verdicts"} <= printed.keys()
    assert {"verdict", "action", "because", "step", "server_id"} <= printed["verdicts"][0].keys()
    assert any({"kind", "resource_id"} <= row.keys() for row in printed["verdicts"])
