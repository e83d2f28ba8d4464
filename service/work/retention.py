"""Deletes the finished jobs beyond the number that is kept."""

from collections import deque

import structlog

from service.store.queue import Queue

GRACE_SWEEPS = 15
"""A job that has just ended is left alone for so many sweeps, so that the clients that follow it
can read how it ended. They read it at least every 10 s; sweeps are at least a second apart."""

logger = structlog.get_logger(__name__)


class Retention:
    """Deletes finished jobs beyond the first `keep`, a few in each sweep of the dispatcher."""

    def __init__(self, queue: Queue, keep: int) -> None:
        self._queue, self._keep = queue, keep
        self._last_finishes: deque[int] = deque(maxlen=GRACE_SWEEPS + 1)
        """The number of the job that had ended last at each of the last sweeps, oldest first."""

    def sweep(self) -> None:
        """Delete a few of the jobs that had already ended some sweeps ago.

        Raises:
            StoreBroken: the database can't be read or written.

        """
        self._last_finishes.append(self._queue.last_finish())
        if len(self._last_finishes) > GRACE_SWEEPS:
            for job in self._queue.prune(self._keep, self._last_finishes[0]):
                logger.info("job_pruned", job=job.id, owner=job.owner, state=job.state)
