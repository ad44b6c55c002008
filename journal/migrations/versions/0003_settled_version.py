"""Streams say up to which version nothing is left to do, so that what a dead conductor left is found without reading history."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: every stream is looked at once."""
    if not _is_there():
        op.add_column("streams", sa.Column("settled_version", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Take it back."""
    if _is_there():
        op.drop_column("streams", "settled_version")


def _is_there() -> bool:
    return "settled_version" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("streams")}
