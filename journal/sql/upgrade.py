"""Making the tables, bringing them up to date, and refusing to work on others."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from journal.errors import SchemaNotCurrent, StoreUnavailable
from journal.sql.engine import Database
from journal.sql.engines.backend import READS


def upgrade(database: Database) -> None:
    """Make the journal's tables, or bring them up to date. Raises StoreError if that cannot be done."""
    config = _config()
    try:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaNotCurrent(_newer(database)) from error
    except DBAPIError as error:
        msg = f"The journal at {database.shown} cannot be upgraded: {error.orig}"
        raise StoreUnavailable(msg) from error


def check_current(database: Database) -> None:
    """Raise SchemaNotCurrent, with the next step, unless the tables are this library's."""
    script = ScriptDirectory.from_config(_config())
    try:
        with database.engine.connect().execution_options(**{READS: True}) as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        msg = f"The journal at {database.shown} cannot be read: {error.orig}"
        raise StoreUnavailable(msg) from error
    if found == script.get_current_head():
        return
    known = {revision.revision for revision in script.walk_revisions()}
    if found is None:
        msg = f"There is no journal in {database.shown}. Make it with `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    if found in known:
        msg = f"The journal at {database.shown} is of an older version. Run `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    raise SchemaNotCurrent(_newer(database))


def _newer(database: Database) -> str:
    return f"The journal at {database.shown} was made by a newer version of this library. Install that version."


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "journal:migrations")
    return config
