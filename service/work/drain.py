"""Before the schema changes, workers of the version before save and leave: they would write rows as
these were.
"""

import signal
import time
from collections.abc import Iterable

import structlog

from service.store.queue import Queue
from service.work.process import ProcessHandle

LEAVE_SECONDS = 6.0

logger = structlog.get_logger(__name__)


def let_workers_leave(queue: Queue) -> None:
    """Wait until the workers of this machine have put their jobs back; kill those that don't."""
    handles = [ProcessHandle.read(handle) for handle in queue.handles()]
    here = _alive(handle for handle in handles if handle and handle.is_here())
    if not here:
        return
    logger.info("workers_leave_for_an_upgrade", pids=sorted(handle.pid for handle in here))
    _end(_end(here, signal.SIGTERM), signal.SIGKILL)


def _end(handles: set[ProcessHandle], number: signal.Signals) -> set[ProcessHandle]:
    """Send a signal, and return those that are still there after a while."""
    for handle in handles:
        handle.send(number)
    deadline = time.monotonic() + LEAVE_SECONDS
    while handles and time.monotonic() < deadline:
        time.sleep(0.05)
        handles = _alive(handles)
    return handles


def _alive(handles: Iterable[ProcessHandle]) -> set[ProcessHandle]:
    return {handle for handle in handles if handle.is_alive()}
