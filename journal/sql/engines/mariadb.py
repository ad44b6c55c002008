"""MariaDB and Galera, through PyMySQL: the URL form that OpenStack's services use."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Engine, TextClause, event, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry
from tenacity import RetryCallState, Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_random

from journal.errors import StoreError
from journal.sql.engines.backend import Failure
from journal.sql.engines.few_statements import few_statements

CONNECT_SECONDS: Final = 10
"""How long a connection may take to come about."""
ANSWER_SECONDS: Final = 60
"""How long an answer may take."""
UPGRADE_WAITS_SECONDS: Final = 3
"""How long an upgrade waits for a lock, while others wait behind it."""

CLAIM_SECONDS: Final = 120
"""How long an upgrade may take until another process takes it for dead."""
_CLAIMS: Final = (
    "CREATE TABLE IF NOT EXISTS upgrading (single TINYINT PRIMARY KEY, owner VARCHAR(36), until DOUBLE NOT NULL) ENGINE = InnoDB",
    "INSERT IGNORE INTO upgrading VALUES (1, NULL, 0)",
)
_TAKE_CLAIM: Final = """UPDATE upgrading SET owner = :me, until = UNIX_TIMESTAMP(SYSDATE(6)) + :seconds
    WHERE single = 1 AND until < UNIX_TIMESTAMP(SYSDATE(6))"""

_DUPLICATE: Final = 1062
_ABORTED: Final = (1213, 1205, 1020, 1047, 1969)
"""Deadlock or failed certification, lock wait timeout, changed since read, node not ready, statement timed out."""
_LOST: Final = (1180, 1927, 2003, 2006, 2013, 2055)
"""Failure at commit (quorum lost), connection killed, cannot connect, server gone, connection lost."""

_MAKE_ROOM: Final = "Make room on the server's disk; all that was acknowledged is there."
_READ_ONLY: Final = "The server is set to read only; use the one that is written to."
_NO_ANSWER: Final = "Check host and port in the URL, and that the server there is a MariaDB that runs; its log may say more."
_RIGHTS: Final = 'Its user lacks a right; docs/command-line.md, "Rights in the database", lists what it takes.'
_ADVICE: Final = {
    1021: _MAKE_ROOM,
    1040: "Let the server take more connections, or use fewer.",
    1044: "Check user and database in the URL, and the user's rights.",
    1045: "Check user and password in the URL.",
    1049: "Check the database in the URL, or make it.",
    1114: _MAKE_ROOM,
    1142: _RIGHTS,
    1143: _RIGHTS,
    1227: _RIGHTS,
    1290: _READ_ONLY,
    1419: _RIGHTS,
    1792: _READ_ONLY,
    1836: _READ_ONLY,
    2003: "Check host and port in the URL, and that the server runs.",
    2006: _NO_ANSWER,
    2013: _NO_ANSWER,
}
"""By the server's code."""

_SETTINGS: Final = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = 'TRADITIONAL'",  # what does not fit is refused, never cut
    "SET SESSION wsrep_sync_wait = 1",  # on Galera a read waits for what other nodes have committed
)

_EXPECTED: Final = {"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "ON", "wsrep_sync_wait": "1"}
"""Settings without which a crash loses what was acknowledged; the last is the connection's own, set above."""


class Mariadb:
    """A MariaDB server, alone or a node of a Galera cluster."""

    driver = "mysql+pymysql"
    extra: str | None = "mariadb"
    at_once = None
    few = staticmethod(few_statements)

    def check(self, url: URL) -> None:
        """Demand the name of a database."""
        if not url.database:
            msg = "The journal's URL names no database; expected mysql+pymysql://user:password@host/database"
            raise StoreError(msg)

    def check_place(self, url: URL, *, make: bool) -> None:
        """Nothing can be said without asking the server."""

    def options(self) -> dict[str, Any]:
        """Return bounds for connecting and for answers."""
        bounds = {"connect_timeout": CONNECT_SECONDS, "read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
        return {"connect_args": {"charset": "utf8mb4", **bounds}}

    def prepare(self, engine: Engine) -> None:
        """Have every connection be strict and read causally."""
        event.listen(engine, "connect", _prepare)

    @contextmanager
    def upgrading(self, engine: Engine) -> Iterator[None]:
        """Hold a claim on the journal's schema.

        MariaDB commits each statement, and a Galera cluster hangs for good if two of its nodes are given the same
        CREATE TRIGGER at once (seen with MariaDB 10.11). A claim is a row, since no other lock is a whole cluster's.
        """
        me = {"me": str(uuid4()), "seconds": CLAIM_SECONDS}
        claims = engine.execution_options(isolation_level="AUTOCOMMIT")
        claim = Retrying(
            retry=retry_if_result(lambda claimed: not claimed) | retry_if_exception(self._may_pass),
            wait=wait_random(0.05, 0.5),
            stop=stop_after_delay(CLAIM_SECONDS + 30),
            retry_error_callback=_no_claim,
        )
        claim(_claim, claims, me)
        try:
            yield
        finally:
            with claims.connect() as connection:
                connection.execute(text("UPDATE upgrading SET until = 0 WHERE owner = :me"), {"me": me["me"]})

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, DBAPIError) and self.failure(error) in (Failure.ABORTED, Failure.LOST)

    def prepare_upgrade(self, connection: Connection) -> None:
        """Bound the wait for a table's metadata lock."""
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {UPGRADE_WAITS_SECONDS}")

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """Look at what the server does at a commit, at the tables' engine and at causal reads on a cluster."""
        rows = connection.execute(text("SHOW VARIABLES WHERE Variable_name IN :names"), {"names": tuple(_EXPECTED)})
        found = [f"{name} is {value}, expected {_EXPECTED[name]}" for name, value in rows if value != _EXPECTED[name]]
        engines = connection.execute(
            text("SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()")
        )
        return [
            *found,
            *(f"table {table} is kept by {engine}, expected InnoDB" for table, engine in engines if engine != "InnoDB"),
        ]

    def reading(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002 (the port's)
        """Nothing: each query sees one state of the database."""
        return nullcontext()

    def begin(self, connection: DBAPIConnection) -> None:
        """Nothing: the server begins with the first statement."""

    def size(self) -> TextClause:
        """Ask for what the server last counted."""
        return text(
            "SELECT CAST(coalesce(sum(data_length + index_length), 0) AS UNSIGNED) FROM information_schema.tables "
            "WHERE table_schema = DATABASE()"
        )

    def advice(self, error: DBAPIError) -> str:
        """Tell by the server's code."""
        return _ADVICE.get(_code(error), "")

    def failure(self, error: DBAPIError) -> Failure:
        """Tell by the server's code."""
        code = _code(error)
        if code == _DUPLICATE:
            return Failure.CONFLICT
        if error.connection_invalidated or code in _LOST:
            return Failure.LOST
        return Failure.ABORTED if code in _ABORTED else Failure.FINAL


def _claim(claims: Engine, me: dict[str, Any]) -> bool:
    """Try to claim the schema, and tell whether that worked."""
    with claims.connect() as connection:
        for statement in _CLAIMS:
            connection.execute(text(statement))
        return connection.execute(text(_TAKE_CLAIM), me).rowcount == 1


def _no_claim(state: RetryCallState) -> bool:
    assert state.outcome is not None, "called after an attempt"
    state.outcome.result()  # raises what the last attempt raised
    msg = "Another process upgrades the journal and does not come to an end. Look for it, and try again."
    raise StoreError(msg)


def _code(error: DBAPIError) -> int:
    """Return the server's or the client's code of an error, 0 if it has none."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        for setting in _SETTINGS:
            cursor.execute(setting)
