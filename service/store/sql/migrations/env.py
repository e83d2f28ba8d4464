"""Runs the migrations in one transaction that holds the write lock; Alembic calls this file."""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from service.store.sql.database import Database
from service.store.sql.schema import metadata


def note(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],
    run_args: Mapping[str, Any],
) -> None:
    """Tell the caller which revision has just been applied."""
    context.config.attributes.setdefault("applied", []).append(step.up_revision_id)


database = Database(context.config.attributes["url"])
try:
    with database.alter() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            on_version_apply=note,
        )
        context.run_migrations()
finally:
    database.close()
