"""Power loss under SQLite, simulated: what was written and not synced is dropped, kept in part, or torn.

A writer's system calls are recorded once; the files are then built as a disk could have had them at many moments.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random, randrange

import attrs
import pytest
from builders import create_server
from contracts.store import begin, follow
from servers.installed import installed
from servers.process import ServerMissing

from journal.sql.store import SqlStore, open_store
from journal.verify import verify_stream

CUTS = int(os.environ.get("PROVJOURNAL_CUTS", "40"))
"""Moments at which the power fails. `make durability` has more of them."""
SEED = int(os.environ.get("PROVJOURNAL_SEED") or randrange(10**9))
"""Decides on the moments and on what is left of the files; shown on failure."""
APPENDS = 300
"""Enough for the write-ahead log to be merged into the file in between."""
SECTOR = 512
CALLS = "openat,write,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,fsync,fdatasync,?unlink,unlinkat,?rename,renameat2"
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
    os.write(1, last[-1].hash.encode())
    last = follow(store, last, create_server())
os._exit(0)
"""


@attrs.frozen
class Call:
    """One system call: a write or truncation of a file, a file made, a sync, or an event acknowledged by its hash."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0


@attrs.frozen
class Recording:
    """What a writer asked of the system, from a folder that was as in `base` on."""

    base: Path
    calls: Sequence[Call] = attrs.field(repr=False)

    def acknowledged(self, moment: int) -> list[str]:
        return [call.data.decode() for call in self.calls[:moment] if call.name == "acknowledge"]

    def merging(self) -> list[int]:
        """The moments at which the write-ahead log was being merged into the file."""
        return [number for number, call in enumerate(self.calls) if call.path.endswith(".db") and call.name != "make"]

    def build(self, moment: int, folder: Path) -> None:
        """Make the folder as it may be after power was lost at a moment."""
        chance = Random(SEED + moment)
        past = self.calls[:moment]
        shutil.copytree(self.base, folder)
        for path in sorted({call.path for call in past if call.name in ("write", "truncate", "make")}):
            self._build(past, path, folder / Path(path).name, chance)

    def _build(self, past: Sequence[Call], path: str, file: Path, chance: Random) -> None:
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
                data = call.data if number < synced or chance.random() < 0.5 else torn(call, chance)
                if call.name == "truncate":
                    content = content[: call.offset].ljust(call.offset, b"\0")
                elif data:
                    content.extend(bytes(max(0, call.offset - len(content))))
                    content[call.offset : call.offset + len(data)] = data
        file.write_bytes(content)


def torn(call: Call, chance: Random) -> bytes:
    """Keep what a write put before some sector of the file."""
    boundary = (call.offset + chance.randrange(len(call.data) + 1)) // SECTOR * SECTOR
    return call.data[: max(0, boundary - call.offset)]


def strace() -> str:
    if (found := shutil.which("strace")) is None:
        raise ServerMissing("strace")
    return found


@pytest.fixture
def record(tmp_path: Path) -> Callable[[str], Recording]:
    """Records a writer under an SQLite setting of `synchronous`."""

    def record(synchronous: str) -> Recording:
        print(f"PROVJOURNAL_SEED={SEED}")
        used, base, log = tmp_path / "used", tmp_path / "base", tmp_path / "log"
        used.mkdir()
        url = f"sqlite:///{used}/journal.db"
        open_store(url, upgrade=True).close()
        shutil.copytree(used, base)
        writer = [sys.executable, "-c", WRITER, url, synchronous, str(APPENDS)]
        traced = [installed(strace), "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log), *writer]
        subprocess.run(traced, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.DEVNULL)
        return Recording(base, list(calls(log, str(used))))

    return record


def calls(log: Path, folder: str) -> Iterator[Call]:
    """Yield the calls that matter. One on the folder that this simulation does not know of is an error."""
    ours = "".join(f"\\x{byte:02x}" for byte in folder.encode())
    for call in (line.split(maxsplit=1)[1] for line in log.read_text().splitlines()):  # after the thread's number
        if not call.startswith("write(1<") and (ours not in call or " = -1 " in call or call.startswith("write(2<")):
            continue
        match = CALL.match(call)
        assert match is not None, f"not understood: {call[:300]}"
        name, opened, number, file, data, _, offset, size, done = match.groups()
        path = raw(opened or file).decode()
        if name == "write" and number == "1":
            yield Call("acknowledge", "", raw(data))
        elif path.endswith("-shm") or (name == "openat" and "O_CREAT" not in call):
            continue
        elif name == "openat":
            yield Call("make", path)
        elif name == "pwrite64":
            yield Call("write", path, raw(data)[: int(done)], int(offset))
        elif name == "ftruncate":
            yield Call("truncate", path, offset=int(size))
        else:
            assert name in ("fsync", "fdatasync"), f"not simulated: {call[:300]}"
            yield Call("sync", path)


def raw(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def hashes(store: SqlStore) -> list[str]:
    return [str(document["hash"]) for document in store.documents("c-1")]


def test_what_was_acknowledged_survives_a_power_loss_at_any_moment(record: Callable[[str], Recording], tmp_path: Path) -> None:
    recording, chance = record("FULL"), Random(SEED)
    merging, every = recording.merging(), range(len(recording.calls) + 1)
    assert merging, "the write-ahead log was merged in between"
    for moment in {*chance.sample(merging, min(CUTS // 4, len(merging))), *chance.sample(every, min(CUTS, len(every)))}:
        print(f"moment {moment} of {len(recording.calls)}")
        recording.build(moment, tmp_path / str(moment))
        acknowledged = recording.acknowledged(moment)
        with closing(open_store(f"sqlite:///{tmp_path}/{moment}/journal.db")) as store:
            there = hashes(store)
            assert there[: len(acknowledged)] == acknowledged
            assert len(there) <= len(acknowledged) + 1
            (new,) = follow(store, list(store.read("c-1")), create_server()) if there else begin(store)
            assert hashes(store) == [*there, new.hash]
            (head,) = store.heads()
            assert set(verify_stream(store, head)) == {None}
        with closing(sqlite3.connect(tmp_path / str(moment) / "journal.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_without_a_sync_at_each_commit_acknowledged_events_are_seen_to_be_lost(
    record: Callable[[str], Recording], tmp_path: Path
) -> None:
    recording, lost = record("NORMAL"), 0
    for moment in range(0, len(recording.calls), len(recording.calls) // 20):
        recording.build(moment, tmp_path / str(moment))
        with closing(open_store(f"sqlite:///{tmp_path}/{moment}/journal.db")) as store:
            lost += len(set(recording.acknowledged(moment)) - set(hashes(store)))
    assert lost
