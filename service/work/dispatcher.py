"""The loop that owns running jobs: it claims, launches, reaps and requeues.

It keeps nothing that a new dispatcher would need: after a crash the next one reads the rows, finds
the workers by their handles and goes on.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from mlp_client.job_state import State
from service.domain.errors import StoreBroken
from service.store.files.local import Artifacts
from service.store.queue import Active, Queue
from service.work.launchers.local import Exit, Launcher
from service.work.launchers.lock_watchdog import SECONDS_BETWEEN_LOOKS, FrozenHolders
from service.work.process import STORE_EXIT, ProcessHandle

POLL_SECONDS = 0.5
SWEEP_SECONDS = 1.0
LOST_AFTER_SWEEPS = 15
STOP_SECONDS = 5.0
"""A worker that was asked to pause or cancel is killed after this."""
DRAIN_SECONDS = 6.0
"""At shutdown workers have this long to save."""
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 4.0)
"""Before the next attempt, by the number of losses in a row."""
MACHINE_BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before any worker is started, by the number of starts that have failed in a row."""
STORE_BACK_OFF_SECONDS = 4.0
"""Before the next attempt of a job whose worker could not read or write the store."""

logger = structlog.get_logger(__name__)
Key = tuple[str, int]
"""Job and attempt."""


class Clock(Protocol):
    """What the dispatcher needs of the module `time`."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass
class TrackedWorker:
    """What the dispatcher remembers of one attempt; a new dispatcher starts afresh."""

    handle: ProcessHandle | None
    beat: int = -1
    still: int = 0
    """Sweeps in a row that saw the same beat."""
    kill_at: float | None = None
    """Monotonic time at which the worker must be gone."""
    frozen: bool = False
    """It was killed because it held up everybody."""


class Dispatcher:
    """Runs queued jobs, as many at once as there are slots."""

    def __init__(
        self,
        queue: Queue,
        launcher: Launcher,
        artifacts: Artifacts,
        clock: Clock = time,
        *,
        keep_jobs: int | None = None,
    ) -> None:
        self._queue = queue
        self._launcher = launcher
        self._artifacts = artifacts
        self._keep_jobs = keep_jobs
        self._clock = clock
        self._tracked: dict[Key, TrackedWorker] = {}
        self._unstarted: dict[Key, str] = {}
        """Claimed attempts that no worker could be started for, and why."""
        self._not_before: dict[str, float] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._next_sweep = self._next_look = self._no_start_before = 0.0
        self._failed_starts = 0
        self._frozen = FrozenHolders(queue.file)
        self._thread: threading.Thread | None = None

    def start(self, on_death: Callable[[], None]) -> None:
        """Run in a thread of its own; `on_death` is called if the loop ends by an error."""

        def live() -> None:
            try:
                self._loop()
            except Exception:
                logger.exception("dispatcher_died")
                on_death()

        self._thread = threading.Thread(target=live, name="dispatcher", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Look at the queue now: a client has changed something."""
        self._wake.set()

    def stop(self) -> None:
        """Begin to stop: claim nothing more, ask the workers to save and leave."""
        self._stopping = True
        self._wake.set()

    def join(self) -> None:
        """Wait until all workers are gone and their jobs are back in the queue."""
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        try:
            for job in self._artifacts.folders():
                self._tidy(job, ours=False)
        except (StoreBroken, OSError) as exc:
            logger.error("store_broken", error=str(exc))  # garbage can wait for the next start
        while not self._stopping:
            self._wake.clear()
            try:
                self.step()
            except (StoreBroken, OSError) as exc:
                # A full disk, or no descriptor left: it may be well again next time.
                logger.error("step_failed", error=str(exc))
                self._excuse_silence()
                self._free_the_database()
            self._wake.wait(POLL_SECONDS)
        self._drain()

    def _excuse_silence(self) -> None:
        """Begin to count still sweeps anew: while the store fails no worker can beat."""
        for watch in self._tracked.values():
            watch.still = 0

    def step(self) -> None:
        """Go through the rounds once."""
        self._free_the_database()
        self._give_back()
        active = {(row.job, row.attempt): row for row in self._queue.active()}
        self._adopt(active)
        self._reap()
        self._hurry(active)
        now = self._clock.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(active)
            self._prune()
        self._fill()

    def _free_the_database(self) -> None:
        """Kill workers that froze inside a transaction: nobody else can write, this loop neither.

        They can't be fenced first, for the same reason; their jobs are requeued once they are gone.
        """
        now = self._clock.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        for handle in self._frozen.look():
            logger.warning("worker_frozen", pid=handle.pid)
            for watch in self._tracked.values():
                watch.frozen |= watch.handle == handle
            self._launcher.kill(handle)

    def _adopt(self, active: dict[Key, Active]) -> None:
        """TrackedWorker attempts that an earlier dispatcher started, once their handle is known."""
        for key, row in active.items():
            watch = self._tracked.setdefault(key, TrackedWorker(None))
            if watch.handle is None and (handle := ProcessHandle.read(row.handle)):
                logger.info("worker_adopted", job=row.job, attempt=row.attempt, pid=handle.pid)
                watch.handle = handle

    def _reap(self) -> None:
        """Take jobs away from workers whose process has ended; most had finished them before."""
        handles = {watch.handle: key for key, watch in self._tracked.items() if watch.handle}
        for handle, exit_ in self._launcher.poll(list(handles)).items():
            job, attempt = handles[handle]
            logger.info("worker_ended", job=job, attempt=attempt, code=exit_.code)
            self._requeue(job, attempt, exit_)
            del self._tracked[job, attempt]
            self._tidy(job, ours=True)

    def _requeue(self, job: str, attempt: int, exit_: Exit) -> None:
        why = self._story(job, attempt, exit_)
        if exit_.code == STORE_EXIT:
            self._not_before[job] = self._clock.monotonic() + STORE_BACK_OFF_SECONDS
            self._put_back(job, attempt, why, "store_unavailable")
        else:
            self._lose(job, attempt, why, "out_of_memory" if exit_.oom_killed else "worker_lost")

    def _story(self, job: str, attempt: int, exit_: Exit) -> str:
        words, what = self._launcher.log_tail(job), str(exit_)
        if self._tracked[job, attempt].frozen:
            what = "the worker froze inside a transaction and was killed"
        return f"{what}; its last log lines:\n{words}" if words else what

    def _hurry(self, active: dict[Key, Active]) -> None:
        """Kill workers that do not leave though their job wants them to."""
        now = self._clock.monotonic()
        for key, watch in list(self._tracked.items()):
            row = active.get(key)
            if row is None and not _is_here(watch):
                del self._tracked[key]
            elif row is not None and row.state == State.RUNNING:
                watch.kill_at = None
            elif watch.kill_at is None:
                watch.kill_at = now + STOP_SECONDS
            elif now >= watch.kill_at:
                self._end(key, watch)

    def _end(self, key: Key, watch: TrackedWorker) -> None:
        """Fence a worker first, so that it can write nothing more, and kill it after."""
        self._put_back(*key, "the worker did not leave in time and was killed")
        if watch.handle:
            self._launcher.kill(watch.handle)

    def _sweep(self, active: dict[Key, Active]) -> None:
        """Give up workers that have shown no sign of life in many sweeps.

        Sweeps are counted, not seconds: a machine that slept, or a clock that jumped, loses none.
        """
        for key, row in active.items():
            watch = self._tracked.get(key)
            if watch is None:
                continue  # reaped in this round
            watch.still = watch.still + 1 if watch.beat == row.heartbeat else 0
            watch.beat = row.heartbeat
            if watch.still >= LOST_AFTER_SWEEPS:
                self._lose(*key, f"no sign of life from the worker in {watch.still} s")
                if watch.handle:
                    self._launcher.kill(watch.handle)  # the watch stays until it is reaped

    def _prune(self) -> None:
        """Delete finished jobs beyond those to be kept, as a client would."""
        if self._keep_jobs is None:
            return
        for job in self._queue.prune(self._keep_jobs):
            logger.info("job_pruned", job=job)
            self._artifacts.delete_folder(job)

    def _lose(self, job: str, attempt: int, why: str, code: str = "worker_lost") -> None:
        """Take the job away from a worker that is lost; it is tried again after a while."""
        lost = self._queue.lose(job, attempt, why, code=code)
        if lost is None:
            return
        logger.warning("worker_lost", job=job, attempt=attempt, why=why, state=lost.state)
        if lost.state == State.QUEUED:
            number = min(lost.lost_workers, len(BACK_OFF_SECONDS))
            self._not_before[job] = self._clock.monotonic() + BACK_OFF_SECONDS[number - 1]

    def _put_back(self, job: str, attempt: int, why: str, code: str = "shutdown") -> None:
        """Take the job away from its worker for a reason that the job has no part in."""
        if lost := self._queue.lose(job, attempt, why, code=code, counts=False):
            logger.warning("job_put_back", job=job, attempt=attempt, why=why, state=lost.state)

    def _fill(self) -> None:
        """Claim and launch until every slot is taken or nothing is queued."""
        now = self._clock.monotonic()
        self._not_before = {job: at for job, at in self._not_before.items() if at > now}
        while now >= self._no_start_before and self._workers_here() < self._launcher.capacity():
            claim = self._queue.claim(self._not_before)
            if claim is None:
                return
            try:
                handle = self._launcher.start(claim.job, claim.attempt)
            except (StoreBroken, OSError) as exc:
                self._rest()
                self._unstarted[claim.job, claim.attempt] = f"no worker could be started: {exc}"
                self._give_back()
                return
            self._failed_starts = 0
            logger.info("worker_started", job=claim.job, attempt=claim.attempt, pid=handle.pid)
            self._tracked[claim.job, claim.attempt] = TrackedWorker(handle)

    def _give_back(self) -> None:
        """Put jobs back that were not started; what keeps workers off may keep this off too."""
        for key, why in list(self._unstarted.items()):
            self._put_back(*key, why, "no_worker")
            del self._unstarted[key]

    def _rest(self) -> None:
        """Start nothing for a while: the machine has no process, memory or disk left."""
        number = min(self._failed_starts, len(MACHINE_BACK_OFF_SECONDS) - 1)
        self._no_start_before = self._clock.monotonic() + MACHINE_BACK_OFF_SECONDS[number]
        self._failed_starts += 1

    def _workers_here(self) -> int:
        """Count the slots in use; a worker that has given no handle yet is taken to be here."""
        return sum(watch.handle is None or _is_here(watch) for watch in self._tracked.values())

    def _tidy(self, job: str, *, ours: bool) -> None:
        """Delete artifacts of a job that no row will ever name.

        A folder whose job the database does not know goes only if the job was `ours`, and so was
        deleted: the database itself may be the wrong one.

        Files are listed before the row is read, so a file that the row names later is not in the
        list.
        """
        keys = list(self._artifacts.keys(job))
        known = self._queue.named_artifacts(job)
        if known is None:
            if ours:
                self._artifacts.delete_folder(job)
            else:
                logger.warning("artifacts_of_no_job", job=job)
            return
        attempt, final, named = known
        for key in keys:
            old = int(key.split("/")[1]) < attempt
            if (old or final) and key not in named:
                self._artifacts.delete(key)

    def _drain(self) -> None:
        """Stop the workers, and put the jobs of those that can't save in time back in the queue."""
        mine = {key: w.handle for key, w in self._tracked.items() if w.handle and _is_here(w)}
        for handle in mine.values():
            self._launcher.terminate(handle)
        deadline, left = self._clock.monotonic() + DRAIN_SECONDS, set(mine.values())
        while left and self._clock.monotonic() < deadline:
            self._free_the_database()
            left -= self._launcher.poll(left).keys()
            self._clock.sleep(0.02)
        for (job, attempt), handle in mine.items():
            try:
                self._put_back(job, attempt, "the service was shut down")
            except StoreBroken as exc:
                logger.error("store_broken", error=str(exc))  # the next server takes the job away
            if handle in left:
                self._launcher.kill(handle)


def _is_here(watch: TrackedWorker) -> bool:
    return watch.handle is not None and watch.handle.is_here()
