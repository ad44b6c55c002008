"""A transaction on the driver's own connection, for what runs the same few statements each time: appends.

SQLAlchemy writes the statements and keeps the connections. What it does for each execution costs more than the driver's
own part of it, and it has no word for sending statements on before the one before them is answered.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from sqlalchemy import Dialect, Engine, PoolProxiedConnection, UpdateBase
from sqlalchemy.exc import DBAPIError

from journal.sql.engines.backend import Backend

Values = Mapping[str, Any]


@attrs.frozen
class Change:
    """A statement that is run once for each of `rows`, which all give values to the same names."""

    statement: UpdateBase
    rows: Sequence[Values]
    hits: int | None = None
    """How many rows of the table it has to hit; None where that does not matter."""


@attrs.frozen
class Written:
    """A statement in the words of one driver."""

    text: str
    order: Sequence[str] | None
    """The names of its values in their order; None where the driver takes them by name."""

    def values(self, row: Values) -> Any:
        """Return the values of a row as the driver takes them."""
        return row if self.order is None else [row[name] for name in self.order]


@attrs.define
class Transaction:
    """One transaction. What was not committed at its end is undone."""

    connection: PoolProxiedConnection
    dialect: Dialect
    backend: Backend
    written: dict[UpdateBase, Written]

    def make(self, changes: Sequence[Change]) -> bool:
        """Make changes, in this order, and return whether each hit as many rows as it has to."""
        cursors = []
        with self.backend.pipelined(self.connection):
            for change in changes:
                cursor, written = self.connection.cursor(), self._write(change)
                if len(change.rows) == 1:
                    cursor.execute(written.text, written.values(change.rows[0]))
                else:
                    cursor.executemany(written.text, [written.values(row) for row in change.rows])
                cursors.append(cursor)
        return all(change.hits in (None, cursor.rowcount) for change, cursor in zip(changes, cursors, strict=True))

    def commit(self) -> None:
        """Commit, and return once that is durable."""
        self.connection.commit()

    def _write(self, change: Change) -> Written:
        written = self.written.get(change.statement)
        if written is None:
            compiled = change.statement.compile(dialect=self.dialect, column_keys=[*change.rows[0]])
            written = self.written[change.statement] = Written(str(compiled), compiled.positiontup)
        return written


@contextmanager
def transaction(engine: Engine, backend: Backend, written: dict[UpdateBase, Written]) -> Iterator[Transaction]:
    """Begin a transaction; errors of the driver are raised as SQLAlchemy raises them, as DBAPIError.

    `written` keeps the statements that were written before.
    """
    connection = None
    try:
        connection = engine.raw_connection()
        backend.begin(connection)
        yield Transaction(connection, engine.dialect, backend, written)
    except BaseException as error:
        of_driver = engine.dialect.loaded_dbapi.Error
        if not isinstance(error, of_driver):
            if connection is not None and not isinstance(error, Exception):
                connection.invalidate()  # an interrupt can leave it in the middle of an answer
            raise
        lost = engine.dialect.is_disconnect(error, connection and connection.dbapi_connection, None)
        if lost:
            if connection is not None:
                connection.invalidate(error)
            engine.dispose()  # the others that wait in the pool are as old
        raise DBAPIError.instance(None, None, error, of_driver, connection_invalidated=lost, dialect=engine.dialect) from error
    finally:
        if connection is not None:
            connection.close()
