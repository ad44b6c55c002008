"""What is looked at when a journal is opened: whether its tables are this library's, its id, and whether it is set safely.

All of it is one look, on one connection. Only where something is wrong is it looked at more closely, with Alembic,
which takes as long to load as everything else together.
"""

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from journal.errors import WeakDurability
from journal.sql.engine import Database
from journal.sql.engines.backend import Failure
from journal.sql.schema import JOURNAL, REVISION

LOG: Final = logging.getLogger(__name__)
_IDENTITY: Final = "SELECT id, version_num FROM journal, alembic_version"
"""One row, in a journal."""

Found = tuple[UUID, Sequence[str]]
"""The journal's id, and which settings of the database are weaker than its promise."""


def identified(database: Database, *, strict: bool) -> UUID:
    """Return the id of the journal in this database.

    Warns of each setting under which an acknowledged append could be lost; raises WeakDurability instead if `strict`.
    Raises SchemaNotCurrent, with the next step, unless the tables are this library's, and StoreUnavailable.
    """
    journal_id, weaknesses = database.look(lambda connection: _seen(database, connection)) or _looked_into(database)
    if weaknesses and strict:
        raise WeakDurability(database.shown, weaknesses)
    for weakness in weaknesses:
        LOG.warning("the journal at %s could lose what it has acknowledged: %s", database.shown, weakness)
    return journal_id


def id_in(database: Database) -> UUID:
    """Return the id of the journal in a database whose tables are current. Raises StoreUnavailable."""
    ((journal_id,),) = database.rows(select(JOURNAL.c.id))
    return UUID(journal_id)


def _seen(database: Database, connection: Connection) -> Found | None:
    """Return what there is to see; None if the tables are not this library's, or not there, or may not be read."""
    try:
        rows = connection.exec_driver_sql(_IDENTITY).all()
    except DBAPIError as error:
        if database.backend.failure(error) is Failure.FINAL:
            return None
        raise
    if [row.version_num for row in rows] != [REVISION]:
        return None
    return UUID(rows[0].id), database.backend.weaknesses(connection)


def _looked_into(database: Database) -> Found:
    """Return the same, asked for one by one. Raises what says what is wrong."""
    from journal.sql.upgrade import check_current  # noqa: PLC0415 (it loads Alembic)

    check_current(database)
    return id_in(database), database.look(database.backend.weaknesses)
