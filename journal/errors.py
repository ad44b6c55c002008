"""Every error of the journal, as a tree.

JournalError
├── Malformed              one event does not have the form of the catalogue
├── OutOfOrder             an event cannot follow what stands before it in its stream
├── BrokenChain            a hash does not fit: an event was changed, is missing or out of place
├── DamagedStream          a stored stream is not as it was written
├── UnreadableFile         a file of events cannot be read at all
├── StoreError             the database cannot be used as it is
│   ├── WeakDurability     it is set so that what was acknowledged could be lost, and that was not to be accepted
│   ├── SchemaNotCurrent   its tables are missing, older or newer than this library's
│   └── StoreUnavailable   it cannot be reached, or refuses to work
├── UnknownStream          there is no such cluster in this journal
├── NoSuchMoment           a cluster had no such version, or did not exist at that time
├── WaitTimedOut           what an operation waited for did not come about in time
├── KeyReused              the key of a step already stands for something else
├── StepInDoubt            nobody knows how the step of this key ended, so it cannot be run again yet
├── AppendRefused          an append that was certainly not recorded
│   ├── VersionConflict    somebody else appended first
│   ├── Fenced             somebody else took the stream over, or a user asked for its deletion
│   ├── OwnerAlive         the lease of the stream's owner has not run out
│   ├── StreamArchived     its events were moved to a file
│   ├── EventIdReused      this event id already stands for something else
│   └── JournalRegressed   the database has lost history
└── AppendOutcomeUnknown   nobody can say whether the append was recorded; append the same events again
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID


class JournalError(Exception):
    """Base of everything that this package raises on purpose."""


class Malformed(JournalError):
    """One event does not have the form of the catalogue; the message says what was expected."""


class OutOfOrder(JournalError):
    """An event cannot follow what stands before it in its stream."""


class BrokenChain(JournalError):
    """A hash does not fit: an event was changed, is missing or out of place."""


class DamagedStream(JournalError):
    """A stored stream is not as it was written; the first bad place, and what is wrong there."""

    def __init__(self, stream: str, version: int, what: str) -> None:
        super().__init__(
            f"Cluster {stream!r} is damaged at version {version}: {what}. Do nothing in this cluster; restore the journal "
            "from a backup and run `provjournal journal restored`."
        )
        self.stream = stream
        self.version = version
        self.what = what


DAMAGE: Final = (DamagedStream, Malformed, OutOfOrder, BrokenChain)
"""What is raised where a stored stream cannot be read as it was written."""


class UnreadableFile(JournalError):
    """A file of events cannot be opened or decoded."""


class StoreError(JournalError):
    """The database cannot be used as it is; the message says what to do."""


class WeakDurability(StoreError):
    """The database is set so that what was acknowledged could be lost."""

    def __init__(self, journal: str, weaknesses: Sequence[str]) -> None:
        super().__init__(
            f"The journal at {journal} could lose what it has acknowledged: {'; '.join(weaknesses)}. "
            "Set this right, or do without strictness."
        )
        self.weaknesses = tuple(weaknesses)


class SchemaNotCurrent(StoreError):
    """The tables are missing, older or newer than this library's."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, or refuses to work."""


class UnknownStream(JournalError):
    """There is no such cluster in this journal."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"There is no cluster {stream!r} in this journal. `provjournal cluster list` names them all.")
        self.stream = stream


class NoSuchMoment(JournalError):
    """A cluster had no such version, or did not exist at that time."""

    def __init__(self, stream: str, asked: str, there: str) -> None:
        super().__init__(f"Cluster {stream!r} has nothing at {asked}: {there}.")
        self.stream = stream


class WaitTimedOut(JournalError):
    """What an operation waited for did not come about in time."""

    def __init__(self, stream: str, what: str, seconds: float) -> None:
        super().__init__(f"Cluster {stream!r}: waited {seconds:g} s in vain until {what}.")
        self.stream = stream
        self.what = what


class KeyReused(JournalError):
    """The key of a step already stands for something else: a bug of the caller."""

    def __init__(self, stream: str, key: str) -> None:
        super().__init__(
            f"Cluster {stream!r}: the key {key!r} already stands for another step of this operation. Give each step a key of "
            "its own, and the same one whenever the operation is resumed."
        )
        self.stream = stream
        self.key = key


class StepInDoubt(JournalError):
    """Nobody knows how the step of this key ended, so it cannot be run again yet."""

    def __init__(self, stream: str, key: str) -> None:
        super().__init__(
            f"Cluster {stream!r}: the step with the key {key!r} has begun, and how it ended is not known. Let the operation end: "
            "what became of the step is then found out."
        )
        self.stream = stream
        self.key = key


class AppendRefused(JournalError):
    """An append that was certainly not recorded."""


class VersionConflict(AppendRefused):
    """Somebody else appended first: read on and decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"Cluster {stream!r} is at version {actual}, not at {expected} as expected: somebody else appended first. "
            "Read on and decide again."
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class Fenced(AppendRefused):
    """The epoch has risen: another conductor took the stream over, or a user asked for its deletion."""

    def __init__(self, stream: str, own_epoch: int, current_epoch: int, owner: str | None) -> None:
        held = f"now owned by {owner}" if owner else "now owned by nobody"
        super().__init__(
            f"Cluster {stream!r} is at epoch {current_epoch}, {held}; this append was made under epoch {own_epoch}. "
            "Stop working on this cluster."
        )
        self.stream = stream
        self.own_epoch = own_epoch
        self.current_epoch = current_epoch
        self.owner = owner


class OwnerAlive(AppendRefused):
    """The stream's owner is believed alive until its lease runs out."""

    def __init__(self, stream: str, owner: str, lease_expires_at: datetime) -> None:
        super().__init__(
            f"Cluster {stream!r} is owned by {owner}, whose lease lives until {lease_expires_at:%Y-%m-%d %H:%M:%S} UTC. "
            "Wait until then, or stop that conductor."
        )
        self.stream = stream
        self.owner = owner
        self.lease_expires_at = lease_expires_at


class StreamArchived(AppendRefused):
    """The stream's events were moved to a file."""

    def __init__(self, stream: str, archive: str) -> None:
        super().__init__(
            f"Cluster {stream!r} is archived in {archive}. `provjournal journal import FILE` brings it back from there; "
            "a new cluster needs another name."
        )
        self.stream = stream
        self.archive = archive


class EventIdReused(AppendRefused):
    """The event id already stands for something else: a bug of the caller."""

    def __init__(self, stream: str, event_id: UUID) -> None:
        super().__init__(
            f"Event id {event_id} already stands in the journal with another content; it was to be appended to cluster "
            f"{stream!r}. Ids are made anew for each event: this is a bug of the caller."
        )
        self.stream = stream
        self.event_id = event_id


class JournalRegressed(AppendRefused):
    """The database holds less than it once acknowledged: stop, alarm, delete nothing."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"Cluster {stream!r} is at version {actual}, but version {expected} was acknowledged before: the database has "
            "lost history. Stop, restore it, and delete nothing until somebody has looked."
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class AppendOutcomeUnknown(JournalError):
    """Nobody can say whether the append was recorded. Appending the same events again settles it."""

    def __init__(self, stream: str, version: int, why: str) -> None:
        super().__init__(
            f"It is not known whether version {version} of cluster {stream!r} was recorded. {why} "
            "Append the same events again; that cannot double them."
        )
        self.stream = stream
        self.version = version
