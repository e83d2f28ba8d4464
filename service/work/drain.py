"""Stops the workers of the previous version before the database schema changes.

They would otherwise write rows in the form of the old schema.
"""

import signal
import time
from collections.abc import Iterable

import structlog

from service.store.queue import Queue
from service.work.process_handle import ProcessHandle

DRAIN_SECONDS = 6.0
"""How long workers have to save and exit after SIGTERM, and then again to end after SIGKILL."""

logger = structlog.get_logger(__name__)


def drain_workers(queue: Queue) -> None:
    """Ask the workers of this machine to save and exit, and wait; kill those that do not exit."""
    handles = [ProcessHandle.from_record(handle) for handle in queue.handles()]
    here = _alive(handle for handle in handles if handle and handle.is_here())
    if not here:
        return
    logger.info("workers_drained_for_upgrade", pids=sorted(handle.pid for handle in here))
    _signal_and_wait(_signal_and_wait(here, signal.SIGTERM), signal.SIGKILL)


def _signal_and_wait(handles: set[ProcessHandle], number: signal.Signals) -> set[ProcessHandle]:
    """Send a signal to the workers; return those that still run after a while."""
    for handle in handles:
        handle.send_signal(number)
    deadline = time.monotonic() + DRAIN_SECONDS
    while handles and time.monotonic() < deadline:
        time.sleep(0.05)
        handles = _alive(handles)
    return handles


def _alive(handles: Iterable[ProcessHandle]) -> set[ProcessHandle]:
    return {handle for handle in handles if handle.is_alive()}
