"""Stored events, a page at a time: the columns of many rows are read at once, and of each row only the data by itself.

What is read so is what is certainly right. Of any other row nothing is said here: `codec.from_document` reads it with care.
"""

from collections.abc import Iterator, Sequence
from datetime import MAXYEAR, MINYEAR
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from journal.codec import certain
from journal.events import Event, StreamId, Time, Version

Row = Sequence[Any]
"""What is stored of an event: version, id, type, schema, recorded_at, epoch, operation, data as JSON text, hash."""

_Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
_DIGITS: Final = b"0123456789abcdef"
_YEAR: Final = attrgetter("year")
_REFUSED_YEARS: Final = frozenset({MINYEAR, MAXYEAR})


def from_page(stream: str, rows: Sequence[Row]) -> Iterator[Event | None]:
    """Yield for each row of a stream its event, or None where that is not certain."""
    try:
        envelopes = _envelopes(stream, rows)
    except msgspec.ValidationError:
        return repeat(None, len(rows))
    return (
        None if data is None else Event(stream, version, id_, time, epoch, operation, data, hash_)
        for version, id_, data, time, epoch, operation, hash_ in envelopes
    )


def _envelopes(stream: str, rows: Sequence[Row]) -> Iterator[tuple[Any, ...]]:
    """Return the parts of the events, with data that is read when it is their turn."""
    if not rows:
        return iter(())
    versions, ids, types, schemas, times, epochs, operations, texts, hashes = zip(*rows, strict=True)
    msgspec.convert(stream, StreamId)
    msgspec.convert(versions, list[Version])
    msgspec.convert(epochs, list[Version])
    msgspec.convert((types, texts), tuple[list[str], list[str]])
    msgspec.convert(operations, list[str | None])
    msgspec.convert(hashes, list[_Hash])
    if "".join(hashes).encode().translate(None, _DIGITS):
        raise msgspec.ValidationError
    read_times = msgspec.convert(times, list[Time])
    if not _REFUSED_YEARS.isdisjoint(map(_YEAR, read_times)):
        raise msgspec.ValidationError
    of_text = {text: msgspec.convert(text, UUID | None) for text in set(operations)}  # a few stand in many rows
    return zip(
        versions,
        msgspec.convert(ids, list[UUID]),
        map(certain, types, schemas, texts, versions),
        read_times,
        epochs,
        map(of_text.__getitem__, operations),
        hashes,
        strict=True,
    )
