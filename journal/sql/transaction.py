"""The transaction that records appends, on the driver's own connection.

SQLAlchemy writes the statements and keeps the connections. The statements are few and always the same, and what it does
for each execution costs more than the driver's own part of it.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import attrs
from sqlalchemy import Engine, PoolProxiedConnection, UpdateBase
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from journal.sql.changes import Changes, Row
from journal.sql.engines.backend import Backend, Failure, Run
from journal.sql.statements import Execution, executions


@attrs.frozen
class Written:
    """A statement in the words of one driver."""

    text: str
    order: Sequence[str] | None
    """The names of its values in their order; None where the driver takes them by name."""

    def values(self, row: Row) -> Any:
        """Return the values of a row as the driver takes them."""
        return row if self.order is None else [row[name] for name in self.order]


@attrs.define(eq=False)
class Connections:
    """The connections that appends are recorded on.

    One is kept between appends, as the pool does more for each use than a driver does for a statement. The pool lets go
    of it: in a forked process it would clean up what is its parent's, and speak on it.
    """

    engine: Engine
    _kept: list[PoolProxiedConnection] = attrs.field(factory=list, init=False)

    def take(self) -> PoolProxiedConnection:
        """Return one that nobody uses."""
        try:
            return self._kept.pop()
        except IndexError:
            return self.engine.raw_connection()

    def give_back(self, connection: PoolProxiedConnection) -> None:
        """Take back one that is in no transaction."""
        if not self._kept:
            connection.detach()
            self._kept.append(connection)
        elif connection.is_detached:
            self.drop(connection)
        else:
            connection.close()

    def drop(self, connection: PoolProxiedConnection) -> None:
        """Close one, whatever state it is in; the database undoes what was not committed."""
        driver = connection.dbapi_connection
        connection.invalidate()
        if driver is not None:
            with suppress(self.engine.dialect.loaded_dbapi.Error):  # the pool has closed it if it was the pool's
                driver.close()

    def close(self) -> None:
        """Close the one that is kept. Nothing is asked on it: it may be a dead one, and nobody would answer."""
        while self._kept:
            self.drop(self._kept.pop())


@attrs.define
class Transaction:
    """One transaction, for one recording."""

    connections: Connections
    backend: Backend
    written: dict[UpdateBase, Written]
    """The statements that were written before."""
    _committing: bool = attrs.field(default=False, init=False)
    """Whether what commits has been sent."""
    _at_once: bool = attrs.field(default=False, init=False)

    def record(self, changes: Changes) -> Collection[str]:
        """Record appends and return, once that is durable, the streams whose guard row was hit; the others were left alone.

        Raises DBAPIError, as SQLAlchemy's own connections do.
        """
        with self._connection() as connection:
            if self.backend.at_once is not None and changes.stand_alone:
                self._committing = self._at_once = True
                return self.backend.at_once(connection, changes)
            self.backend.begin(connection)
            if not all(_hits(connection, run) for run in self._runs(changes)):
                connection.rollback()
                return ()
            self._committing = True
            connection.commit()
            return changes.streams

    def may_be_recorded(self, error: BaseException) -> bool:
        """Tell whether what was to be recorded may be durable although recording it raised this error."""
        if not self._committing or not isinstance(error, DBAPIError):
            return self._committing
        failure = self.backend.failure(error)
        return failure is Failure.LOST if self._at_once else failure not in (Failure.ABORTED, Failure.CONFLICT)

    @contextmanager
    def _connection(self) -> Iterator[DBAPIConnection]:
        """Take a connection, and keep it only if all went well: an interrupt leaves it in the middle of an answer."""
        connection, engine = None, self.connections.engine
        base = engine.dialect.loaded_dbapi.Error
        try:
            connection = self.connections.take()
            assert connection.dbapi_connection is not None, "it is open"
            yield connection.dbapi_connection
        except BaseException as error:
            driver = connection and connection.dbapi_connection
            lost = isinstance(error, base) and engine.dialect.is_disconnect(error, driver, None)
            if connection is not None:
                self.connections.drop(connection)
            if lost:
                self.connections.close()
                engine.dispose()  # the others that wait are as old
            if not isinstance(error, base):
                raise
            raise DBAPIError.instance(None, None, error, base, connection_invalidated=lost, dialect=engine.dialect) from error
        self.connections.give_back(connection)

    def _runs(self, changes: Changes) -> Iterator[Run]:
        if self.backend.few is not None and changes.stand_alone:
            yield from self.backend.few(changes)
            return
        for execution in executions(changes):
            written, many = self._write(execution), len(execution.rows) > 1
            values = [written.values(row) for row in execution.rows]
            yield Run(written.text, values if many else values[0], many=many, hits=execution.hits)

    def _write(self, execution: Execution) -> Written:
        written = self.written.get(execution.statement)
        if written is None:
            compiled = execution.statement.compile(dialect=self.connections.engine.dialect, column_keys=[*execution.rows[0]])
            written = self.written[execution.statement] = Written(str(compiled), compiled.positiontup)
        return written


def _hits(connection: DBAPIConnection, run: Run) -> bool:
    """Run a statement and return whether it hit as many rows as it has to."""
    cursor = connection.cursor()
    try:
        if run.many:
            cursor.executemany(run.text, run.values)
        else:
            cursor.execute(run.text, run.values)
        return run.hits in (None, cursor.rowcount)
    finally:
        cursor.close()  # what raised may hold it, and SQLite would stay locked
