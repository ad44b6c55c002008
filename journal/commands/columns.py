"""Cells of tables: written for people in a table, and as data in JSON, YAML, CSV and plain values."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cliff.columns import FormattableColumn

from journal.moments import written
from journal.wording import escaped, legible


class Time(FormattableColumn[str]):
    """A time: to the second for people, in UTC or in the local time zone; as data in ISO 8601, in UTC."""

    def __init__(self, time: datetime, *, utc: bool) -> None:
        super().__init__(time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        self._shown = written(time, utc=utc)

    def human_readable(self) -> str:
        """Return the time to the second."""
        return self._shown


class Listed(FormattableColumn[list[Any]]):
    """Several things: with commas, or one to a line."""

    def __init__(self, things: Iterable[Any], *, separator: str = ", ") -> None:
        super().__init__(list(things))
        self._separator = separator

    def human_readable(self) -> str:
        """Return them in one text."""
        return self._separator.join(legible(str(value)) for value in self._value)


class Counts(FormattableColumn[dict[str, int]]):
    """How many there are of each: `2 new, 1 unsafe`."""

    def human_readable(self) -> str:
        """Return them in one text."""
        return ", ".join(f"{count} {legible(name)}" for name, count in self._value.items())


class Data(FormattableColumn[Any]):
    """The data of an event: as compact JSON, or as it is."""

    def human_readable(self) -> str:
        """Return it as JSON in one line."""
        return escaped(json.dumps(self._value, ensure_ascii=False, separators=(",", ":")))
