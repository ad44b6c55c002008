"""Moving finished streams of deleted clusters out of the journal, each into a file of its own.

The file is written and synced, read again and checked, and only then are the events removed; killed anywhere, it is done
again, or goes on. One stream at a time is looked at, and of that one event at a time.
"""

import gzip
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from journal.codec import encode_line
from journal.errors import BrokenChain
from journal.events import ClusterStatus, Event, HoldPlaced, HoldReleased, OperationFinished
from journal.files import read_file
from journal.store import EventStore, Head
from journal.verify import checked

NAME_LENGTH: Final = 100
"""Characters of a cluster's name in the name of its file."""


def reason_to_keep(store: EventStore, head: Head, quiet: timedelta = timedelta(0)) -> str | None:
    """Return why a stream is not to be archived, or None if it is. Reads its history only if it may have to go.

    `quiet` is how long nothing may have been appended: by the guard row, and by the last event where that row was last
    changed by a version of this library that did not note the time.
    """
    if head.read_at - head.changed_at < quiet:
        return f"changed less than {quiet.days} days ago"
    if head.owner_alive:
        return f"owned by {head.owner}"
    if head.operation is not None:
        return f"operation {head.operation} is unfinished"
    return _reason_in(store.read(head.stream), head.read_at - quiet)


def _reason_in(events: Iterable[Event], until: datetime) -> str | None:
    deleted = held = recent = False
    for event in events:
        recent = event.recorded_at > until
        match event.data:
            case OperationFinished(cluster_status=status):
                deleted = deleted or status is ClusterStatus.DELETED
            case HoldPlaced():
                held = True
            case HoldReleased():
                held = False
            case _:
                pass
    if not deleted:
        return "the cluster was not deleted"
    if recent:
        return f"its last event is later than {until:%Y-%m-%d}"
    return "held" if held else None


def archive_stream(store: EventStore, head: Head, folder: Path) -> Path:
    """Move a stream into a file in this folder, and return its path.

    Raises DamagedStream if it is not as it was written, VersionConflict, OwnerAlive or StreamArchived if it has changed
    since `head` was read, and OSError if the file cannot be written; the journal is then as it was. A file that was
    complete by then stays: another process may be about to rest on it.
    """
    path = folder.resolve() / _file_name(head)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        _write(checked(store, head), partial)
        _check(partial, head)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)
    store.archive(head, str(path))
    return path


def finish_archiving(store: EventStore) -> int:
    """Remove what archiving left behind when it was killed, and return of how many streams."""
    left = list(store.archived(still_stored=True))
    for head in left:
        assert head.archived_to is not None
        store.archive(head, head.archived_to)
    return len(left)


def _file_name(head: Head) -> str:
    name = quote(head.stream, safe=" ")[:NAME_LENGTH]
    distinct = sha256(f"{head.stream}\0{head.hash}".encode()).hexdigest()[:16]
    return f"{name}.{distinct}.jsonl.gz"


def _write(events: Iterable[Event], path: Path) -> None:
    with path.open("wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as lines:
            for event in events:
                lines.write(encode_line(event))
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(path: Path, head: Head) -> None:
    """Read the file again, strictly, up to the very event that the head names."""
    version, hash_ = 0, ""
    for event in read_file(path):
        version, hash_ = event.version, event.hash or ""
    if (version, hash_) != (head.version, head.hash):
        msg = f"{path}: ends with version {version}, hash {hash_}, expected version {head.version}, hash {head.hash}"
        raise BrokenChain(msg)
