"""Moving finished streams of deleted clusters out of the journal, each into a file of its own.

The file is written and synced, read again and checked, and only then are the events removed; killed anywhere, it is done
again, or goes on. One stream at a time is looked at, and of that one event at a time.
"""

import gzip
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID

import attrs

from journal.codec import encode_line
from journal.errors import BrokenChain, DamagedStream, JournalError
from journal.events import (
    DELETED_STATUSES,
    OF_A_USER,
    ClusterStatus,
    Completion,
    Delete,
    DeleteResource,
    DeleteServer,
    Event,
    HoldPlaced,
    HoldReleased,
    InventoryObserved,
    OperationFinished,
    ResourceKind,
    StepOutcome,
    deleted_by,
    knows_absence,
)
from journal.files import read_file, replaced
from journal.store import EventStore, Head
from journal.verify import checked

NAME_LENGTH: Final = 100
"""Characters of a cluster's name in the name of its file."""
_DISTINCT: Final = re.compile(r"\.([0-9a-f]{16})\.jsonl\.gz$")


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
    seen = SeenResources()
    for event in events:
        recent = event.recorded_at > until
        seen.apply(event)
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
    if seen.there:
        id_, kind = min(seen.there.items())
        return f"{kind} {id_} was seen, and nothing tells that it is gone; `provjournal rollback` looks again"
    if recent:
        return f"its last event is later than {until:%Y-%m-%d}"
    return "held" if held else None


@attrs.define
class SeenResources:
    """The servers and other resources that an observation showed and that, as far as the events tell, are still there."""

    there: dict[str, ResourceKind] = attrs.field(factory=dict)
    _shown_to: dict[str, str | None] = attrs.field(factory=dict)
    """The user whose listing showed what belongs to one."""
    _deletes: dict[UUID, Delete] = attrs.field(factory=dict)

    def apply(self, event: Event) -> None:
        """Take the next event in."""
        match event.data:
            case InventoryObserved():
                self._observe(event.data)
            case DeleteServer() | DeleteResource():
                self._deletes[event.data.step] = event.data
            case Completion(step=step, outcome=outcome) if (delete := self._deletes.get(step)) is not None:
                if outcome is StepOutcome.SUCCEEDED or (outcome is StepOutcome.ABSENT and knows_absence(delete)):
                    self.there.pop(deleted_by(delete), None)
            case _:
                pass

    def _observe(self, observed: InventoryObserved) -> None:
        whole = {*observed.kinds, *([ResourceKind.SERVER] if observed.complete else [])}
        self.there = {
            id_: kind
            for id_, kind in self.there.items()
            if kind not in whole or (kind in OF_A_USER and self._shown_to[id_] != observed.user)
        }
        rows = [(row.server_id, ResourceKind.SERVER, row.status) for row in observed.servers]
        rows += [(row.resource_id, row.kind, row.status) for row in observed.resources]
        for id_, kind, status in rows:
            if status in DELETED_STATUSES:
                self.there.pop(id_, None)
            else:
                self.there[id_] = kind
                self._shown_to[id_] = observed.user


def archive_stream(store: EventStore, head: Head, folder: Path) -> Path:
    """Move a stream into a file in this folder, and return its path.

    Raises DamagedStream if it is not as it was written, VersionConflict, OwnerAlive or StreamArchived if it has changed
    since `head` was read, and OSError if the file cannot be written; the journal is then as it was. A file that was
    complete by then stays: another process may be about to rest on it.
    """
    path = folder.resolve() / _file_name(head)
    with (
        replaced(path, partial(_check, head)) as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as lines,
    ):
        for event in checked(store, head):
            lines.write(encode_line(event))
    store.archive(head, str(path))
    return path


def finish_archiving(store: EventStore) -> Iterator[str | None]:
    """Remove what archiving left behind when it was killed; yield for each stream why it is kept, or None.

    Only what stands in its file, read again, is removed.
    """
    for head in list(store.archived(still_stored=True)):
        assert head.archived_to is not None
        try:
            _check(head, Path(head.archived_to))
        except JournalError as error:
            yield (
                f"cluster {head.stream!r} is archived, but its file cannot be read whole, so the events that the journal still "
                f"has are kept: {error}. Put the file back, or work where it lies"
            )
        else:
            store.remove_archived(head.stream, head.archived_to)
            yield None


def _file_name(head: Head) -> str:
    name = quote(head.stream, safe=" ")[:NAME_LENGTH]
    return f"{name}.{_distinct(head.stream, head.hash)}.jsonl.gz"


def _distinct(stream: str, hash_: str) -> str:
    """Return what tells a file from every other: its cluster and its last event."""
    return sha256(f"{stream}\0{hash_}".encode()).hexdigest()[:16]


def _check(head: Head, path: Path) -> None:
    """Read the file again, strictly, up to the very event that the head names."""
    version, hash_ = 0, ""
    for event in read_file(path):
        version, hash_ = event.version, event.hash or ""
    if (version, hash_) != (head.version, head.hash):
        msg = f"{path}: ends with version {version}, hash {hash_}, expected version {head.version}, hash {head.hash}"
        raise BrokenChain(msg)


def verify_archives(store: EventStore) -> Iterator[DamagedStream | Path | None]:
    """Look at each archived stream: yield None if its file is whole, the file if it is not there, or the damage.

    A file may lie on another machine.
    """
    half = {head.stream for head in store.archived(still_stored=True)}
    for head in store.archived():
        assert head.archived_to is not None
        path = Path(head.archived_to)
        if head.operation is not None or head.owner is not None:
            yield DamagedStream(head.stream, head.version, "it is archived with an unfinished operation or an owner")
        elif head.stream in half:
            what = "its removal to an archive stopped halfway; `provjournal journal archive` finishes it"
            yield DamagedStream(head.stream, head.version, what)
        elif not path.exists():
            yield path
        else:
            yield _file_damage(path, head)


def _file_damage(path: Path, head: Head) -> DamagedStream | None:
    try:
        _check(head, path)
    except JournalError as error:
        return DamagedStream(head.stream, head.version, f"its archive is not as it was written: {error}")
    return None


def expect_named_end(path: Path, last: Event | None) -> None:
    """Raise BrokenChain if a file has the name of an archive, and ends with another event than that name tells."""
    named = _DISTINCT.search(path.name)
    if named is None:
        return
    found = None if last is None else _distinct(last.stream, str(last.hash))
    if found != named.group(1):
        at = "nothing" if last is None else f"version {last.version} of cluster {last.stream!r}"
        msg = f"{path}: ends with {at}, but its name tells of another end: events are missing, or it was changed or renamed"
        raise BrokenChain(msg)
