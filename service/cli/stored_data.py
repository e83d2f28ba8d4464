"""Opens the database in a data directory for commands that need no server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from service.settings import Settings
    from service.store.sql.database import Database


@contextmanager
def database_of(
    settings: "Settings", *, create: bool = False, migrated: bool = True
) -> Iterator["Database"]:
    """Open the database of a data directory; print errors to stderr and exit with 1.

    Args:
        settings: name the directory.
        create: whether to create a database if there is none.
        migrated: whether to bring it to the newest schema; otherwise an older one is an error.

    """
    from service.domain.errors import ServiceError
    from service.store.moving import refuse_unfinished
    from service.store.sql.database import Database
    from service.store.sql.engine import is_there
    from service.store.sql.migrate import is_outdated, migrate

    url = settings.resolved_database_url()
    try:
        if not is_there(url):
            _report_missing_database(settings, create)
        with closing(Database(url)) as database:
            if migrated:
                migrate(url)
            elif is_outdated(database):
                _fail(
                    "The database is that of an earlier version. Start this version of the server "
                    "once: it brings the database up to date."
                )
            refuse_unfinished(database)
            yield database
    except ServiceError as error:
        _fail(str(error))


def _report_missing_database(settings: "Settings", create: bool) -> None:
    """Say that a database will be created, or exit with 1."""
    if settings.database_url and "://" in settings.database_url:
        place, hint = "MLP_DATABASE_URL", "Set MLP_DATABASE_URL to that of the server."
    else:
        place = str(settings.data_dir.absolute())
        hint = "Set --data-dir or MLP_DATA_DIR to the server's directory."
    if create:
        typer.echo(f"{place} has no database yet. It is created for a new server.", err=True)
        return
    _fail(f"{place} has no database. {hint}")


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1) from None
