"""Streams say when they changed and whether they were archived; events of archived streams, and only they, can be removed.

Everything here is added beside what was there, so that a reader of the version before goes on working.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

from journal.errors import StoreError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LONG = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
TABLE: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin", "mysql_engine": "InnoDB"}

REFUSAL = "events are never changed or removed"
NOT_ARCHIVED = "NOT EXISTS (SELECT 1 FROM streams WHERE stream_id = OLD.stream_id AND archived_to IS NOT NULL)"

KEEP_UNLESS_ARCHIVED = {
    "sqlite": [
        "DROP TRIGGER events_refuse_DELETE",
        (
            f"CREATE TRIGGER events_refuse_DELETE BEFORE DELETE ON events WHEN {NOT_ARCHIVED} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        ),
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE FUNCTION events_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {NOT_ARCHIVED} THEN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = '23001'; END IF; RETURN OLD; END$$"
        ),
        (
            "CREATE OR REPLACE TRIGGER events_refuse_delete BEFORE DELETE ON events "
            "FOR EACH ROW EXECUTE FUNCTION events_refuse_delete()"
        ),
        (
            "CREATE OR REPLACE TRIGGER events_refuse BEFORE UPDATE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()"
        ),
    ],
    "mysql": [
        (
            "CREATE OR REPLACE TRIGGER events_refuse_DELETE BEFORE DELETE ON events FOR EACH ROW "
            f"BEGIN IF {NOT_ARCHIVED} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'; END IF; END"
        )
    ],
}
KEEP_ALWAYS = {
    "sqlite": [
        "DROP TRIGGER events_refuse_DELETE",
        f"CREATE TRIGGER events_refuse_DELETE BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE TRIGGER events_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()"
        ),
        "DROP TRIGGER events_refuse_delete ON events",
        "DROP FUNCTION events_refuse_delete()",
    ],
    "mysql": [
        (
            "CREATE OR REPLACE TRIGGER events_refuse_DELETE BEFORE DELETE ON events FOR EACH ROW "
            f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
        )
    ],
}


def upgrade() -> None:
    """Add columns and table, then loosen the trigger for archived streams."""
    changed_at = sa.Column("changed_at", sa.Double, nullable=False, server_default="0")
    for column in (changed_at, sa.Column("archived_to", LONG)):
        if not _has_column(column.name):
            op.add_column("streams", column)
    op.create_index("ix_streams_changed_at", "streams", ["changed_at"], if_not_exists=True)
    op.create_table(
        "snapshots",
        sa.Column("stream_id", NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("made_by", sa.String(64), nullable=False),
        sa.Column("data", LONG, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name="pk_snapshots"),
        if_not_exists=True,
        **TABLE,
    )
    _execute(KEEP_UNLESS_ARCHIVED)


def downgrade() -> None:
    """Take all of it back."""
    _execute(KEEP_ALWAYS)
    op.drop_table("snapshots", if_exists=True)
    op.drop_index("ix_streams_changed_at", "streams", if_exists=True)
    for name in ("archived_to", "changed_at"):
        if _has_column(name):
            op.drop_column("streams", name)


def refuse_downgrade(connection: sa.Connection) -> None:
    """Raise StoreError while there are archived streams, which the version before would not know."""
    streams = sa.table("streams", sa.column("archived_to"))
    archived = sa.select(sa.func.count()).select_from(streams).where(streams.c.archived_to.is_not(None))
    if _has_column("archived_to", connection) and (count := connection.scalar(archived)):
        msg = f"{count} archived clusters would look damaged to the version before. Import their archives first."
        raise StoreError(msg)


def _has_column(name: str, connection: sa.Connection | None = None) -> bool:
    return name in {column["name"] for column in sa.inspect(connection or op.get_bind()).get_columns("streams")}


def _execute(statements: dict[str, list[str]]) -> None:
    dialect = op.get_bind().dialect.name
    for statement in statements["mysql" if dialect == "mariadb" else dialect]:
        op.execute(statement)
