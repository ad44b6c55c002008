"""The tables, as SQLAlchemy Core sees them. `journal/migrations` makes them; a test holds the two together.

Events are text that an operator can read with any SQL client. Leases are seconds since 1970 by the database's own
clock, so that every engine can compare them in the statement that takes a stream over.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

COLLATIONS: Final[Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin", "mysql_engine": "InnoDB"}
"""How MariaDB compares: byte for byte, trailing spaces included, as the other engines do."""
LONG: Final = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""MariaDB's TEXT ends at 64 KiB."""
NAME: Final = String(255).with_variant(String(255, collation="C"), "postgresql")
"""A name that is sorted by its bytes on every engine."""

REVISION: Final = "0004"
"""The last of `journal/migrations/versions`, which makes these tables."""

METADATA = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s", "ix": "ix_%(column_0_label)s"}
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("single", SmallInteger, nullable=False, server_default="1"),
    UniqueConstraint("single"),
    **COLLATIONS,
)
"""One row, and never two: the journal's id, made with the schema."""

STREAMS = Table(
    "streams",
    METADATA,
    Column("stream_id", NAME, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("head_hash", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String(255)),
    Column("lease_expires_at", Double),
    Column("operation", String(36)),
    Column("changed_at", Double, nullable=False, server_default="0"),
    Column("archived_to", LONG),
    Column("settled_version", BigInteger, nullable=False, server_default="0"),
    Index("ix_streams_changed_at", "changed_at"),
    **COLLATIONS,
)
"""The guard row of each stream. It stays when the stream's events are archived, so that its name is never used again."""

EVENTS = Table(
    "events",
    METADATA,
    Column("stream_id", NAME, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("event_id", String(36), nullable=False),
    Column("type", String(40), nullable=False),
    Column("schema", Integer, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("operation", String(36)),
    Column("data", LONG, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("event_id"),
    ForeignKeyConstraint(["stream_id"], ["streams.stream_id"], name="fk_events_stream_id_streams"),
    **COLLATIONS,
)
"""The events, which triggers keep from being changed or removed."""

UNFINISHED_STEPS = Table(
    "unfinished_steps",
    METADATA,
    Column("step", String(36), nullable=False),
    Column("stream_id", NAME, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("operation", String(36), nullable=False),
    Column("stage", String(40), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", LONG, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("deadline", String(27), nullable=False),
    PrimaryKeyConstraint("stream_id", "step"),
    sqlite_with_rowid=False,
    **COLLATIONS,
)
"""The index of unfinished steps, changed in the transaction of each append."""


SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("stream_id", NAME, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("made_by", String(64), nullable=False),
    Column("data", LONG, nullable=False),
    **COLLATIONS,
)
"""What opening a stream would work out again; the last one of each stream."""


class DatabaseNow(FunctionElement[float]):
    """The database's own clock, in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(DatabaseNow, "mysql")
@compiles(DatabaseNow, "mariadb")
def _mariadb_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) AS DOUBLE)"
