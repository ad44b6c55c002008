"""Files that are complete as soon as they can be seen."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, content: str) -> None:
    """Write a file, or replace it, at once."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(content)
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file at once."""
    write_text(path, json.dumps(content, indent=1) + "\n")
