"""The times that the dispatcher waits before it starts a job again, or any worker at all."""

from service.work.clock import Clock

AFTER_LOST_WORKERS = (0.0, 1.0, 2.0, 4.0)
"""Seconds before a job's next attempt, by the number of workers it has lost in a row."""
AFTER_FAILED_STARTS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before any worker is started, by the number of starts that have failed in a row."""
AFTER_STORE_FAILURE = 4.0
"""Seconds before the next attempt of a job whose worker could not read or write the store."""


class BackOff:
    """Remembers until when each job, and the machine as a whole, must wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._job_waits_until: dict[str, float] = {}
        self._machine_waits_until = 0.0
        self._failed_starts = 0

    def waiting_jobs(self) -> set[str]:
        """Return the jobs whose next attempt must not begin yet."""
        now = self._clock.monotonic()
        return {job for job, until in self._job_waits_until.items() if until > now}

    def allows_starts(self) -> bool:
        """Return whether workers may be started on this machine."""
        return self._clock.monotonic() >= self._machine_waits_until

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for its time."""
        return self.allows_starts() and not self.waiting_jobs()

    def note_lost_worker(self, job: str, lost_in_a_row: int) -> None:
        number = min(lost_in_a_row, len(AFTER_LOST_WORKERS))
        self._delay_job(job, AFTER_LOST_WORKERS[number - 1])

    def note_store_failure(self, job: str) -> None:
        self._delay_job(job, AFTER_STORE_FAILURE)

    def note_failed_start(self) -> None:
        """Delay all starts: the machine lacks something, or no worker can begin on it."""
        number = min(self._failed_starts, len(AFTER_FAILED_STARTS) - 1)
        self._machine_waits_until = self._clock.monotonic() + AFTER_FAILED_STARTS[number]
        self._failed_starts += 1

    def note_begun(self) -> None:
        """Start workers without delay again, because one has given a heartbeat."""
        self._failed_starts = 0

    def _delay_job(self, job: str, seconds: float) -> None:
        waiting = self.waiting_jobs()
        self._job_waits_until = {
            other: until for other, until in self._job_waits_until.items() if other in waiting
        }
        self._job_waits_until[job] = self._clock.monotonic() + seconds
