"""Runs the migrations in one transaction that holds the write lock; Alembic calls this file."""

from alembic import context

from service.store.sql.database import Database
from service.store.sql.schema import metadata

database = Database(context.config.attributes["url"])
try:
    with database.alter() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        context.run_migrations()
finally:
    database.close()
