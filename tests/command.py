"""The command line run in this process, for tests of what it prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
HISTORY = GOLDEN / "plans" / "scale-both-ways.jsonl"

Run = Callable[..., tuple[int, str, str]]
"""Runs a command; returns exit code, standard output and standard error."""


def rows(output: str) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON."""
    found: list[dict[str, Any]] = json.loads(output)
    return found
