"""Making the tables, bringing them up to date, and refusing to work on others."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from journal.errors import SchemaNotCurrent, StoreUnavailable
from journal.sql.engine import READS, shown


def upgrade(engine: Engine) -> None:
    """Make the journal's tables, or bring them up to date. Raises StoreError if that cannot be done."""
    config = _config()
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaNotCurrent(_newer(engine)) from error
    except DatabaseError as error:
        msg = f"The journal at {shown(engine.url)} cannot be upgraded: {error.orig}"
        raise StoreUnavailable(msg) from error


def check_current(engine: Engine) -> None:
    """Raise SchemaNotCurrent, with the next step, unless the tables are this library's."""
    script = ScriptDirectory.from_config(_config())
    try:
        with engine.connect().execution_options(**{READS: True}) as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        msg = f"The journal at {shown(engine.url)} cannot be read: {error.orig}"
        raise StoreUnavailable(msg) from error
    if found == script.get_current_head():
        return
    known = {revision.revision for revision in script.walk_revisions()}
    if found is None:
        msg = f"There is no journal in {shown(engine.url)}. Make it with `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    if found in known:
        msg = f"The journal at {shown(engine.url)} is of an older version. Run `provjournal journal upgrade`."
        raise SchemaNotCurrent(msg)
    raise SchemaNotCurrent(_newer(engine))


def _newer(engine: Engine) -> str:
    return f"The journal at {shown(engine.url)} was made by a newer version of this library. Install that version."


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "journal:migrations")
    return config
