"""A short soak; `make soak` is the long one, on every engine."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from soak.__main__ import Wanted, soak


def test_conductors_that_are_killed_and_stopped_leave_nothing_in_between(
    nova: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print()
        assert soak("sqlite", secrets.randbelow(10**6), Wanted(operations=10, kills=5, pauses=3, takeovers=2), 8, nova, tmp_path)
