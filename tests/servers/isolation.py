"""An isolation level for whatever is done on a database, as an administrator sets it on the server."""

from typing import Any

from sqlalchemy import event

from journal.sql.engine import Database


def isolate(database: Database, level: str) -> None:
    """Have each connection of a database that has none yet begin all its transactions under this level."""
    of_session = "CHARACTERISTICS AS " if database.url.get_backend_name() == "postgresql" else ""

    def set_level(connection: Any, _: object) -> None:
        connection.cursor().execute(f"SET SESSION {of_session}TRANSACTION ISOLATION LEVEL {level}")
        connection.commit()

    event.listen(database.engine, "connect", set_level)
