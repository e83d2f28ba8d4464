"""Moves a service between a data directory and the database and bucket that the settings name."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from service.domain.errors import StoreBroken
from service.preparation import bring_up_to_date, lock_data_dir
from service.settings import Settings
from service.storage import Storage, refuse_unshared
from service.store.moving import Moved, Place, move
from service.store.sql.database import Database
from service.store.sql.engine import engine_of, is_there
from service.store.sql.migrate import is_outdated
from service.store.worker_handles import worker_handles
from service.work.drain import drain_workers

SHARED = "the database of MLP_DATABASE_URL and the files of MLP_ARTIFACTS_URL"


def move_from(directory: Path, settings: Settings, note: Callable[[str], object]) -> Moved:
    """Move the service in a data directory to what the settings name; the directory stays.

    Raises:
        StoreBroken: it is impossible; the target can't be used until it has been repeated.

    """
    _refuse_local(settings)
    if not directory.is_dir():
        raise StoreBroken(f"there is no directory {directory}")
    with _local(directory, settings) as source, _shared(settings) as target:
        _refuse_missing(source)
        with contextlib.closing(Database(source.database.url)) as database:
            if is_outdated(database):
                raise StoreBroken(
                    f"the database in {directory} is that of an earlier version; run `mlp-service "
                    f"migrate` with MLP_DATA_DIR={directory} and without MLP_DATABASE_URL first"
                )
            # A server that was killed has left them; they save, and then others can go on.
            drain_workers(worker_handles(database))
        bring_up_to_date(target.database.url)
        return move(source, target, note)


def move_to(directory: Path, settings: Settings, note: Callable[[str], object]) -> Moved:
    """Move the service that the settings name to a data directory, which may be a new one.

    Raises:
        StoreBroken: it is impossible; the target can't be used until it has been repeated.

    """
    _refuse_local(settings)
    with _local(directory, settings) as target, _shared(settings) as source:
        _refuse_missing(source)
        bring_up_to_date(target.database.url)
        return move(source, target, note)


def _refuse_local(settings: Settings) -> None:
    if engine_of(settings.resolved_database_url()).file:
        raise StoreBroken(
            "a move is between a data directory and a shared database: set MLP_DATABASE_URL to "
            "postgresql://… and MLP_ARTIFACTS_URL to a bucket or a shared directory"
        )
    refuse_unshared(settings)


def _refuse_missing(source: Place) -> None:
    if not is_there(source.database.url):
        raise StoreBroken(f"there is no database in {source.name}")


@contextlib.contextmanager
def _local(directory: Path, settings: Settings) -> Iterator[Place]:
    """Lock and open what a server without a shared database keeps in a data directory."""
    alone = {"data_dir": directory, "database_url": None, "artifacts_url": None, "fleet": None}
    with lock_data_dir(directory), _place(str(directory), settings.model_copy(update=alone)) as it:
        yield it


@contextlib.contextmanager
def _shared(settings: Settings) -> Iterator[Place]:
    with _place(SHARED, settings, check=True) as place:
        yield place


@contextlib.contextmanager
def _place(name: str, settings: Settings, *, check: bool = False) -> Iterator[Place]:
    with contextlib.closing(Storage(settings)) as storage:
        if check:
            storage.check()
        yield Place(
            name,
            settings.data_dir.absolute(),
            storage.database,
            storage.artifacts,
            storage.results,
            storage.dataset_files,
            storage.uploads,
        )
