"""Moving finished streams of deleted clusters out of the journal, each into a file of its own.

The file is written and synced, read again and checked, and only then are the events removed; killed anywhere, it is done
again, or goes on. One stream at a time is looked at, and of that one event at a time.
"""

import gzip
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

from journal.codec import encode_line
from journal.errors import BrokenChain
from journal.events import ClusterStatus, Event, HoldPlaced, HoldReleased, OperationFinished
from journal.files import read_file
from journal.store import EventStore, Head
from journal.verify import checked

NAME_LENGTH: Final = 100
"""Characters of a cluster's name in the name of its file."""


def reason_to_keep(store: EventStore, head: Head) -> str | None:
    """Return why a stream is not to be archived, or None if it is. Reads its history only if it may have to go."""
    if head.owner_alive:
        return f"owned by {head.owner}"
    if head.operation is not None:
        return f"operation {head.operation} is unfinished"
    return _reason_in(store.read(head.stream))


def _reason_in(events: Iterable[Event]) -> str | None:
    deleted, held = False, False
    for event in events:
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
    return "held" if held else None


def archive_stream(store: EventStore, head: Head, folder: Path) -> Path:
    """Move a stream into a file in this folder, and return its path.

    Raises DamagedStream if it is not as it was written, VersionConflict or OwnerAlive if it has changed since `head` was
    read, and OSError if the file cannot be written; the journal is then as it was.
    """
    path = folder.resolve() / _file_name(head)
    _write(checked(store, head), path)
    _check(path, head)
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
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as lines:
                for event in events:
                    lines.write(encode_line(event))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
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
