"""Alembic's entry: migrations run on the connection that `journal.sql.upgrade` gives them."""

from alembic import context

from journal.sql.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
