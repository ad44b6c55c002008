"""The store's protocol: what every engine does alike, and what its callers may rely on.

One row a stream, the guard row, carries version, last hash, epoch and owner. An append compares and swaps that row
and inserts the events in one transaction, which gives order, fencing and conflict detection with one mechanism.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from journal.codec import Document, digest, from_document, to_document
from journal.errors import DamagedStream
from journal.events import Event, Intent
from journal.snapshot import Snapshot
from journal.value import Value
from journal.wording import subject


@attrs.frozen(eq=False, repr=False)
class Head(Value):
    """The guard row of a stream. All times are UTC and by the store's own clock, `read_at` among them."""

    stream: str
    version: int
    hash: str
    epoch: int
    owner: str | None
    lease_expires_at: datetime | None
    operation: UUID | None
    """The unfinished operation, if any: where a delete took another over, the delete."""
    changed_at: datetime
    """When it was last appended to."""
    archived_to: str | None
    """The file that its events were moved to, if they are not in the journal any more."""
    settled_version: int
    """The version up to which nothing is left to do, and the conductor's own record of the cluster says so.

    0 or less where that is not so at any version.
    """
    read_at: datetime

    @property
    def is_settled(self) -> bool:
        """Whether nothing was appended since everything was done and told."""
        return self.settled_version == self.version

    @property
    def owner_alive(self) -> bool:
        """Whether the stream has an owner whose lease has not run out."""
        return self.owner is not None and self.lease_expires_at is not None and self.lease_expires_at > self.read_at


@attrs.frozen(eq=False, repr=False)
class Claim(Value):
    """What an append does to ownership: `owner` holds the stream for `seconds` from now, by the store's clock."""

    owner: str
    seconds: float


@attrs.frozen(eq=False, repr=False)
class UnfinishedStep(Value):
    """An intent without a completion in an operation that has not ended. `version` is the intent's."""

    stream: str
    version: int
    operation: UUID
    step: UUID
    stage: str
    action: str
    subject: str
    """What the step is about, for people: the name of what is to be created, else the ids of what it acts on."""
    recorded_at: datetime
    deadline: datetime


class EventStore(Protocol):
    """Streams of events, appended to under a version and an epoch. Safe to use from many threads."""

    @property
    def journal_id(self) -> UUID:
        """The id of this journal, made with its schema; it marks the servers that this journal accounts for."""

    def append(
        self, events: Sequence[Event], *, previous_hash: str, expected_epoch: int, claim: Claim | None = None
    ) -> tuple[Event, ...]:
        """Append chained events of one stream in one transaction and return them as stored, once they are durable.

        The stream must be at the version before the first event (0: it does not exist yet), at hash `previous_hash`
        and, unless it is new, at epoch `expected_epoch`; it is then at the epoch of the last event. With a `claim` it
        gets that owner and lease; without one, an append that raises the epoch leaves it without an owner, and any
        other leaves ownership as it is. Appending events that are already there, with the same ids and hashes,
        changes nothing and returns them.

        Raises VersionConflict, Fenced, OwnerAlive (a claim while another owner's lease lives), EventIdReused,
        JournalRegressed, AppendOutcomeUnknown or StoreUnavailable.
        """

    def renew(self, stream: str, claim: Claim, *, epoch: int) -> None:
        """Extend the owner's lease. Raises Fenced if owner or epoch are others by now."""

    def release(self, stream: str, owner: str, *, epoch: int) -> None:
        """Give the stream up: it has no owner from here on. Does nothing if owner or epoch are others by now."""

    def head(self, stream: str) -> Head | None:
        """Return the guard row of a stream, or None if there is no such stream."""

    def settle(self, stream: str, version: int) -> None:
        """Note that nothing is left to do for a stream at this version, and that its record was told so.

        If the stream has gone on since, note that it is not settled: the record may have been told of the past.
        """

    def heads(
        self, *, changed_since: datetime | None = None, unsettled: bool = False, damaged: list[DamagedStream] | None = None
    ) -> Iterator[Head]:
        """Yield the guard rows of all streams that are not archived, by stream id.

        Only those changed since a time, if given: that at which an append was made, by the store's clock; it may be
        durable, and be seen, later. Only those that are not settled, if `unsettled`. One that cannot be read is added
        to `damaged`; without that, DamagedStream is raised.
        """

    def headless(self) -> Sequence[str]:
        """Return the streams that have events and no guard row: there are none, unless somebody removed it."""

    def archived(self, *, still_stored: bool = False) -> Iterator[Head]:
        """Yield the guard rows of the archived streams, by stream id; or of those whose removal stopped halfway."""

    def read(self, stream: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a stream with versions above `after`, in order; none if there is no such stream.

        Raises Malformed, naming stream and version, where a stored event cannot be read.
        """

    def documents(self, stream: str) -> Iterator[Document]:
        """Yield the events of a stream as they are stored, with their hashes and without upcasting: for verification."""

    def mentioning(self, text: str) -> Sequence[str]:
        """Return the streams, by stream id, of which an event's data has this text in it; perhaps in other case, too."""

    def archive(self, head: Head, to: str) -> None:
        """Remove the events of a stream without an owner and without an unfinished operation, as it is at `head`.

        `to` says where they are kept from here on. The guard row stays and refuses appends. Doing it again after a
        crash goes on where it stopped. Raises VersionConflict or OwnerAlive if the stream has changed, StreamArchived
        if it is archived elsewhere.
        """

    def remove_archived(self, stream: str, archive: str) -> None:
        """Remove what a crash left of the events of a stream that is archived in this file.

        Does nothing if it is not archived there (any more).
        """

    def restore(self, stream: str, read: Callable[[], Iterable[Event]]) -> None:
        """Put all events of an archived stream back, in one transaction. Does nothing if it is not archived (any more).

        `read` returns them from the first on, each time it is called. Raises JournalRegressed if they do not end as the
        guard row says.
        """

    def snapshot(self, stream: str) -> Snapshot | None:
        """Return the snapshot that was kept of a stream, or None."""

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, in place of an older one of the same stream. May raise StoreUnavailable; nothing depends on it."""

    def unfinished_steps(self, stream: str | None = None) -> Iterator[UnfinishedStep]:
        """Yield the unfinished steps of all streams, or of one, by stream and version, without touching history."""

    def weaknesses(self) -> Sequence[str]:
        """Return the settings of the database under which what was acknowledged could be lost."""

    def size_bytes(self) -> int:
        """Return how much room the journal takes, about."""

    def close(self) -> None:
        """Let go of files and connections."""


def unfinished_step(event: Event, intent: Intent) -> UnfinishedStep:
    """Return the index's entry of an intent."""
    assert event.operation is not None, "an intent stands in an operation"
    return UnfinishedStep(
        stream=event.stream,
        version=event.version,
        operation=event.operation,
        step=intent.step,
        stage=str(intent.stage),
        action=intent.action,
        subject=subject(intent),
        recorded_at=event.recorded_at,
        deadline=intent.deadline,
    )


def chained(previous_hash: str, events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events as whoever reads them will find them, chained one to the other from `previous_hash` on.

    Raises Malformed for what the catalogue does not allow.
    """
    result = []
    for event in events:
        document = to_document(event)
        document["hash"] = previous_hash = digest(previous_hash, document)
        result.append(from_document(document))
    return tuple(result)
