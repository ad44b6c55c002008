"""SQLite: a file, one writer at a time."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from journal.errors import SchemaNotCurrent, StoreError, StoreUnavailable
from journal.sql.engines.backend import READS, Failure

_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # without it INSERT OR REPLACE passes the append-only triggers
)
_CONFLICTS: Final = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")


class Sqlite:
    """The embedded default."""

    driver = "sqlite+pysqlite"
    extra: str | None = None

    def check(self, url: URL) -> None:
        """Demand a file: a database in memory is no journal."""
        if url.database in (None, "", ":memory:"):
            msg = "The journal's URL names no file; expected sqlite:///path/to/journal.db"
            raise StoreError(msg)

    def check_place(self, url: URL, *, make: bool) -> None:
        """Demand a folder, and the file unless it is to be made: SQLite would make an empty one by looking."""
        assert url.database is not None, "checked when the URL was parsed"
        path, shown = Path(url.database), url.render_as_string(hide_password=True)
        if not path.exists() and not make:
            msg = f"There is no journal at {shown}. Make it with `provjournal journal upgrade`."
            raise SchemaNotCurrent(msg)
        if not path.absolute().parent.is_dir():
            msg = f"The journal at {shown} cannot be made: there is no folder {path.parent}"
            raise StoreUnavailable(msg)

    def options(self) -> dict[str, Any]:
        """Return nothing: the defaults will do."""
        return {}

    def prepare(self, engine: Engine) -> None:
        """Have writers lock at once and durably, and the driver begin no transactions of its own."""
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)

    def failure(self, error: DBAPIError) -> Failure:
        """Tell by SQLite's extended code. A trigger arrives as an IntegrityError, too."""
        name = getattr(error.orig, "sqlite_errorname", "")
        if name in _CONFLICTS:
            return Failure.CONFLICT
        return Failure.ABORTED if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else Failure.FINAL


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: its deferred ones let a stale epoch's append through.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
