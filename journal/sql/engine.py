"""How a database is opened: the settings on which the store's promises rest, and errors that a person can act on."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from journal.errors import StoreError

READS: Final = "provjournal_reads"
"""Execution option of connections that only read: they take no lock."""

_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # without it INSERT OR REPLACE passes the append-only triggers
)


def parsed(url: str) -> URL:
    """Return a database URL. Raises StoreError, without its password, if it is none that this library can use."""
    try:
        found = make_url(url)
    except ArgumentError as error:
        msg = "The journal's URL cannot be read; expected one like sqlite:///path/to/journal.db"
        raise StoreError(msg) from error
    if found.get_backend_name() != "sqlite":
        msg = f"The journal's URL {shown(found)} names {found.get_backend_name()}; this version keeps journals on SQLite only: sqlite:///path"
        raise StoreError(msg)
    if found.database in (None, "", ":memory:"):
        msg = "The journal's URL names no file; expected sqlite:///path/to/journal.db"
        raise StoreError(msg)
    return found


def shown(url: URL) -> str:
    """Return a URL as it may be shown: without its password."""
    return url.render_as_string(hide_password=True)


def database_file(url: URL) -> Path:
    """Return the file of an SQLite database."""
    assert url.database is not None, "checked when the URL was parsed"
    return Path(url.database)


def connect(url: URL) -> Engine:
    """Return an engine for the database at this URL."""
    try:
        engine = create_engine(url)
    except NoSuchModuleError as error:
        msg = f"The journal's URL {shown(url)} names a driver that is not installed"
        raise StoreError(msg) from error
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: its deferred ones let a stale epoch's append through.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    if not options.get(READS):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
