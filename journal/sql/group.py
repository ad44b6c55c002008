"""Group commit: threads that append at the same time share a transaction, and so a wait for the disk.

There is no thread for it and no delay: whoever comes first commits, and what comes meanwhile goes together into the
next transaction. Each caller returns only when its own events are durable.
"""

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

import attrs

from journal.events import Event
from journal.sql.append import Append
from journal.sql.changes import changes
from journal.sql.engine import Database
from journal.sql.fork import renew_after_fork

MOST_AT_ONCE: Final = 100
"""Appends in one transaction."""


@attrs.define(eq=False)
class _Waiting:
    append: Append
    tried: bool = False
    recorded: bool = False
    """Whether the transaction that it went with has committed; if not, it has to go alone."""
    called: threading.Lock = attrs.field(factory=threading.Lock)
    """Is released once it was tried, or is to commit itself and whoever waits."""


class GroupCommit:
    """The appends of one process to one database."""

    def __init__(self, database: Database) -> None:
        """Start with nobody waiting."""
        self._database = database
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Start with nobody waiting: the threads that wait are the parent's."""
        self._waiting: deque[_Waiting] = deque()
        self._committing: _Waiting | None = None
        self._changing = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many appends wait for their turn."""
        return len(self._waiting)

    def append(self, append: Append) -> tuple[Event, ...]:
        """Append together with whoever waits. Raises what the append alone would raise; neighbours do not matter."""
        mine = _Waiting(append)
        mine.called.acquire()
        batch: list[_Waiting] = []
        try:
            if not self._comes_first(mine):
                mine.called.acquire()
            if self._committing is mine:  # else it was tried, or who was to try it was interrupted
                self._take(batch)
                # Rows are locked in one order, so that two processes do not wait for each other.
                self._commit(sorted(batch, key=_order))
        finally:
            try:
                self._leave(mine, batch)
            except BaseException:  # an interrupt that comes here: nobody else would call those that wait
                self._leave(mine, batch)
                raise
        return tuple(append.entry.events) if mine.recorded else append.run()

    def _comes_first(self, mine: _Waiting) -> bool:
        """Wait, unless nobody commits."""
        with self._changing:
            self._waiting.append(mine)
            if self._committing is None:
                self._committing = mine
            return self._committing is mine

    def _take(self, batch: list[_Waiting]) -> None:
        with self._changing:
            batch.extend(islice(self._waiting, MOST_AT_ONCE))  # an interrupt finds each of them here or there
            for _ in batch:
                self._waiting.popleft()

    def _leave(self, mine: _Waiting, batch: Sequence[_Waiting]) -> None:
        """Have the next one commit, before those that are done are called: the disk is what they wait for."""
        with self._changing:
            for waiting in (mine, *batch):
                if not waiting.tried and waiting in self._waiting:
                    self._waiting.remove(waiting)  # there was an interrupt
            if self._committing is mine:
                self._committing = self._waiting[0] if self._waiting else None
                if self._committing is not None:
                    self._committing.called.release()
        for waiting in batch:
            if waiting.called.locked():  # else it was called before an interrupt
                waiting.called.release()

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Record a batch in one transaction. If one of it fails, each goes alone: a bad one fails no other."""
        for waiting in batch:
            waiting.tried = True
        transaction, recorded = self._database.transaction(), frozenset[str]()
        try:
            recorded = frozenset(transaction.record(changes([waiting.append.entry for waiting in batch])))
        except BaseException as error:
            for waiting in batch:
                waiting.append.may_be_recorded = transaction.may_be_recorded(error)
            if not isinstance(error, Exception):
                raise  # an interrupt is this thread's own; an error may be a neighbour's
        for waiting in batch:
            waiting.recorded = waiting.append.entry.stream in recorded


def _order(waiting: _Waiting) -> tuple[str, int]:
    return waiting.append.entry.stream, waiting.append.entry.events[0].version
