"""Stops the workers of the previous version before the database schema changes.

They would otherwise write rows in the form of the old schema.
"""

import signal
import time
from collections.abc import Iterable
from typing import Any

import structlog

from service.work.process_handle import ProcessHandle
from service.work.work_queue import WorkQueue

DRAIN_SECONDS = 6.0
"""How long workers have to save and exit after SIGTERM, and then again to end after SIGKILL."""

logger = structlog.get_logger(__name__)


def drain_workers(records: Iterable[dict[str, Any] | None]) -> set[ProcessHandle]:
    """Ask the workers of this machine to save and exit, and wait; kill those that do not exit.

    Returns those that ran. Checks and evaluations have nothing to save.

    Args:
        records: the handles of workers, as rows store them.

    """
    handles = [ProcessHandle.from_record(record) for record in records]
    here = _alive(handle for handle in handles if handle and handle.is_here())
    if here:
        logger.info("workers_drained_for_upgrade", pids=sorted(handle.pid for handle in here))
        _signal_and_wait(_signal_and_wait(here, signal.SIGTERM), signal.SIGKILL)
    return here


def requeue_drained(queues: Iterable[WorkQueue], drained: set[ProcessHandle]) -> None:
    """Queue again what drained workers have not returned; none of them counts as lost."""
    for queue in queues:
        for row in queue.active():
            if ProcessHandle.from_record(row.handle) in drained:
                why = "The service was upgraded."
                queue.lose(row.job, row.attempt, why, code="shutdown", counts=False)


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
