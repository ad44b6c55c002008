"""The command line run in this process, for tests of what it prints."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

GOLDEN = Path(__file__).parent / "golden"
HISTORY = GOLDEN / "plans" / "scale-both-ways.jsonl"

Run = Callable[..., tuple[int, str, str]]
"""Runs a command; returns exit code, standard output and standard error."""


def rows(output: str) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON."""
    found: list[dict[str, Any]] = json.loads(output)
    return found


def renamed(history: str, cluster: str) -> str:
    """Return the history of c-1 as one of another cluster, with ids of its own."""
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return re.sub(uuid, lambda id_: str(uuid5(NAMESPACE_URL, cluster + id_[0])), history.replace('"c-1"', f'"{cluster}"'))
