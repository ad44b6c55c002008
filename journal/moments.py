"""Points in time and in a stream, as a person writes and reads them."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from journal.errors import NoSuchMoment
from journal.events import Event

_AGO: Final = re.compile(r"(\d+)\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TENTHS_UNTIL_SECONDS: Final = 9.95
_COUNT: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@attrs.frozen
class Moment:
    """A point of a stream: what stood in it up to a `version`, or at a `time`. One of them is None."""

    version: int | None
    time: datetime | None
    text: str
    """As it was written."""

    @classmethod
    def read(cls, text: str, now: datetime) -> "Moment":
        """Return the moment that a text names: a version, or what `time_of` reads. Raises ValueError."""
        if text.isdecimal():
            return cls(int(text), None, text)
        return cls(None, time_of(text, now), text)


def time_of(text: str, now: datetime) -> datetime:
    """Return the time that a text names: in ISO 8601, without a zone in that of this machine, or as `90s`, `15m`, `2h`, `3d` ago.

    Raises ValueError.
    """
    ago = _AGO.fullmatch(text.strip().removesuffix("ago").strip())
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"{text!r} is no time; expected one such as 2026-11-25T14:30, 2026-11-25T13:30Z, or 15m, 2h, 3d for so long ago"
        raise ValueError(msg) from error


def length_of(text: str) -> timedelta:
    """Return the length of time that a text names: `90s`, `15m`, `2h`, `3d`. Raises ValueError."""
    found = _AGO.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is no length of time; expected one such as 90s, 15m, 2h, 3d"
        raise ValueError(msg)
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        msg = f"{text!r} is too long; expected a length of time such as 90s, 15m, 2h, 3d"
        raise ValueError(msg) from error


def events_at(events: Sequence[Event], moment: Moment) -> Sequence[Event]:
    """Return the events of one stream up to a moment: by time, up to the last that had been recorded by then.

    Raises NoSuchMoment if there are none, or not so many.
    """
    if moment.version is not None:
        if not 1 <= moment.version <= len(events):
            raise NoSuchMoment(events[0].stream, f"version {moment.version}", f"its versions are 1 to {len(events)}")
        return events[: moment.version]
    assert moment.time is not None, "a moment is a version or a time"
    last = _last_until(events, moment.time)
    if not last:
        raise NoSuchMoment(events[0].stream, moment.text, f"its first event was recorded at {written(events[0].recorded_at)}")
    return events[:last]


def _last_until(events: Iterable[Event], time: datetime) -> int:
    return max((event.version for event in events if event.recorded_at <= time), default=0)


def written(time: datetime, *, utc: bool = True) -> str:
    """Return a time for people, to the second: in UTC, or in the time zone of this machine."""
    if utc:
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S%z}"


def lasting(length: timedelta) -> str:
    """Return a length of time for people, by its two largest units: `2d3h`, `4m10s`."""
    left = max(0, round(length.total_seconds()))
    parts: list[str] = []
    for unit, seconds in _COUNT:
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:  # noqa: PLR2004 (the two that the summary names)
            break
    return "".join(parts) or "0s"


def took(length: timedelta) -> str:
    """Return how long something took, for people: to a tenth of a second while that matters."""
    seconds = max(0.0, length.total_seconds())
    return f"{seconds:.1f}s" if seconds < _TENTHS_UNTIL_SECONDS else lasting(length)
