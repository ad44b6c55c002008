"""What a process has to make anew after a fork: connections and locks belong to the parent."""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that a forked process cannot share with its parent."""

    def after_fork(self) -> None:
        """Make anew what belongs to the parent, without touching that."""


_INHERITED: "WeakSet[Forked]" = WeakSet()


def renew_after_fork(thing: Forked) -> None:
    """Have `after_fork` called in each child, as long as the thing lives."""
    _INHERITED.add(thing)


def _renew() -> None:
    for thing in list(_INHERITED):
        thing.after_fork()


os.register_at_fork(after_in_child=_renew)
