"""What one compensation reads of its stream, and appends to it: decisions only right after what they rest on."""

from collections.abc import Sequence
from uuid import UUID

from journal.events import Completion, Data
from journal.journal import Journal
from journal.stream import Stream
from projections.fold import History


class Ledger:
    """The stream of the cluster that is compensated, as the compensation knows it."""

    def __init__(self, journal: Journal, stream: Stream) -> None:
        self.stream = stream
        self.decided_at = stream.version
        """The version that the present plan rests on, and what this compensation has appended to it."""
        self._journal = journal
        self._history = History()

    @property
    def history(self) -> History:
        """What the stream amounts to, as read so far."""
        for event in self.stream.since(self._history.version):
            self._history.apply(event)
        return self._history

    def append(self, *data: Data, operation: UUID | None = None) -> None:
        """Append right after what the plan rests on. Raises VersionConflict if others appended meanwhile: it is stale."""
        unfinished = self.history.unfinished
        owner = operation or (None if unfinished is None else unfinished.id)
        stored = self.stream.append(*data, operation=owner, claim=self._journal.claim, after=self.decided_at)
        self.decided_at = stored[-1].version

    def complete(self, operation: UUID, completions: Sequence[Completion]) -> None:
        """Complete steps of this compensation: facts, whatever others appended meanwhile."""
        if not completions:
            return
        stored = self.stream.append_next(*completions, operation=operation, claim=self._journal.claim)
        if stored[0].version == self.decided_at + 1:
            self.decided_at = stored[-1].version

    def has_gone_on(self) -> bool:
        """Read on, and tell whether others appended since the plan was made."""
        self.stream.refresh()
        return self.stream.version != self.decided_at

    def renew(self) -> None:
        """Extend the lease. Raises Fenced if the stream was taken over."""
        self.stream.renew(self._journal.claim)

    def release(self) -> None:
        """Give the stream up."""
        self.stream.release(self._journal.conductor)
