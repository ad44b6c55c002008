"""The test that docs/testing/incidents.md makes of an incident passes on what its commands export, and can fail."""

from pathlib import Path

import pytest
from terminal import ROOT, blocks, commands, played, terminal

PAGE = (ROOT / "docs" / "testing" / "incidents.md").read_text()


@pytest.fixture
def test_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the commands of the page, stay in the folder where they were run, and return what it says in Python."""
    ((scene, found),) = played(PAGE)
    with terminal(scene, tmp_path) as shell:
        for shown in (shown for block in found for shown in commands(block)):
            shell.run(shown.command)
    monkeypatch.chdir(tmp_path)
    (program,) = blocks(PAGE, "python")
    return program


def run(program: str) -> None:
    names: dict[str, object] = {}
    exec(compile(program, "incidents.md", "exec"), names)  # noqa: S102 (our own documentation)
    (check,) = (value for name, value in names.items() if name.startswith("test_"))
    assert callable(check)
    check()


def test_the_test_passes(test_of_the_page: str) -> None:
    run(test_of_the_page)


def test_the_test_can_fail(test_of_the_page: str) -> None:
    with pytest.raises(AssertionError):
        run(test_of_the_page.replace('"keep"', '"delete"'))
