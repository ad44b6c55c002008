"""The virtual environments of the peers, each pinned, made when they are first needed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

PEERS: Final = Path(__file__).parent / "peers"
_PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def environment(name: str, folder: Path, progress: Callable[[str], None]) -> Path:
    """Return the Python of a peer's environment in a folder; it is made again when what is pinned has changed."""
    pinned = (PEERS / name / "requirements.txt").read_text()
    made, stamp = folder / name, folder / name / "pinned.txt"
    python = made / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != pinned:
        progress(f"making the environment of {name}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", made], check=True)
        subprocess.run([python, *_PIP, "--no-deps", "--requirement", PEERS / name / "requirements.txt"], check=True)
        stamp.write_text(pinned)
    return python


def versions(name: str) -> dict[str, str]:
    """Return what is pinned for a peer."""
    lines = (line.split("==") for line in (PEERS / name / "requirements.txt").read_text().splitlines() if "==" in line)
    return {package: version for package, version in lines if package in (name, "psycopg", "SQLAlchemy")}
