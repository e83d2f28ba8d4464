"""A host: a process that works on the rows of a shared database, and serves nobody."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence

import structlog

from service import logs
from service.dispatchers import Dispatchers
from service.domain.errors import StoreBroken
from service.preparation import lock_data_dir, prepare
from service.settings import Settings
from service.storage import Storage, refuse_unshared
from service.store.sql.engine import engine_of

logger = structlog.get_logger(__name__)


def work(settings: Settings, until_idle: float | None = None, warnings: Sequence[str] = ()) -> int:
    """Train jobs until a signal arrives, or until a newer version migrates the database.

    Returns the exit code, which is 1 if the host can't start or a dispatcher ends by an error.

    Args:
        settings: the settings; the database must be one that several processes can share.
        until_idle: also ends after so many seconds without any work.
        warnings: are logged first.

    """
    logs.configure(settings.log_level, settings.log_format)
    for warning in warnings:
        logger.warning(warning)
    with contextlib.ExitStack() as cleanup:
        try:
            _refuse_file(settings)
            refuse_unshared(settings)
            cleanup.enter_context(lock_data_dir(settings.data_dir))
            prepare(settings)
        except StoreBroken as exc:
            sys.stderr.write(f"mlp-service can't start: {exc}\n")
            return 1
        return _work(settings, until_idle)


def _refuse_file(settings: Settings) -> None:
    """Refuse a database that only one process may use.

    Raises:
        StoreBroken: it is one.

    """
    if engine_of(settings.resolved_database_url()).file:
        raise StoreBroken(
            "a host needs a database that it shares with servers: set MLP_DATABASE_URL to "
            "postgresql://…; with SQLite, `mlp-service serve` trains by itself"
        )


def _work(settings: Settings, until_idle: float | None) -> int:
    storage, stop, died = Storage(settings), threading.Event(), threading.Event()
    dispatchers = Dispatchers(settings, storage, on_newer_schema=stop.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def die() -> None:
        died.set()
        stop.set()

    dispatchers.start(die)
    logger.info("host_started", slots=dispatchers.jobs.slots)
    busy_at = time.monotonic()
    while not stop.wait(0.5):
        if dispatchers.are_busy():
            busy_at = time.monotonic()
        elif until_idle is not None and time.monotonic() - busy_at > until_idle:
            logger.info("host_idle", seconds=until_idle)
            break
    dispatchers.stop()
    dispatchers.join()
    storage.close()
    return int(died.is_set())
