"""The port that each database engine fills."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Final, Protocol

import attrs
from sqlalchemy import Connection, Engine, TextClause
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from journal.sql.changes import Changes

READS: Final = "provjournal_reads"
"""Execution option of connections that only read: on SQLite they take no lock."""


class Failure(Enum):
    """What an error of the driver means for an append."""

    CONFLICT = "somebody else's row is there already"
    ABORTED = "the database certainly undid the transaction; it may work another time"
    LOST = "the database is away, and what it did last is not known; it may work another time"
    DOUBTFUL = "what was read may have been changed meanwhile; it is worth one more look"
    FINAL = "the database refuses it"


class Away(Exception):
    """The database is busy, away or behind; trying again may help."""


@attrs.frozen
class Run:
    """A statement in the words of one driver, and how it is run."""

    text: str
    values: Any
    many: bool = False
    """Whether it is run once for each of `values`."""
    hits: int | None = None
    """How many rows of the table it has to hit; None where that does not matter."""


class Backend(Protocol):
    """One database engine."""

    driver: str
    """The name by which SQLAlchemy knows dialect and driver."""
    extra: str | None
    """The extra of this distribution that brings the driver; None where Python brings it."""

    @property
    def at_once(self) -> Callable[[DBAPIConnection, Changes], Collection[str]] | None:
        """What records appends that stand alone in one statement; None where the engine has no such statement.

        It commits itself, and returns the streams whose guard row was hit.
        """

    @property
    def few(self) -> Callable[[Changes], Iterator[Run]] | None:
        """What records appends that stand alone in few statements; None where the driver sends one for each row as well."""

    def check(self, url: URL) -> None:
        """Raise StoreError if the URL misses something that this engine needs."""

    def check_place(self, url: URL, *, make: bool) -> None:
        """Raise StoreError if there can be no journal at this URL; `make`: it need not be there yet."""

    def options(self) -> dict[str, Any]:
        """Return the options with which the engine is made."""

    def prepare(self, engine: Engine) -> None:
        """See to it that every connection has the settings on which the store's promises rest."""

    def upgrading(self, engine: Engine) -> AbstractContextManager[None]:
        """Keep other processes from upgrading meanwhile, where the transaction of an upgrade does not. Raises StoreError."""

    def prepare_upgrade(self, connection: Connection) -> None:
        """See to it that an upgrade waits for others for a short time only: whoever comes behind it waits, too."""

    def weaknesses(self, connection: Connection) -> Sequence[str]:
        """Return what is set so that an acknowledged append could be lost, each with the setting and the right value."""

    def reading(self, connection: Connection) -> AbstractContextManager[None]:
        """Watch over a look at the database. Raises Away, at its end, if what was seen may have been changed meanwhile."""

    def begin(self, connection: DBAPIConnection) -> None:
        """Begin a transaction that writes, on the driver's own connection, where the driver does not do so by itself."""

    def size(self) -> TextClause:
        """Return the query for the bytes that the journal's tables and indexes take on disk."""

    def advice(self, error: DBAPIError) -> str:
        """Return what a person can do about an error of the driver, as a sentence; empty if nothing is known."""

    def failure(self, error: DBAPIError) -> Failure:
        """Tell what an error of the driver means."""
