"""What values have in common: they are compared, hashed and shown by their fields.

attrs would write these methods for each class, and have them compiled each time a program starts: that was a quarter of
what importing this library took.
"""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import attrs


class Value:
    """A base of frozen attrs classes made with `eq=False, repr=False`, which then behave as if attrs had made both."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        kind: Any = self.__class__
        compared = _compared(kind)
        return bool(compared(self) == compared(other))

    def __hash__(self) -> int:
        kind: Any = self.__class__
        return hash(_compared(kind)(self))

    def __repr__(self) -> str:
        kind: Any = self.__class__
        shown = (f"{field.name}={getattr(self, field.name)!r}" for field in attrs.fields(kind))
        return f"{kind.__qualname__.rpartition('>.')[2]}({', '.join(shown)})"


@cache
def _compared(kind: type[Any]) -> Callable[[Any], Any]:
    """Return what gets the values by which one is compared."""
    return attrgetter(*(field.name for field in attrs.fields(kind) if field.eq))
