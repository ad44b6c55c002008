"""PostgreSQL, through psycopg 3."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from sqlalchemy import Connection, Engine, TextClause, event, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from journal.errors import StoreError
from journal.sql.engines.backend import Failure
from journal.sql.engines.one_statement import record_at_once

CONNECT_SECONDS: Final = 10
"""How long a connection may take to come about."""
UPGRADE_WAITS_SECONDS: Final = 3
"""How long an upgrade waits for a lock, while others wait behind it."""

_UNIQUE_VIOLATION: Final = "23505"
_ABORTED: Final = ("40001", "40P01", "55P03", "57014", "25P03", "25006")
"""Serialization failure, deadlock, lock not available, cancelled, idle in transaction, read-only (a standby, for now)."""
_LOST: Final = ("08", "57P")
"""Classes of connection failures, and of a server that shuts down or starts."""

_CHECK_URL: Final = "Check host, port, user, password and database in the URL, and that the server runs."
_ADVICE: Final = {
    "25006": "The server is a standby, or set to read only; use the one that is written to.",
    "42501": 'Its user lacks a right; docs/command-line.md, "Rights in the database", lists what it takes.',
    "53100": "Make room on the server's disk; all that was acknowledged is there.",
    "53300": "Let the server take more connections, or use fewer.",
}
"""By SQLSTATE."""

_EXPECTED: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
}
"""Settings without which a crash loses what was acknowledged."""


class Postgresql:
    """A PostgreSQL server."""

    driver = "postgresql+psycopg"
    extra: str | None = "postgresql"
    at_once = staticmethod(record_at_once)
    few = None

    def check(self, url: URL) -> None:
        """Demand the name of a database."""
        if not url.database:
            msg = "The journal's URL names no database; expected postgresql://user:password@host/database"
            raise StoreError(msg)

    def check_place(self, url: URL, *, make: bool) -> None:
        """Nothing can be said without asking the server."""

    def options(self) -> dict[str, Any]:
        """Return a bound for connecting; no connection is to ask for a type of PostgreSQL's that no table has."""
        return {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "use_native_hstore": False}

    def prepare(self, engine: Engine) -> None:
        """Refuse a database that cannot hold every text. The guard row is safe under every isolation level."""
        shown = engine.url.set(drivername="postgresql").render_as_string()

        def check_encoding(connection: Any, _entry: ConnectionPoolEntry) -> None:
            found = connection.info.parameter_status("server_encoding")
            if found != "UTF8":
                has = f"its database has the encoding {found}, expected UTF8"
                msg = f"The journal at {shown} cannot be used: {has}. Make another database for it."
                raise StoreError(msg)

        event.listen(engine, "connect", check_encoding, insert=True)  # before SQLAlchemy asks, which fails then

    def upgrading(self, engine: Engine) -> AbstractContextManager[None]:  # noqa: ARG002 (the port's)
        """Nothing: an upgrade is one transaction, and one of two at once is undone as a whole."""
        return nullcontext()

    def prepare_upgrade(self, connection: Connection) -> None:
        """Bound the wait for a table's lock."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{UPGRADE_WAITS_SECONDS}s'")

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """Look at what the server does at a commit."""
        values = connection.exec_driver_sql(f"SELECT {', '.join(f'current_setting({name!r})' for name in _EXPECTED)}").one()
        settings = zip(_EXPECTED.items(), values, strict=True)
        return [f"{name} is {value}, expected {' or '.join(good)}" for (name, good), value in settings if value not in good]

    def reading(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002 (the port's)
        """Nothing: each query sees one state of the database."""
        return nullcontext()

    def begin(self, connection: DBAPIConnection) -> None:
        """Nothing: the driver begins with the first statement."""

    def size(self) -> TextClause:
        """Ask for all that belongs to the tables of the schema in use."""
        return text(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
            "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
        )

    def advice(self, error: DBAPIError) -> str:
        """Tell by SQLSTATE; whoever could not connect has none."""
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            return _CHECK_URL if isinstance(error, OperationalError) else ""
        return _ADVICE.get(state, "")

    def failure(self, error: DBAPIError) -> Failure:
        """Tell by SQLSTATE; a server that is gone has none."""
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            gone = error.connection_invalidated or isinstance(error, OperationalError)
            return Failure.LOST if gone else Failure.FINAL
        if state == _UNIQUE_VIOLATION:
            return Failure.CONFLICT
        if state.startswith(_LOST):
            return Failure.LOST
        return Failure.ABORTED if state in _ABORTED else Failure.FINAL
