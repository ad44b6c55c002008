"""How a database is opened, asked and changed: bounded retries, and errors that a person can act on."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Executable, Pool, Row, UpdateBase, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from journal.errors import StoreError, StoreUnavailable
from journal.sql.engines.backend import READS, Away, Backend, Failure
from journal.sql.engines.mariadb import Mariadb
from journal.sql.engines.postgresql import Postgresql
from journal.sql.engines.sqlite import Sqlite
from journal.sql.fork import renew_after_fork
from journal.sql.transaction import Connections, Transaction, Written

BACKENDS: Final[dict[str, Backend]] = {
    "sqlite": Sqlite(),
    "postgresql": Postgresql(),
    "mysql": Mariadb(),
    "mariadb": Mariadb(),
}
"""The engines, by the name that a URL begins with."""
RETRY_SECONDS: Final = 60.0
"""How long something is tried again while the database is busy or away."""

Result = TypeVar("Result")


class Database:
    """One database, as the store uses it. Safe to use from many threads."""

    def __init__(self, url: URL, *, retry_seconds: float = RETRY_SECONDS) -> None:
        """Make an engine for the database at this URL. Raises StoreError if its driver is not there."""
        self.url = url
        self.backend = BACKENDS[url.get_backend_name()]
        self.retry_seconds = retry_seconds
        try:
            self.engine: Engine = create_engine(url, **self.backend.options())
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            msg = (
                f"The driver of the journal's URL {shown(url)} is not installed. "
                f"`pip install 'provisioning-journal[{self.backend.extra}]'` brings it."
            )
            raise StoreError(msg) from error
        self.backend.prepare(self.engine)
        self._reader = self.engine.execution_options(**{READS: True})
        self._written: dict[UpdateBase, Written] = {}
        self._connections = Connections(self.engine)
        self._of_parents: list[Pool | Connections] = []
        renew_after_fork(self)

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without its password."""
        return shown(self.url)

    def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """Run a query and return what it finds. Raises StoreUnavailable."""
        return self._again(lambda: self._seen(lambda connection: connection.execute(statement).all()))

    def rows_of_text(self, text: str) -> Sequence[Row[Any]]:
        """Run a query that is text, without values: SQLAlchemy would make it anew for each engine. Raises StoreUnavailable."""
        return self._again(lambda: self._seen(lambda connection: connection.exec_driver_sql(text).all()))

    def look(self, see: Callable[[Connection], Result]) -> Result:
        """Return what is seen at first, when a journal is opened. A database that is away is told at once.

        Only one that is busy is asked again: SQLite is, while another process makes the file. Raises StoreUnavailable.
        """
        return self._again(lambda: self._seen(see), retried=(Failure.ABORTED,))

    def change(self, statement: UpdateBase) -> int:
        """Run a change that may safely run twice, and return how many rows it hit. Raises StoreUnavailable."""
        return self.transact(lambda connection: connection.execute(statement).rowcount)

    def transact(self, do: Callable[[Connection], Result]) -> Result:
        """Do in one transaction what may safely be done twice. Raises StoreUnavailable."""

        def attempt() -> Result:
            with self.engine.begin() as connection:
                return do(connection)

        return self._again(attempt)

    def transaction(self) -> Transaction:
        """Return a transaction that records appends."""
        return Transaction(self._connections, self.backend, self._written)

    def retrying(self) -> Retrying:
        """Return the retries of everything here: while it is Away, with jitter, for a bounded time."""
        return Retrying(
            retry=retry_if_exception_type(Away),
            wait=wait_random_exponential(multiplier=0.01, max=1),
            stop=stop_after_delay(self.retry_seconds),
        )

    def unavailable(self, error: DBAPIError, doing: str = "used") -> StoreUnavailable:
        """Return the error that a person can act on."""
        return StoreUnavailable(f"The journal at {self.shown} cannot be {doing}: {self.told(error)}")

    def told(self, error: DBAPIError) -> str:
        """Return an error of the driver as a person is told of it, with what to do about it where that is known."""
        said = " ".join(str(error.orig).split()).rstrip(".?")
        return f"{said}. {self.backend.advice(error)}".rstrip()

    def after_fork(self) -> None:
        """Begin with no connections: those there are the parent's, and not even closing them is safe here."""
        self._of_parents += (self.engine.pool, self._connections)
        self._connections = Connections(self.engine)
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()
        self.engine.dispose()

    def _seen(self, see: Callable[[Connection], Result]) -> Result:
        with self._reader.connect() as connection, self.backend.reading(connection):
            return see(connection)

    def _again(self, ask: Callable[[], Result], retried: Sequence[Failure] = (Failure.ABORTED, Failure.LOST)) -> Result:
        doubted = False

        def attempt() -> Result:
            nonlocal doubted
            try:
                return ask()
            except DBAPIError as error:
                failure = self.backend.failure(error)
                again, doubted = failure is Failure.DOUBTFUL and not doubted, failure is Failure.DOUBTFUL
                if failure in retried or again:
                    raise Away(self.told(error)) from error
                raise self.unavailable(error) from error

        try:
            return self.retrying()(attempt)
        except RetryError as error:
            away = error.last_attempt.exception()
            msg = f"The journal at {self.shown} cannot be used: {away}"
            raise StoreUnavailable(msg) from away


def parsed(url: str) -> URL:
    """Return a database URL. Raises StoreError, without its password, if it is none that this library can use."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        msg = (
            "The journal's URL cannot be read; expected one like sqlite:///path/to/journal.db. "
            "In user and password, escape @ as %40, : as %3A and / as %2F."
        )
        raise StoreError(msg) from None  # that error may show the password
    name = found.get_backend_name()
    if name != "sqlite" and "@" in _behind_password(url, found):
        msg = "The journal's URL has an @ too many; in user and password, escape @ as %40, : as %3A and / as %2F."
        raise StoreError(msg)
    if name not in BACKENDS:
        msg = f"The journal's URL {shown(found)} names {name}; journals are kept on {', '.join(BACKENDS)}"
        raise StoreError(msg)
    backend = BACKENDS[name]
    backend.check(found)
    return found if "+" in found.drivername else found.set(drivername=backend.driver)


def _behind_password(text: str, url: URL) -> str:
    """Return what follows user and password, where part of a password stands if an @ in it is taken for its end."""
    rest = text.partition("://")[2]
    if url.password is not None:
        return rest.partition(":")[2].partition("@")[2]
    return rest if url.username is None else rest.rpartition("@")[2]


def shown(url: URL) -> str:
    """Return a URL as it may be shown: without its password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
