"""The golden histories: where they are, and how to read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def named(folder: str) -> list[str]:
    """Return the names of the golden histories of a folder."""
    return sorted(path.stem for path in (GOLDEN / folder).glob("*.jsonl"))


def history(folder: str, name: str) -> Path:
    """Return the file of one golden history."""
    return GOLDEN / folder / f"{name}.jsonl"


def lines(folder: str, name: str) -> list[bytes]:
    """Return the lines of one golden history, with their line feeds."""
    with history(folder, name).open("rb") as file:
        return list(file)


def expected(folder: str, name: str) -> dict[str, Any]:
    """Return what one golden history must come to."""
    return json.loads((GOLDEN / folder / f"{name}.expected.json").read_bytes())


def documents(folder: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each golden history of a folder of readable histories: its name, and its lines as JSON."""
    for name in named(folder):
        yield name, [json.loads(line) for line in lines(folder, name)]
