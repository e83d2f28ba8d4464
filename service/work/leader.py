"""What one dispatcher does for all hosts: it requeues what a lost host had, and deletes leftovers.

Two that believe to lead for a moment do no harm, for each write is guarded.
"""

from collections.abc import Callable

import structlog

from service.domain.errors import StoreBroken
from service.work.lost_workers import TrackedWorker
from service.work.work_queue import Leftovers, WorkQueue

REST_SWEEPS = 15

logger = structlog.get_logger(__name__)


class Leader:
    """Leads while `is_leading` says so; where there is only one host, it always does."""

    def __init__(
        self,
        queue: WorkQueue,
        leftovers: Leftovers,
        is_leading: Callable[[], bool] = lambda: True,
    ) -> None:
        """Create it.

        Args:
            queue: the rows of all hosts.
            leftovers: deletes files that no row names.
            is_leading: asks whether this process leads; it may raise StoreBroken.

        """
        self._queue, self._leftovers, self._is_leading = queue, leftovers, is_leading
        self._elsewhere: dict[tuple[str, int], TrackedWorker] = {}
        """Workers of other hosts, by row and attempt."""
        self._has_led = False
        self._rest = 0
        """How many sweeps leave leftovers alone, because deleting them failed."""

    @property
    def leads(self) -> bool:
        """Whether the last sweep was a leader's."""
        return self._has_led

    def sweep(self) -> None:
        """Do once a second what the leader does.

        Raises:
            StoreBroken: the database can't be read or written.

        """
        if not self._is_leading():
            self._elsewhere, self._has_led = {}, False
            return
        if not self._has_led:
            self._leftovers.collect_all()
            self._has_led = True
        self._sweep_elsewhere()
        self._tidy()

    def _tidy(self) -> None:
        """Delete leftovers; if that fails, rest, for nobody may wait in each round for a bucket."""
        if self._rest > 0:
            self._rest -= 1
            return
        try:
            self._leftovers.sweep()
        except (StoreBroken, OSError) as exc:
            logger.error("leftovers_kept", error=str(exc))
            self._rest = REST_SWEEPS

    def _sweep_elsewhere(self) -> None:
        """Requeue what silent workers of other hosts had; nobody here can kill them.

        A worker that was only cut off is refused when it is back, and leaves.
        """
        active = {(row.job, row.attempt): row for row in self._queue.active_elsewhere()}
        known = self._elsewhere
        self._elsewhere = {key: known.get(key) or TrackedWorker(None) for key in active}
        for key, worker in self._elsewhere.items():
            worker.note_sweep(active[key].heartbeat)
            if worker.is_lost:
                why = worker.describe_silence()
                if self._queue.lose(*key, why):
                    logger.warning("worker_lost", job=key[0], attempt=key[1], why=why)

    def reset_silence(self) -> None:
        """Count silent sweeps from zero: while the store fails, no worker can give a heartbeat."""
        self._elsewhere = {}
