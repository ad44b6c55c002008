"""What machine the figures are of."""

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from benchmarks.environments import versions

PACKAGES: Final = ("attrs", "msgspec", "SQLAlchemy", "psycopg", "PyMySQL")
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def machine(folder: Path) -> dict[str, str]:
    """Describe this machine, with the file system that a folder lies on, as a reader of the figures needs it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "file system": file_system(folder),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
    }


def pins(peers: tuple[str, ...]) -> dict[str, str]:
    """Describe the peers."""
    return {name: ", ".join(f"{package} {number}" for package, number in versions(name).items()) for name in peers}


def processor() -> str:
    """Return the processor's model."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on."""
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype


def warnings(described: dict[str, str]) -> list[str]:
    """Return why figures of this machine say little."""
    found = []
    if described["file system"] in IN_MEMORY:
        found.append(f"databases lie on {described['file system']}, where nothing waits for a disk: set TMPDIR to another folder")
    if float(described["load before"]) > 0.5:  # noqa: PLR2004 (of one core)
        found.append(f"the machine was busy before: load {described['load before']}")
    return found
