"""How what is going on is told, to whoever watches."""

from collections.abc import Callable
from typing import Self

Progress = Callable[[str], None]
"""Is told what is going on, a line at a time; some lines are `Counted`."""


class Counted(str):
    """A line that says how much of something is done, for a progress bar."""

    __slots__ = ("done", "total", "what")

    done: int
    total: int
    what: str

    def __new__(cls, done: int, total: int, what: str) -> Self:
        """Make the line of `what` is so with `done` of `total`."""
        line = super().__new__(cls, f"{done} of {total} {what}")
        line.done, line.total, line.what = done, total, what
        return line
