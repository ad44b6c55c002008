"""The tables, as SQLAlchemy Core sees them. `journal/migrations` makes them; a test holds the two together.

Events are text that an operator can read with any SQL client. Leases are seconds since 1970 by the database's own
clock, so that every engine can compare them in the statement that takes a stream over.
"""

from typing import Any

from sqlalchemy import Column, Double, ForeignKeyConstraint, Index, Integer, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

METADATA = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s", "ix": "ix_%(column_0_label)s"}
)

JOURNAL = Table("journal", METADATA, Column("id", String(36), primary_key=True))
"""One row: the journal's id, made with the schema."""

STREAMS = Table(
    "streams",
    METADATA,
    Column("stream_id", String(255), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("head_hash", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", String(255)),
    Column("lease_expires_at", Double),
    Column("operation", String(36)),
)
"""The guard row of each stream."""

EVENTS = Table(
    "events",
    METADATA,
    Column("stream_id", String(255), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("event_id", String(36), nullable=False),
    Column("type", String(40), nullable=False),
    Column("schema", Integer, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("operation", String(36)),
    Column("data", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("event_id"),
    ForeignKeyConstraint(["stream_id"], ["streams.stream_id"], name="fk_events_stream_id_streams"),
)
"""The events, which triggers keep from being changed or removed."""

UNFINISHED_STEPS = Table(
    "unfinished_steps",
    METADATA,
    Column("step", String(36), primary_key=True),
    Column("stream_id", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("operation", String(36), nullable=False),
    Column("stage", String(40), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", Text, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("deadline", String(27), nullable=False),
    Index("ix_unfinished_steps_stream_id_version", "stream_id", "version"),
)
"""The index of unfinished steps, changed in the transaction of each append."""


class DatabaseNow(FunctionElement[float]):
    """The database's own clock, in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
