"""The first tables, and the triggers that keep events as they are.

MariaDB commits after each statement; so that an upgrade that was killed can be done again, what is there already is left.
"""

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

from journal.errors import StoreError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LONG = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
TABLE: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin", "mysql_engine": "InnoDB"}

KEEP_EVENTS = {
    "sqlite": [
        f"CREATE TRIGGER events_refuse_{verb} BEFORE {verb} ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are never changed or removed'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        (
            "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'events are never changed or removed' USING ERRCODE = '23001'; END$$"
        ),
        (
            "CREATE TRIGGER events_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()"
        ),
    ],
    "mysql": [
        f"CREATE OR REPLACE TRIGGER events_refuse_{verb} BEFORE {verb} ON events FOR EACH ROW "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'events are never changed or removed'"
        for verb in ("UPDATE", "DELETE")
    ],
}
"""By dialect. On MariaDB, TRUNCATE passes triggers: only the rights of the conductor's user keep it away."""


def upgrade() -> None:
    """Make the tables, and this journal's id."""
    op.create_table(
        "journal",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("single", sa.SmallInteger, nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("id", name="pk_journal"),
        sa.UniqueConstraint("single", name="uq_journal_single"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "streams",
        sa.Column("stream_id", NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("head_hash", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("lease_expires_at", sa.Double),
        sa.Column("operation", sa.String(36)),
        sa.PrimaryKeyConstraint("stream_id", name="pk_streams"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "events",
        sa.Column("stream_id", NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.String(36)),
        sa.Column("data", LONG, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "version", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.stream_id"], name="fk_events_stream_id_streams"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "unfinished_steps",
        sa.Column("step", sa.String(36), nullable=False),
        sa.Column("stream_id", NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.String(36), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", LONG, nullable=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("deadline", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("step", name="pk_unfinished_steps"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index("ix_unfinished_steps_stream_id_version", "unfinished_steps", ["stream_id", "version"], if_not_exists=True)
    dialect = op.get_bind().dialect.name
    for statement in KEEP_EVENTS["mysql" if dialect == "mariadb" else dialect]:
        op.execute(statement)
    connection, journal = op.get_bind(), sa.table("journal", sa.column("id"))
    if connection.scalar(sa.select(journal.c.id)) is None:
        connection.execute(sa.insert(journal).values(id=str(uuid4())))


def downgrade() -> None:
    """Remove everything. Raises StoreError while there is anything to lose."""
    if op.get_bind().scalar(sa.select(sa.func.count()).select_from(sa.table("streams"))):
        msg = "The journal holds clusters, and is never removed with them. There is no version before revision 0001."
        raise StoreError(msg)
    for table in ("unfinished_steps", "events", "streams", "journal"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION events_refuse()")
