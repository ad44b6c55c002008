"""Everything that is left to chance in a schedule: drawn from a seed, or made again from what was drawn before.

Each choice is a number, and 0 is the one that does no harm: go on, no fault, the first of several. So a schedule is
shrunk by writing zeros over its choices.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


class Choices:
    """The choices of one schedule."""

    def __init__(self, random: Random) -> None:
        self.made: list[int] = []
        self._random = random

    def weighted(self, weights: "Weights") -> int:
        """Return an index, each as likely as its weight says."""
        return self._note(bisect_right(weights.bounds, self._random.random()))

    def below(self, end: int) -> int:
        """Return a number from 0 to below `end`."""
        return self._note(int(self._random.random() * end))

    def chance(self, probability: float) -> bool:
        """Return whether something happens that does so this often."""
        return bool(self._note(int(self._random.random() < probability)))

    def one_of(self, items: Sequence[Item]) -> Item:
        """Return one of these; the first does no harm."""
        return items[self.below(len(items))]

    def some_of(self, items: Sequence[Item], probability: float) -> list[Item]:
        """Return some of these."""
        return [item for item in items if self.chance(probability)]

    def _note(self, choice: int) -> int:
        self.made.append(choice)
        return choice


class Weights:
    """How likely each of several things is; the first takes what is left of 1."""

    def __init__(self, others: Sequence[float]) -> None:
        first = max(0.0, 1.0 - sum(others))
        self.bounds = list(accumulate((first, *others)))
        self.bounds[-1] = 1.0
        self.size = len(self.bounds)


class Replayed(Choices):
    """The choices that were made before; beyond them, none does any harm."""

    def __init__(self, made: Sequence[int]) -> None:
        super().__init__(Random(0))
        self._given = made

    def weighted(self, weights: Weights) -> int:
        """Return the index that was drawn."""
        return self._next(weights.size)

    def below(self, end: int) -> int:
        """Return the number that was drawn."""
        return self._next(end)

    def chance(self, probability: float) -> bool:  # noqa: ARG002 (it was drawn before)
        """Return what was drawn."""
        return bool(self._next(2))

    def _next(self, end: int) -> int:
        place = len(self.made)
        return self._note(min(self._given[place], end - 1) if place < len(self._given) else 0)


def shrunk(made: Sequence[int], fails: Callable[[Sequence[int]], Sequence[int] | None], tries: int) -> list[int]:
    """Return choices with as little harm in them as possible that still fail.

    `fails` plays choices and returns those that it made if they failed in the same way, None if they did not.
    """
    best, left = _stripped(made), tries
    size = max(1, len(best) // 2)
    while size:
        place, better = 0, False
        while place < len(best) and left:
            block = best[place : place + size]
            candidates = [[*best[:place], *best[place + size :]]]
            if any(block):
                candidates.append([*best[:place], *([0] * len(block)), *best[place + size :]])
            for candidate in candidates:
                left -= 1
                played = fails(candidate)
                if played is not None and _weight(played) < _weight(best):
                    best, better = _stripped(played), True
                    break
            else:
                place += size
        if not left:
            break
        size = size if better and size == 1 else size // 2
    return best


def _weight(made: Sequence[int]) -> tuple[int, int]:
    stripped = _stripped(made)
    return sum(map(bool, stripped)), len(stripped)


def _stripped(made: Sequence[int]) -> list[int]:
    length = max((place + 1 for place, choice in enumerate(made) if choice), default=0)
    return list(made[:length])
