"""The first tables, and the triggers that keep events as they are."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEEP_EVENTS = (
    "CREATE TRIGGER events_refuse_{verb} BEFORE {verb} ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are never changed or removed'); END"
)


def upgrade() -> None:
    """Make the tables, and this journal's id."""
    journal = op.create_table(
        "journal", sa.Column("id", sa.String(36), nullable=False), sa.PrimaryKeyConstraint("id", name="pk_journal")
    )
    op.create_table(
        "streams",
        sa.Column("stream_id", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("head_hash", sa.String(64), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("lease_expires_at", sa.Double),
        sa.Column("operation", sa.String(36)),
        sa.PrimaryKeyConstraint("stream_id", name="pk_streams"),
    )
    op.create_table(
        "events",
        sa.Column("stream_id", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("operation", sa.String(36)),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "version", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.stream_id"], name="fk_events_stream_id_streams"),
    )
    op.create_table(
        "unfinished_steps",
        sa.Column("step", sa.String(36), nullable=False),
        sa.Column("stream_id", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("operation", sa.String(36), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.String(27), nullable=False),
        sa.Column("deadline", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("step", name="pk_unfinished_steps"),
    )
    op.create_index("ix_unfinished_steps_stream_id_version", "unfinished_steps", ["stream_id", "version"])
    for verb in ("UPDATE", "DELETE"):
        op.execute(KEEP_EVENTS.format(verb=verb))
    op.bulk_insert(journal, [{"id": str(uuid4())}])


def downgrade() -> None:
    """Remove everything."""
    for table in ("unfinished_steps", "events", "streams", "journal"):
        op.drop_table(table)
