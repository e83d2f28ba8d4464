"""What a process does before it serves or works: it locks and prepares its data directory."""

import contextlib
import fcntl
import shutil
import socket
from pathlib import Path
from typing import IO

import structlog

from service import __version__
from service.app import check_writable
from service.domain.errors import StoreBroken
from service.settings import Settings
from service.storage import Storage, refuse_unshared
from service.store import shipped_mnist
from service.store.dataset_files import DatasetFiles
from service.store.dataset_queue import DatasetQueue
from service.store.datasets import DatasetStore
from service.store.durable_files import make_directory
from service.store.evaluation_queue import EvaluationQueue
from service.store.hosts import HostStore
from service.store.instance import instance_of
from service.store.moving import refuse_unfinished
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.engine import engine_of, is_there
from service.store.sql.migrate import is_outdated, migrate
from service.store.worker_handles import worker_handles
from service.work.drain import drain_workers, requeue_drained
from service.work.launchers.lock_watchdog import kill_frozen_lock_holders

logger = structlog.get_logger(__name__)


def prepare(settings: Settings) -> None:
    """Create the data directory, unpack and arrange the data sets, and migrate the database.

    Raises:
        StoreBroken: one of them can't be written, or the settings contradict each other.
    """
    refuse_unshared(settings)
    make_directory(settings.data_dir.absolute())
    check_writable(settings.data_dir)
    instance_of(settings.data_dir)
    datasets = DatasetFiles(settings.resolved_datasets_dir())
    datasets.data_layout(shipped_mnist.MANIFEST.sha256)
    url = settings.resolved_database_url()
    bring_up_to_date(url)
    with contextlib.closing(Storage(settings)) as storage:
        _refuse_unfinished(storage, settings)
        if settings.artifacts_url:
            storage.begin()
    datasets.delete_older()
    _clear_uploads(settings, url)


def _refuse_unfinished(storage: Storage, settings: Settings) -> None:
    """Refuse a place into which a service is being moved.

    This process is recorded first, so a move that begins later sees it.
    """
    if storage.database.file:
        refuse_unfinished(storage.database)
        return
    hosts, me = HostStore(storage.database), instance_of(settings.data_dir)
    hosts.join(me, socket.gethostname(), 0, 0, __version__)
    try:
        refuse_unfinished(storage.database)
    except StoreBroken:
        hosts.leave(me)
        raise


def bring_up_to_date(url: str) -> list[str]:
    """Migrate the database; return the revisions that were applied.

    All workers of the version before are stopped first if this machine is the only one. Otherwise
    the hosts see the new schema, and stop those of their own; until then they can work with it.

    Raises:
        StoreBroken: it can't be migrated.

    """
    if not engine_of(url).file:
        return migrate(url)
    with contextlib.closing(Database(url)) as database:
        kill_frozen_lock_holders(database.file)
        is_upgrade = is_there(url) and is_outdated(database)
        drained = drain_workers(worker_handles(database)) if is_upgrade else set()
    applied = migrate(url)
    if drained:
        with contextlib.closing(Database(url)) as database:
            queues = Queue(database), DatasetQueue(database), EvaluationQueue(database)
            requeue_drained(queues, drained)
    return applied


def _clear_uploads(settings: Settings, url: str) -> None:
    """Fail the uploads that the last server was receiving when it ended, and end its dry runs.

    Logs of checks are kept for as long as their data sets.
    """
    database = Database(url)
    try:
        queue = DatasetQueue(database, None if database.file else instance_of(settings.data_dir))
        for dataset in queue.interrupt():
            logger.warning("upload_interrupted", dataset=dataset)
        queue.delete_dry_runs()
        datasets = DatasetStore(database, DatasetFiles(settings.resolved_datasets_dir()))
        known = {found.id for found in datasets.sets()}
        for folder in (settings.data_dir / "checks").glob("ds_*"):
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        database.close()


def lock_data_dir(directory: Path) -> IO[str]:
    """Keep other processes off the data directory: they would adopt, and stop, this one's workers.

    The lock ends with the process, however it ends.

    Raises:
        StoreBroken: another process holds the lock, or the directory can't be written.
    """
    make_directory(directory.absolute())
    try:
        with contextlib.ExitStack() as failed:
            lock = failed.enter_context((directory / ".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            failed.pop_all()
    except BlockingIOError as exc:
        raise StoreBroken(f"another server or host uses the data directory {directory}") from exc
    except OSError as exc:
        raise StoreBroken(f"the data directory {directory} can't be written to: {exc}") from exc
    return lock
