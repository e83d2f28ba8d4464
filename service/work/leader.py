"""What one dispatcher does for all hosts: it requeues what a lost host had, and deletes leftovers.

Two that believe to lead for a moment do no harm, for each write is guarded.
"""

import threading
import time

import structlog

from service.domain.errors import StoreBroken
from service.work.clock import Clock
from service.work.lost_workers import TrackedWorker
from service.work.sharing import ALONE, Sharing
from service.work.work_queue import Leftovers, WorkQueue

REST_SWEEPS = 15
PAUSE_SECONDS = 0.1
"""Between two jobs whose files are compared with what rows name."""
SWEEPS_PER_EXPLANATION = 5

logger = structlog.get_logger(__name__)


class Leader:
    """Leads while `Sharing.is_leading` says so; where there is only one host, it always does."""

    def __init__(
        self,
        queue: WorkQueue,
        leftovers: Leftovers,
        sharing: Sharing = ALONE,
        clock: Clock = time,
    ) -> None:
        """Create it.

        Args:
            queue: the rows of all hosts.
            leftovers: deletes files that no row names.
            sharing: says whether this process leads, and how often leftovers are deleted.
            clock: the module `time`, or a test's replacement for it.

        """
        self._queue, self._leftovers, self._is_leading = queue, leftovers, sharing.is_leading
        self._clock, self._tidy_seconds = clock, sharing.tidy_seconds
        self._next_tidy = 0.0
        self._ends_collecting = threading.Event()
        self._elsewhere: dict[tuple[str, int], TrackedWorker] = {}
        """Workers of other hosts, by row and attempt."""
        self._has_led = False
        self._rest = 0
        """How many sweeps leave leftovers alone, because deleting them failed."""
        self._may_begin = True
        self._sweeps = 0

    @property
    def watches(self) -> bool:
        """Whether somebody else works, or may begin to, so that each second needs a sweep."""
        return self._has_led and (self._may_begin or bool(self._elsewhere))

    @property
    def found_empty_queue(self) -> bool:
        """Whether the last sweep found no row that waits."""
        return self._has_led and not self._may_begin

    def sweep(self) -> None:
        """Do what the leader does: once a second while it watches, and rarely while nobody works.

        Raises:
            StoreBroken: the database can't be read or written.

        """
        if not self._is_leading():
            self._elsewhere, self._has_led = {}, False
            self._ends_collecting.set()
            return
        if not self._has_led:
            self._collect_all()
            self._has_led = True
        self._sweep_elsewhere()
        if self._sweeps % SWEEPS_PER_EXPLANATION == 0:
            self._queue.explain_waiting()
        self._sweeps += 1
        self._tidy()

    def _collect_all(self) -> None:
        """Delete what earlier leaders have left: of many jobs in a bucket, that takes hours."""
        if not self._tidy_seconds:
            self._leftovers.collect_all()
            return
        ends = self._ends_collecting = threading.Event()

        def collect() -> None:
            self._leftovers.collect_all(lambda: not ends.wait(PAUSE_SECONDS))

        threading.Thread(target=collect, name="leftovers", daemon=True).start()

    def _tidy(self) -> None:
        """Delete leftovers; if that fails, rest, for nobody may wait in each round for a bucket."""
        now = self._clock.monotonic()
        if now < self._next_tidy and not self.watches:
            return
        self._next_tidy = now + self._tidy_seconds
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
        found = self._queue.elsewhere()
        self._may_begin = found.may_begin
        active = {(row.job, row.attempt): row for row in found.active}
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
