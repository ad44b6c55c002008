"""Group commit: threads that append at the same time share a transaction, and so a wait for the disk.

There is no thread for it and no delay: whoever comes first commits, and what comes meanwhile goes together into the
next transaction. Each caller returns only when its own events are durable.
"""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from journal.events import Event
from journal.sql.append import Append, record
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
        self._turn = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many appends wait for their turn."""
        return len(self._waiting)

    def append(self, append: Append) -> tuple[Event, ...]:
        """Append together with whoever waits. Raises what the append alone would raise; neighbours do not matter."""
        mine = _Waiting(append)
        self._waiting.append(mine)
        with self._turn:
            while not mine.tried:
                self._commit(self._next())
        return tuple(append.events) if mine.recorded else append.run()

    def _next(self) -> Sequence[_Waiting]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        # Rows are locked in one order, so that two processes do not wait for each other.
        return sorted(batch, key=lambda waiting: (waiting.append.events[0].stream, waiting.append.events[0].version))

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Record a batch in one transaction. If one of it fails, each goes alone: a bad one fails no other."""
        for waiting in batch:
            waiting.tried = True
        committing = recorded = False
        try:
            with self._database.transaction() as transaction:
                if record(transaction, [waiting.append for waiting in batch]):
                    committing = True
                    transaction.commit()
                    recorded = True
        except BaseException as error:
            for waiting in batch:
                waiting.append.may_be_recorded = committing
            if not isinstance(error, Exception):
                raise  # an interrupt is this thread's own; an error may be a neighbour's
        for waiting in batch:
            waiting.recorded = recorded
