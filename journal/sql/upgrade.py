"""Making the tables, bringing them up to date, and refusing to work on others."""

import threading
from collections.abc import Callable
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from journal.errors import SchemaNotCurrent, StoreUnavailable
from journal.sql.engine import Database
from journal.sql.schema import REVISION

ATTEMPTS: Final = 5
"""How often an upgrade is tried: another conductor may upgrade at the same time, and readers may be in the way."""

_ALEMBIC: Final = threading.Lock()
"""Alembic keeps the migration that runs in variables of its modules: one at a time in a process."""


def upgrade(database: Database, revision: str = "head") -> None:
    """Make the journal's tables, or bring them up to date, or to a revision.

    Safe to run on every conductor at once, and again after a crash. Raises StoreError if it cannot be done.
    """
    found = _revision(database)
    _refuse_newer(database, found)
    if found != REVISION:
        _migrate(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str) -> None:
    """Take the tables back to an older revision, for an older version of this library; after a crash, again.

    Raises StoreError if it cannot be done, or if something would be lost.
    """
    _refuse_newer(database, _revision(database))
    known = _revisions()
    if revision not in known:
        msg = f"There is no revision {revision}; there are {', '.join(sorted(known))}."
        raise SchemaNotCurrent(msg)
    _refuse_loss(database, revision)
    _migrate(database, lambda config: command.downgrade(config, revision))


def _refuse_loss(database: Database, revision: str) -> None:
    """Ask every revision that would be taken back, before the first one is: not every engine undoes a downgrade that fails."""
    scripts, found = _scripts(), _revision(database)
    back = [script for script in scripts.walk_revisions(revision, found or "base") if script.revision != revision]
    for script in back:
        refuse = getattr(script.module, "refuse_downgrade", None)
        if refuse is not None:
            database.look(refuse)


def check_current(database: Database) -> None:
    """Raise SchemaNotCurrent, with the next step, unless the tables are this library's."""
    found = _revision(database)
    if found == REVISION:
        return
    if found is None:
        msg = f"There is no journal in {database.shown}. Make it with `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    _refuse_newer(database, found)
    msg = f"The journal at {database.shown} is of an older version. Run `provjournal journal upgrade`."
    raise SchemaNotCurrent(msg)


def _revision(database: Database) -> str | None:
    return database.look(lambda connection: MigrationContext.configure(connection).get_current_revision())


def _refuse_newer(database: Database, found: str | None) -> None:
    if found is not None and found not in _revisions():
        msg = f"The journal at {database.shown} was made by a newer version of this library. Install that version."
        raise SchemaNotCurrent(msg)


def _migrate(database: Database, migrate: Callable[[Config], None]) -> None:
    def attempt() -> None:
        config = _config()
        with _ALEMBIC, database.backend.upgrading(database.engine), database.engine.begin() as connection:
            database.backend.prepare_upgrade(connection)
            config.attributes["connection"] = connection
            migrate(config)

    again = Retrying(
        retry=retry_if_exception_type((DBAPIError, CommandError)),
        wait=wait_random(0.1, 1),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    try:
        again(attempt)
    except DBAPIError as error:
        raise database.unavailable(error, "migrated") from error
    except CommandError as error:
        msg = f"The journal at {database.shown} cannot be migrated: {error}"
        raise StoreUnavailable(msg) from error
    finally:
        database.close()  # an upgrade's connections have settings of their own


def _revisions() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "journal:migrations")
    return config
