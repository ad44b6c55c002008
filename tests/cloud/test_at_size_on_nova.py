"""A reduced form of `make size`: what is asked of a real Nova grows with servers and pages, not with servers times polls."""

from pathlib import Path
from typing import Any

import pytest
from size.rollback import play

SERVERS = 32
PAGE = 10
SLOW = {"inject": "destroy_slow:4"}
"""Each is polled for several times."""


def test_a_rollback_in_pages_that_is_interrupted_asks_for_no_more_than_it_must(
    nova: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = play(nova, tmp_path, SERVERS, PAGE, progress=lambda _: None, metadata=SLOW)
    with capsys.disabled():
        print(f"\n{SERVERS} servers in pages of {PAGE}\n{result}")
    assert result.breaches == ()
