"""Start-up checks: settings of the database that are weaker than the journal's promise."""

import logging

from journal.errors import WeakDurability
from journal.sql.engine import Database

LOG = logging.getLogger(__name__)


def check_durability(database: Database, *, strict: bool) -> None:
    """Warn of each setting under which an acknowledged append could be lost. Raises WeakDurability instead if `strict`."""
    found = database.look(database.backend.weaknesses)
    if found and strict:
        raise WeakDurability(database.shown, found)
    for weakness in found:
        LOG.warning("the journal at %s could lose what it has acknowledged: %s", database.shown, weakness)
