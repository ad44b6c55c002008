"""The index of unfinished steps is kept by stream and step, in one tree: each append changes fewer pages."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

from journal.errors import StoreError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE, INDEX, MOVED = "unfinished_steps", "ix_unfinished_steps_stream_id_version", "unfinished_steps_moved"
LONG = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
KEYS = {
    "postgresql": "ALTER TABLE unfinished_steps DROP CONSTRAINT pk_unfinished_steps, "
    "ADD CONSTRAINT pk_unfinished_steps PRIMARY KEY ({})",
    "mysql": "ALTER TABLE unfinished_steps DROP PRIMARY KEY, ADD PRIMARY KEY ({})",
}


def upgrade() -> None:
    """Change the key; the index by version is of no use any more."""
    _key("stream_id", "step", sqlite_with_rowid=False)
    op.drop_index(INDEX, TABLE, if_exists=True)


def downgrade() -> None:
    """Change it back."""
    _key("step")
    op.create_index(INDEX, TABLE, ["stream_id", "version"], if_not_exists=True)


def refuse_downgrade(connection: sa.Connection) -> None:
    """Raise StoreError while a step is unfinished in several streams, of which the version before can keep but one."""
    step = sa.column("step", sa.String)
    shared = sa.select(step).select_from(sa.table(TABLE)).group_by(step).having(sa.func.count() > 1)
    if (found := connection.scalar(shared)) is not None:
        msg = f"Step {found} is unfinished in several clusters, which the version before cannot note. End their operations first."
        raise StoreError(msg)


def _key(*columns: str, **options: Any) -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        _move(columns, options)
    else:
        op.execute(KEYS["mysql" if dialect == "mariadb" else dialect].format(", ".join(columns)))


def _move(key: tuple[str, ...], options: dict[str, Any]) -> None:
    """Make the table anew: SQLite changes no keys."""
    op.create_table(
        MOVED,
        sa.Column("step", sa.String(36), nullable=False),
        sa.Column("stream_id", sa.String(255), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.String(36), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", LONG, nullable=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("deadline", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint(*key, name="pk_unfinished_steps"),
        **options,
    )
    op.execute(f"INSERT INTO {MOVED} SELECT * FROM {TABLE}")  # noqa: S608 (names of the schema)
    op.drop_table(TABLE)
    op.rename_table(MOVED, TABLE)
