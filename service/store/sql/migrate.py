"""Migrations: bring a database to the newest schema."""

from pathlib import Path
from typing import TYPE_CHECKING

from service.domain.errors import StoreBroken
from service.store.durable_files import make_directory
from service.store.sql.database import Database
from service.store.sql.engine import engine_of

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*_*.py"))
"""Oldest first; read here, because Alembic takes a sixth of a second to import."""

REVISION = "SELECT version_num FROM alembic_version"


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema; of concurrent callers, only one does so.

    Raises:
        StoreBroken: it can't be reached or written, it is damaged, or its schema is newer.

    """
    if file := engine_of(url).file:
        make_directory(file.parent)
    if _checked_revision(url) == REVISIONS[-1]:
        return
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(migrations(url), "head")
    except CommandError as exc:
        raise StoreBroken(
            "the database has a schema that this version does not know; use the version that wrote "
            f"it, or a newer one: {exc}"
        ) from exc


def migrations(url: str) -> "Config":
    """Return Alembic's configuration for the database at `url`."""
    from alembic.config import Config

    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def is_outdated(database: Database) -> bool:
    """Return whether `migrate` would change tables that exist."""
    return revision(database) in REVISIONS[:-1]


def revision(database: Database) -> str | None:
    """Return the revision of the schema; None if there are no tables yet."""
    if not database.has_table("alembic_version"):
        return None
    with database.read() as transaction:
        found = transaction.row(REVISION)
    return str(found["version_num"]) if found else None


def _checked_revision(url: str) -> str | None:
    """Return the revision of the schema.

    Raises:
        StoreBroken: the database is damaged; so it is found before anything is built on it.

    """
    database = Database(url)
    try:
        with database.read() as transaction:
            database.engine.check(transaction)
        return revision(database)
    finally:
        database.close()
