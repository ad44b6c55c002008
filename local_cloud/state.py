"""The directory of one cloud: locked, prepared completely or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from local_cloud.files import write_json
from local_cloud.processes import CloudError
from local_cloud.settings import Settings

FORMAT = 2
"""To be raised when a prepared directory of an older version of this package must not be used any more."""
LOCK = "local_cloud.lock"
PREPARED = "prepared.json"


class State:
    """A directory that holds nothing but one cloud."""

    def __init__(self, directory: Path) -> None:
        """Take the directory, if no other cloud has it. The lock is gone with the process."""
        self.directory = directory
        lock = directory / LOCK
        directory.mkdir(parents=True, exist_ok=True)
        if not lock.exists() and any(directory.iterdir()):
            raise CloudError(f"{directory} is not empty and not of a local cloud")
        self.lock = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"another local cloud is running in {directory}") from None
        for file in (directory / "ready.json", *directory.glob("*.pid")):
            file.unlink(missing_ok=True)

    def prepared_ports(self, settings: Settings) -> dict[str, int] | None:
        """Return the ports of a directory that was prepared completely, for a cloud of this shape."""
        try:
            prepared = json.loads((self.directory / PREPARED).read_text())
        except FileNotFoundError:
            return None
        if prepared["format"] != FORMAT or prepared["shape"] != settings.shape:
            return None
        ports: dict[str, int] = prepared["ports"]
        return ports

    def clear(self) -> None:
        """Throw everything away, the sign of a prepared directory first."""
        (self.directory / PREPARED).unlink(missing_ok=True)
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()

    def set_prepared(self, settings: Settings, ports: Mapping[str, int]) -> None:
        """Say that the next start may use what is here."""
        write_json(self.directory / PREPARED, {"format": FORMAT, "shape": settings.shape, "ports": ports})
