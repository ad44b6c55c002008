"""Reading guard rows."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, select

from journal.errors import DamagedStream
from journal.sql.engine import Database
from journal.sql.schema import STREAMS, DatabaseNow
from journal.store import Head

HEADS: Final[Select[Any]] = select(STREAMS, DatabaseNow().label("read_at"))
"""Guard rows, each with the time by the database's clock."""


def head_of(database: Database, stream: str) -> Head | None:
    """Return the guard row of a stream, or None if there is no such stream."""
    for row in database.rows(HEADS.where(STREAMS.c.stream_id == stream)):
        return as_head(row)
    return None


def as_head(row: Row[Any]) -> Head:
    """Return a guard row as the store tells it. Raises DamagedStream if it cannot be read."""
    try:
        return Head(
            stream=row.stream_id,
            version=_whole(row.version),
            hash=row.head_hash,
            epoch=_whole(row.epoch),
            owner=row.owner,
            lease_expires_at=None if row.lease_expires_at is None else datetime.fromtimestamp(row.lease_expires_at, UTC),
            operation=None if row.operation is None else UUID(row.operation),
            changed_at=datetime.fromtimestamp(row.changed_at, UTC),
            archived_to=row.archived_to,
            settled_version=_whole(row.settled_version),
            read_at=datetime.fromtimestamp(row.read_at, UTC),
        )
    except (ValueError, TypeError, OverflowError, OSError) as error:
        msg = f"the stream's head cannot be read: {error}"
        raise DamagedStream(row.stream_id, row.version if isinstance(row.version, int) else 0, msg) from error


def _whole(number: object) -> int:
    if not isinstance(number, int):
        msg = f"{number!r} is no whole number"
        raise TypeError(msg)
    return number
