"""How the events of a stream are read: page by page, without a Row's names."""

import gc
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select

from journal.codec import Document, from_document
from journal.errors import Malformed
from journal.events import Event
from journal.pages import from_page
from journal.sql.engine import Database
from journal.sql.schema import EVENTS

PAGE: Final = 1000
"""Events read at once."""

_COLUMNS: Final = (
    EVENTS.c.version,
    EVENTS.c.event_id,
    EVENTS.c.type,
    EVENTS.c.schema,
    EVENTS.c.recorded_at,
    EVENTS.c.epoch,
    EVENTS.c.operation,
    EVENTS.c.data,
    EVENTS.c.hash,
)
"""What `pages` expects, in its order."""


def read(database: Database, stream: str, after: int) -> Iterator[Event]:
    """Yield the events of a stream above a version. Raises Malformed, naming stream and version, where one cannot be read."""
    for rows in _pages(database, stream, after):
        for row, event in zip(rows, _certain(stream, rows), strict=True):
            yield _read_with_care(stream, row) if event is None else event


def documents(database: Database, stream: str) -> Iterator[Document]:
    """Yield the events of a stream as they are stored. Raises Malformed where the data of one is not JSON."""
    for rows in _pages(database, stream, 0):
        for row in rows:
            yield _document(stream, row)


def _pages(database: Database, stream: str, after: int) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows page by page. Once there is a full one, pages are asked for by the versions that may be in them.

    PostgreSQL, before it has looked at what a table holds, takes all that is left and sorts it, for each page anew.
    """
    left = select(*_COLUMNS).where(EVENTS.c.stream_id == stream).order_by(EVENTS.c.version).limit(PAGE)
    by_versions = False
    while True:
        page = left.where(EVENTS.c.version > after)
        rows = database.rows(page.where(EVENTS.c.version <= after + PAGE) if by_versions else page)
        yield rows
        if len(rows) < PAGE and not by_versions:
            return
        by_versions = len(rows) == PAGE  # else the stream ends here, or versions are missing
        after = rows[-1].version if rows else after


def _certain(stream: str, rows: Sequence[Row[Any]]) -> list[Event | None]:
    """Read a page without looking for garbage meanwhile: nothing of it is garbage, and each look would walk through it all."""
    looks = gc.isenabled()
    gc.disable()
    try:
        return list(from_page(stream, rows))
    finally:
        if looks:
            gc.enable()


def _read_with_care(stream: str, row: Row[Any]) -> Event:
    document = _document(stream, row)  # which says itself where it is
    try:
        return from_document(document)
    except Malformed as error:
        msg = f"Cluster {stream!r}, version {row.version}: {error}"
        raise Malformed(msg) from error


def _document(stream: str, row: Row[Any]) -> Document:
    version, id_, type_, schema, recorded_at, epoch, operation, text, hash_ = tuple(row)
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"Cluster {stream!r}, version {version}: its data is not JSON: {error}"
        raise Malformed(msg) from error
    return {
        "stream": stream,
        "version": version,
        "id": id_,
        "type": type_,
        "schema": schema,
        "recorded_at": recorded_at,
        "epoch": epoch,
        "operation": operation,
        "data": data,
        "hash": hash_,
    }
