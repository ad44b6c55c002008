"""Power loss under SQLite, simulated: what was written and not synced is dropped, kept in part, or torn.

A writer's system calls are recorded once; the files are then built as a disk could have had them at many moments.
"""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from builders import create_server
from contracts.store import follow
from servers.installed import installed
from servers.process import ServerMissing

from journal.errors import StoreError
from journal.sql.store import open_store
from journal.verify import verify_stream

CUTS = int(os.environ.get("PROVJOURNAL_CUTS", "40"))
"""Moments at which the power fails. `make durability` has more of them."""
APPENDS = 300
"""Enough for the write-ahead log to be merged into the file in between."""
SECTOR = 512
CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync"
CALL = re.compile(
    r'(\w+)\((?:AT_FDCWD<[^>]*>, "([^"]*)"|(\d+)<([^>]*)>)(?:, (?:"([^"]*)", (\d+)(?:, (\d+))?|(\d+)))?[^=]*\) += (\d+)'
)

WRITER = """
import os, sys
from builders import create_server
from contracts.store import begin, follow
from journal.sql.engines import sqlite
from journal.sql.store import open_store
sqlite._PRAGMAS = tuple(pragma.replace("synchronous = FULL", "synchronous = " + sys.argv[2]) for pragma in sqlite._PRAGMAS)
store = open_store(sys.argv[1])
last = begin(store)
for _ in range(int(sys.argv[3])):
    os.write(1, b"%d" % last[-1].version)
    last = follow(store, last, create_server())
os._exit(0)
"""


@attrs.frozen
class Call:
    """One system call: a write or truncation of a file, a file made, a sync, or a version acknowledged."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0


@attrs.frozen
class Recording:
    """What a writer asked of the system, from a folder that was as in `base` on."""

    base: Path
    calls: list[Call]
    seed: int

    def at(self, moment: int, folder: Path) -> int:
        """Make the folder as it may be after power was lost at a moment, and return the last version acknowledged before."""
        chance = random.Random(self.seed + moment)
        past = self.calls[:moment]
        shutil.copytree(self.base, folder)
        for path in {call.path for call in past if call.name in ("write", "truncate", "make")}:
            self._build(past, path, folder / Path(path).name, chance)
        return max((int(call.data) for call in past if call.name == "acknowledge"), default=0)

    def _build(self, past: list[Call], path: str, file: Path, chance: random.Random) -> None:
        folder = str(Path(path).parent)
        made = next((number for number, call in enumerate(past) if (call.name, call.path) == ("make", path)), 0)
        entered = file.exists() or any((call.name, call.path) == ("sync", folder) for call in past[made:])
        if not entered and chance.random() < 0.5:
            return
        synced = max((number for number, call in enumerate(past) if (call.name, call.path) == ("sync", path)), default=-1)
        keeps = chance.choice((0.0, 0.5, 1.0))
        content = bytearray(file.read_bytes() if file.exists() else b"")
        for number, call in enumerate(past):
            if call.path == path and (number < synced or chance.random() < keeps):
                whole = number < synced or chance.random() < 0.5
                data = call.data if whole else call.data[: chance.randrange(len(call.data) + 1) // SECTOR * SECTOR]
                if call.name == "truncate":
                    content = content[: call.offset].ljust(call.offset, b"\0")
                elif call.name == "write":
                    content.extend(bytes(max(0, call.offset - len(content))))
                    content[call.offset : call.offset + len(data)] = data
        file.write_bytes(content)


def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        raise ServerMissing("strace")
    return found


@pytest.fixture
def record(tmp_path: Path) -> Callable[[str], Recording]:
    """Records a writer under an SQLite setting of `synchronous`."""

    def record(synchronous: str) -> Recording:
        used, base, log = tmp_path / "used", tmp_path / "base", tmp_path / "log"
        used.mkdir()
        url = f"sqlite:///{used}/journal.db"
        open_store(url, upgrade=True).close()
        shutil.copytree(used, base)
        writer = [sys.executable, "-c", WRITER, url, synchronous, str(APPENDS)]
        path = os.pathsep.join(sys.path)
        traced = [installed(strace), "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log), *writer]
        subprocess.run(traced, check=True, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
        return Recording(base, list(calls(log, str(used))), random.randrange(10**9))

    return record


def calls(log: Path, folder: str) -> Iterator[Call]:
    for line in log.read_text().splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        name, opened, number, file, data, _, offset, size, _ = match.groups()
        path = text(opened or file)
        if name == "write" and number == "1":
            yield Call("acknowledge", "", raw(data))
        elif not path.startswith(folder) or path.endswith("-shm"):
            continue
        elif name == "openat" and "O_CREAT" in line:
            yield Call("make", path)
        elif name == "pwrite64":
            yield Call("write", path, raw(data), int(offset))
        elif name == "ftruncate":
            yield Call("truncate", path, offset=int(size))
        elif name in ("fsync", "fdatasync"):
            yield Call("sync", path)


def raw(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def text(hexadecimal: str) -> str:
    return raw(hexadecimal).decode()


def lost(recording: Recording, moment: int, folder: Path) -> str | None:
    """Say what of that which was acknowledged is lost at a moment, or None if nothing is and the journal goes on."""
    acknowledged = recording.at(moment, folder)
    try:
        with closing(open_store(f"sqlite:///{folder}/journal.db")) as store:
            heads = list(store.heads())
            found = heads[0].version if heads else 0
            if found < acknowledged:
                return f"{acknowledged} acknowledged, {found} there"
            if heads:
                assert set(verify_stream(store, heads[0])) == {None}
                follow(store, list(store.read("c-1")), create_server())
    except StoreError as error:
        return str(error)
    return None


def test_what_was_acknowledged_survives_a_power_loss_at_any_moment(record: Callable[[str], Recording], tmp_path: Path) -> None:
    recording = record("FULL")
    moments = random.Random(recording.seed).sample(range(len(recording.calls)), CUTS)
    assert {call.name for call in recording.calls} >= {"acknowledge", "make", "write", "sync"}
    merged = [call for call in recording.calls if call.name == "write" and call.path.endswith(".db")]
    assert merged, "the write-ahead log was merged in between"
    for moment in moments:
        assert lost(recording, moment, tmp_path / str(moment)) is None, f"seed {recording.seed}, moment {moment}"


def test_without_a_sync_at_each_commit_acknowledged_events_are_seen_to_be_lost(
    record: Callable[[str], Recording], tmp_path: Path
) -> None:
    recording = record("NORMAL")
    moments = range(0, len(recording.calls), len(recording.calls) // 20)
    assert any(lost(recording, moment, tmp_path / str(moment)) for moment in moments)
