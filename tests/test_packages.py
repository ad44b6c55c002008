"""What importing costs: pure parts load neither a database library nor a cloud's."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "[name for name in ('sqlalchemy', 'alembic', 'tenacity', 'openstack', 'keystoneauth1', 'opentelemetry', 'cliff')"
    " if name in sys.modules]"
)
PURE = [
    "journal",
    "journal.events",
    "journal.codec",
    "journal.rules",
    "journal.files",
    "journal.store",
    "journal.memory",
    "journal.stream",
    "journal.recorder",
    "journal.journal",
    "journal.verify",
    "projections",
    "projections.fold",
    "projections.verdicts",
    "projections.status",
    "projections.timeline",
    "projections.chart",
    "projections.trace",
    "projections.report",
    "rollback",
    "rollback.plan",
    "rollback.marks",
    "rollback.observe",
    "rollback.deletable",
    "rollback.compensator",
    "rollback.handler",
    "rollback.testing",
    "rollback.testing.cloud",
    "rollback.testing.plugin",
    "rollback.testing.safety",
]


def loaded(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("module", PURE)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert loaded(f"import sys, {module}; print({HEAVY})") == "[]"


def test_who_runs_operations_loads_nothing_that_only_some_of_them_need() -> None:
    rare = "[name for name in ('socket', 'base64', 'concurrent.futures.thread') if name in sys.modules]"
    assert loaded(f"import sys; from journal import Journal, Operation; print({HEAVY} + {rare})") == "[]"


def test_opening_a_journal_that_is_current_loads_no_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    assert loaded(f"import sys; from journal import Journal; Journal.open({url!r}, upgrade=True); print({HEAVY})") != "[]"
    program = f"import sys; from journal import Journal; Journal.open({url!r}); print('alembic' in sys.modules)"
    assert loaded(program) == "False"


def test_replaying_a_file_loads_neither_database_nor_cloud() -> None:
    path = ROOT / "tests" / "golden" / "plans" / "scale-both-ways.jsonl"
    heavy = HEAVY.replace(", 'cliff'", "")
    for option in ("", ", '--plan'"):
        program = f"import sys; from journal.command_line import main; main(['replay', {str(path)!r}{option}]); print({heavy})"
        assert loaded(program) == "[]"


@pytest.mark.parametrize("package", ["journal", "rollback", "rollback.testing"])
def test_every_public_name_is_there(package: str) -> None:
    program = f"import {package}; print([name for name in {package}.__all__ if getattr({package}, name) is None])"
    assert loaded(program) == "[]"
    unknown = subprocess.run(
        [sys.executable, "-c", f"import {package}; {package}.nope"], capture_output=True, text=True, check=False
    )
    assert "AttributeError" in unknown.stderr
