"""Migrations: bring a database to the newest schema."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from service.domain.errors import Deadlocked, StoreBroken
from service.store.durable_files import make_directory
from service.store.sql.connector import Connector
from service.store.sql.database import Database
from service.store.sql.engine import engine_of

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*_*.py"))
"""Oldest first; read here, because Alembic takes a sixth of a second to import."""

TRIES = 10
"""Servers that work meanwhile may lock the same tables in another order; then nothing changes."""
REVISION = "SELECT version_num FROM alembic_version"


def migrate(url: str) -> list[str]:
    """Bring the database at `url` to the newest schema; of concurrent callers, only one does so.

    Returns the revisions that this call has applied, oldest first.

    Raises:
        StoreBroken: it can't be reached or written, it is damaged, or its schema is newer.

    """
    if file := engine_of(url).file:
        make_directory(file.parent)
    found = _checked_revision(url)
    if found == REVISIONS[-1]:
        return []
    if found is not None and found not in REVISIONS:
        raise _unknown(found)
    for _ in range(TRIES - 1):
        with suppress(Deadlocked):
            return _upgraded(url)
    return _upgraded(url)


def _upgraded(url: str) -> list[str]:
    """Apply what is missing, all or nothing; return the revisions."""
    from alembic import command
    from alembic.util import CommandError

    applied: list[str] = []
    try:
        command.upgrade(migrations(url, applied), "head")
    except CommandError as exc:  # a newer version was faster
        raise _unknown(str(exc)) from exc
    return applied


def migrations(url: str, applied: list[str] | None = None) -> "Config":
    """Return Alembic's configuration for the database at `url`.

    The revisions that are applied with it are added to `applied`.
    """
    from alembic.config import Config

    config = Config(attributes={"url": url, "applied": [] if applied is None else applied})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def is_outdated(database: Database) -> bool:
    """Return whether `migrate` would change tables that exist."""
    return revision(database) in REVISIONS[:-1]


def revision(database: Database) -> str | None:
    """Return the revision of the schema; None if there are no tables yet."""
    if not database.has_table("alembic_version"):
        return None
    return revision_of_tables(database)


def revision_of_tables(connector: Connector) -> str | None:
    """Return the revision of the schema of a database that has tables."""
    with connector.read() as transaction:
        found = transaction.row(REVISION)
    return str(found["version_num"]) if found else None


def _unknown(found: str) -> StoreBroken:
    return StoreBroken(
        f"the database has a schema that this version does not know ({found}; the newest one here "
        f"is {REVISIONS[-1]}): a newer version has migrated it. Start that version, or a newer "
        "one; to go back to this version, restore a backup of before the upgrade"
    )


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
