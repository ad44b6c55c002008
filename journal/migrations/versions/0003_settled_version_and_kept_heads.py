"""Streams say up to which version nothing is left to do, and their guard rows are never removed.

What a dead conductor left is so found without reading history, and no cluster can vanish with its guard row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REFUSAL = "heads are never removed"

KEEP_HEADS = {
    "sqlite": [
        (
            "CREATE TRIGGER IF NOT EXISTS streams_refuse_DELETE BEFORE DELETE ON streams "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE FUNCTION streams_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = '23001'; END$$"
        ),
        (
            "CREATE OR REPLACE TRIGGER streams_refuse BEFORE DELETE OR TRUNCATE ON streams "
            "FOR EACH STATEMENT EXECUTE FUNCTION streams_refuse()"
        ),
    ],
    "mysql": [
        (
            "CREATE OR REPLACE TRIGGER streams_refuse_DELETE BEFORE DELETE ON streams FOR EACH ROW "
            f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
        )
    ],
}
LET_GO = {
    "sqlite": ["DROP TRIGGER IF EXISTS streams_refuse_DELETE"],
    "postgresql": ["DROP TRIGGER IF EXISTS streams_refuse ON streams", "DROP FUNCTION IF EXISTS streams_refuse()"],
    "mysql": ["DROP TRIGGER IF EXISTS streams_refuse_DELETE"],
}


def upgrade() -> None:
    """Add the column, so that every stream is looked at once, and the triggers."""
    if not _is_there():
        op.add_column("streams", sa.Column("settled_version", sa.BigInteger, nullable=False, server_default="0"))
    _execute(KEEP_HEADS)


def downgrade() -> None:
    """Take them back."""
    _execute(LET_GO)
    if _is_there():
        op.drop_column("streams", "settled_version")


def _is_there() -> bool:
    return "settled_version" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("streams")}


def _execute(statements: dict[str, list[str]]) -> None:
    dialect = op.get_bind().dialect.name
    for statement in statements["mysql" if dialect == "mariadb" else dialect]:
        op.execute(statement)
