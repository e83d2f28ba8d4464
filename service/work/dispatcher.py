"""The dispatcher: claims queued jobs, starts their workers and requeues jobs that lose one.

The checks of data sets are dispatched in the same way, with a queue and workers of their own.

It keeps nothing in memory that a new dispatcher would need. After a crash, the next one reads the
rows, finds the running workers by their handles and continues.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from service.domain.errors import StoreBroken
from service.domain.job_state import State
from service.store.queue import Active, Claim
from service.work.back_off import BackOff
from service.work.clock import Clock
from service.work.exit_codes import STORE_EXIT
from service.work.launcher import Exit, Launcher, LockWatchdog
from service.work.leader import Leader
from service.work.lost_workers import TrackedWorker
from service.work.process_handle import ProcessHandle
from service.work.sharing import ALONE, Sharing
from service.work.work_queue import Leftovers, WorkQueue

POLL_SECONDS = 0.5
"""The longest time between two rounds of the loop while workers run."""
SWEEP_SECONDS = 1.0
"""The shortest time between two sweeps, which look for workers without heartbeats."""
STOP_SECONDS = 5.0
"""A worker that still runs this long after its job was paused, cancelled or ended is killed."""
DRAIN_SECONDS = 6.0
"""When the service shuts down, workers have this long to save their work."""

logger = structlog.get_logger(__name__)
AttemptKey = tuple[str, int]
"""Job and attempt."""


class Dispatcher:
    """Runs queued jobs, as many concurrently as the launcher has capacity for."""

    def __init__(
        self,
        queue: WorkQueue,
        launcher: Launcher,
        leftovers: Leftovers,
        clock: Clock = time,
        *,
        sharing: Sharing = ALONE,
        lock_watchdog: LockWatchdog | None = None,
        note_end: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        """Create a dispatcher; nothing happens before `start` or `step`.

        Args:
            queue: the jobs.
            launcher: starts and ends workers.
            leftovers: deletes files that no row names.
            clock: the module `time`, or a test's replacement for it.
            sharing: how this host shares the rows with others.
            lock_watchdog: finds workers that froze inside a transaction, if the database can be
                blocked by them.
            note_end: told of each worker that has ended: the job, and for how many seconds the
                worker ran here.

        """
        self._queue = queue
        self._launcher = launcher
        self._leftovers = leftovers
        self._leader = Leader(queue, leftovers, sharing, clock)
        self._clock = clock
        self._idle_seconds = max(POLL_SECONDS, sharing.idle_seconds)
        self._try_storage = sharing.try_storage
        self._is_storage_tried = False
        self._lock_watchdog = lock_watchdog
        self._note_end = note_end
        self._back_off = BackOff(clock)
        self._tracked: dict[AttemptKey, TrackedWorker] = {}
        self._unstarted: dict[AttemptKey, str] = {}
        """Claimed attempts that no worker could be started for, and why."""
        self._next_sweep = self._next_lock_check = 0.0
        self._has_swept = False
        """Whether the last round was a sweep, too."""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._retiring = False
        self._thread: threading.Thread | None = None

    @property
    def tracked(self) -> Mapping[AttemptKey, TrackedWorker]:
        """The workers that are known to run, by job and attempt."""
        return MappingProxyType(self._tracked)

    @property
    def slots(self) -> int:
        """How many jobs can train concurrently."""
        return self._launcher.capacity()

    def start(self, on_death: Callable[[], None]) -> None:
        """Run in a thread of its own; `on_death` is called if the loop ends with an error."""

        def run() -> None:
            try:
                self._loop()
            except Exception:
                logger.exception("dispatcher_died")
                on_death()

        self._thread = threading.Thread(target=run, name="dispatcher", daemon=True)
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stopping.is_set()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Begin the next round now, because a client has changed a job or a worker has ended."""
        self._wake.set()

    def stop(self) -> None:
        """Begin to stop: claim nothing more, and ask the workers to save and exit."""
        self._stopping.set()
        self._wake.set()

    def retire(self) -> None:
        """Leave the rows to other hosts for good: ask the workers to save, and claim nothing more.

        The thread stays alive until `stop`.
        """
        self._retiring = True
        self._wake.set()

    def join(self) -> None:
        """Wait until all workers here have ended and their jobs are in the queue again."""
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not (self._stopping.is_set() or self._retiring):
            self._wake.clear()
            self.try_step()
            self._wake.wait(self.seconds_to_wait())
        self.drain()
        self._stopping.wait()

    def seconds_to_wait(self) -> float:
        """Return the longest time until the next round."""
        if self._tracked or self._unstarted or not self._back_off.is_empty:
            return POLL_SECONDS
        # What has woken it so soon after a sweep may be for the leader to watch.
        soon = self._leader.watches or not self._has_swept
        return min(self._idle_seconds, SWEEP_SECONDS) if soon else self._idle_seconds

    def try_step(self) -> bool:
        """Do one round, and return whether it succeeded.

        A full disk, or a lack of file descriptors, may be over by the next round.
        """
        try:
            self.step()
        except (StoreBroken, OSError) as exc:
            logger.error("step_failed", error=str(exc))
            self._reset_silent_sweeps()
            self._kill_frozen_lock_holders()
            return False
        return True

    def step(self) -> None:
        """Do one round of everything the dispatcher does.

        Raises:
            StoreBroken: the database or a file can't be read or written.
            OSError: the machine lacks a resource.

        """
        self._kill_frozen_lock_holders()
        self._requeue_unstarted()
        active = {(row.job, row.attempt): row for row in self._queue.active()}
        self._adopt(active)
        self._reap()
        self._enforce_deadlines(active)
        now = self._clock.monotonic()
        self._has_swept = now >= self._next_sweep
        if self._has_swept:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(active)
            self._leader.sweep()
        if not (self._has_swept and self._leader.found_empty_queue):
            self._claim_and_launch()

    def drain(self) -> None:
        """Stop the workers of this machine; requeue the jobs of those that can't save in time."""
        here = {key: it.handle for key, it in self._tracked.items() if it.handle and it.is_here}
        for handle in here.values():
            self._launcher.terminate(handle)
        left = self._wait_for_exits(set(here.values()))
        for key, handle in here.items():
            try:
                self._requeue(key, "The service was shut down.", "shutdown", counts=False)
            except StoreBroken as exc:
                logger.error("store_broken", error=str(exc))  # the next server requeues the job
            if handle in left:
                self._launcher.kill(handle)

    def _wait_for_exits(self, handles: set[ProcessHandle]) -> set[ProcessHandle]:
        """Wait until the workers have ended; return those that have not after `DRAIN_SECONDS`."""
        deadline = self._clock.monotonic() + DRAIN_SECONDS
        while handles and self._clock.monotonic() < deadline:
            self._kill_frozen_lock_holders()
            handles = handles - self._launcher.poll(handles).keys()
            self._clock.sleep(0.02)
        return handles

    # --- Workers: adopted, ended, late, silent, frozen ---

    def _adopt(self, active: Mapping[AttemptKey, Active]) -> None:
        """Track attempts that an earlier dispatcher started, and note which have begun."""
        for key, row in active.items():
            unknown = TrackedWorker(None, since=self._clock.monotonic())
            worker = self._tracked.setdefault(key, unknown)
            if worker.handle is None and (handle := ProcessHandle.from_record(row.handle)):
                logger.info("worker_adopted", job=row.job, attempt=row.attempt, pid=handle.pid)
                worker.handle = handle
            if row.heartbeat and not worker.has_begun:
                worker.has_begun = True
                self._back_off.note_begun()

    def _reap(self) -> None:
        """Handle workers whose process has ended."""
        keys = {worker.handle: key for key, worker in self._tracked.items() if worker.handle}
        for handle, exit_ in self._launcher.poll(list(keys)).items():
            job, attempt = key = keys[handle]
            logger.info("worker_ended", job=job, attempt=attempt, code=exit_.code)
            self._on_exit(key, exit_)
            self._note_end(job, self._clock.monotonic() - self._tracked[key].since)
            del self._tracked[key]
            self._collect(job)

    def _collect(self, job: str) -> None:
        """Delete what a worker has left; if that fails, the rest of the round goes on."""
        try:
            self._leftovers.collect(job)
        except (StoreBroken, OSError) as exc:
            logger.error("leftovers_kept", job=job, error=str(exc))

    def _on_exit(self, key: AttemptKey, exit_: Exit) -> None:
        """Requeue the job of a worker that has ended, unless it had finished its attempt before."""
        job, _ = key
        why = self._tracked[key].describe_exit(exit_, self._launcher.log_tail(job))
        if exit_.code == STORE_EXIT:
            self._is_storage_tried = False
            self._back_off.note_store_failure(job)
            self._requeue(key, why, "store_unavailable", counts=False)
        else:
            code = "out_of_memory" if exit_.oom_killed else "worker_lost"
            self._requeue(key, why, code, counts=True)

    def _enforce_deadlines(self, active: Mapping[AttemptKey, Active]) -> None:
        """Kill workers that do not exit although their job is to stop or has ended."""
        now = self._clock.monotonic()
        for key, worker in list(self._tracked.items()):
            row = active.get(key)
            if row is None and not worker.is_here:
                del self._tracked[key]
            elif row is not None and row.state == State.RUNNING:
                worker.kill_at = None
            elif worker.kill_at is None:
                worker.kill_at = now + STOP_SECONDS
            elif now >= worker.kill_at:
                why = "The worker did not stop in time and was killed."
                self._fence_and_kill(key, why, "shutdown", counts=False)

    def _sweep(self, active: Mapping[AttemptKey, Active]) -> None:
        """Declare workers lost that have given no heartbeat in many sweeps.

        Sweeps are counted, not seconds, so that no worker is lost because the machine slept or a
        clock jumped.
        """
        for key, row in active.items():
            worker = self._tracked.get(key)
            if worker is None:
                continue  # reaped in this round
            worker.note_sweep(row.heartbeat)
            if worker.is_lost:  # it stays tracked until it is reaped
                self._fence_and_kill(key, worker.describe_silence(), "worker_lost", counts=True)

    def _reset_silent_sweeps(self) -> None:
        """Count silent sweeps from zero: while the store fails, no worker can give a heartbeat."""
        for worker in self._tracked.values():
            worker.silent_sweeps = 0
        self._leader.reset_silence()

    def _kill_frozen_lock_holders(self) -> None:
        """Kill workers that froze inside a transaction and so keep every process from writing.

        For the same reason they can't be fenced first; their jobs are requeued after they end.
        """
        now = self._clock.monotonic()
        if self._lock_watchdog is None or now < self._next_lock_check:
            return
        self._next_lock_check = now + self._lock_watchdog.seconds_between_checks
        for handle in self._lock_watchdog.check():
            logger.warning("worker_frozen", pid=handle.pid)
            for worker in self._tracked.values():
                worker.was_frozen |= worker.handle == handle
            self._launcher.kill(handle)

    def _fence_and_kill(self, key: AttemptKey, why: str, code: str, *, counts: bool) -> None:
        """Requeue the job, after which the worker can write nothing more; then kill the worker."""
        self._requeue(key, why, code, counts=counts)
        if handle := self._tracked[key].handle:
            self._launcher.kill(handle)

    def _requeue(self, key: AttemptKey, why: str, code: str, *, counts: bool) -> None:
        """Take the job away from its worker, unless the worker has finished the attempt.

        If `counts` is true, the job has lost a worker: it is tried again after a while, or fails if
        it has lost too many. Otherwise the reason has nothing to do with the job, and no lost
        worker is counted.
        """
        job, attempt = key
        lost = self._queue.lose(job, attempt, why, code=code, counts=counts)
        if lost is None:
            return
        event = "worker_lost" if counts else "job_requeued"
        logger.warning(event, job=job, attempt=attempt, why=why, state=lost.state)
        if counts and not lost.had_begun:
            self._back_off.note_failed_start()
        elif counts and lost.state == State.QUEUED:
            self._back_off.note_lost_worker(job, lost.lost_workers)

    # --- Starting jobs ---

    def _claim_and_launch(self) -> None:
        """Claim jobs and start their workers until every slot is taken or nothing is queued."""
        waiting = self._back_off.waiting_jobs()
        while self._back_off.allows_starts() and self._used_slots() < self._launcher.capacity():
            if not self._can_store():
                return
            claim = self._queue.claim(waiting)
            if claim is None or not self._launch(claim):
                return

    def _can_store(self) -> bool:
        """Return whether files can be stored from here; if not, leave the jobs to other hosts.

        A host with a wrong key, or whose clock the bucket refuses, would train for nothing.
        """
        if self._is_storage_tried or self._try_storage is None:
            return True
        if self.is_stopping:
            return False
        try:
            self._try_storage()
        except StoreBroken as exc:
            logger.error("storage_failed", error=str(exc))
            self._back_off.note_failed_start()
            return False
        self._is_storage_tried = True
        return True

    def _launch(self, claim: Claim) -> bool:
        """Start a worker for the claim, or requeue the job; return whether the worker started."""
        key = claim.job, claim.attempt
        try:
            handle = self._launcher.start(*key)
        except (StoreBroken, OSError) as exc:
            self._back_off.note_failed_start()
            self._unstarted[key] = f"No worker could be started: {exc}"
            self._requeue_unstarted()
            return False
        logger.info("worker_started", job=claim.job, attempt=claim.attempt, pid=handle.pid)
        self._tracked[key] = TrackedWorker(handle, since=self._clock.monotonic())
        return True

    def _requeue_unstarted(self) -> None:
        """Requeue jobs that no worker could be started for; if that fails, the next round retries.

        Raises:
            StoreBroken: the database can't be written.

        """
        for key, why in list(self._unstarted.items()):
            self._requeue(key, why, "no_worker", counts=False)
            del self._unstarted[key]

    def _used_slots(self) -> int:
        """Count the workers here; one that has written no handle yet is assumed to be here."""
        return sum(it.handle is None or it.is_here for it in self._tracked.values())
