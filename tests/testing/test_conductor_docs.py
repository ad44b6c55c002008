"""The examples of docs/testing/your-conductor.md run, and what fails there fails as the page says."""

import re
from typing import Any

import pytest
from terminal import ROOT, blocks

from rollback.testing import Breach

PAGE = (ROOT / "docs" / "testing" / "your-conductor.md").read_text()
FAILS = "test_hasty_scale_survives_any_crash"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples define."""
    found: dict[str, Any] = {}
    for block in blocks(PAGE, "python"):
        exec(compile(block, "your-conductor.md", "exec"), found)  # noqa: S102 (our own documentation)
    return found


@pytest.mark.parametrize("test", re.findall(r"^def (test_\w+)", PAGE, re.MULTILINE))
def test_the_examples_run(test: str, names: dict[str, Any]) -> None:
    if test != FAILS:
        names[test]()


def test_what_fails_is_told_as_the_page_says(names: dict[str, Any]) -> None:
    with pytest.raises(Breach) as breach:
        names[FAILS]()
    (shown,) = blocks(PAGE, "text")
    assert str(breach.value) == shown.rstrip("\n")
