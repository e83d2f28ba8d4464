"""A dispatcher with a real store, fake workers and a clock that tests move."""

import threading
from collections.abc import Callable
from typing import Any

from service.domain.errors import StoreBroken
from service.store.artifacts import Artifacts
from service.store.attempts import Attempt
from service.store.jobs import JobStore
from service.store.queue import Active, Lost, Queue
from service.store.sql.database import Database
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.launcher import Launcher, LockWatchdog
from service.work.sharing import Sharing
from tests.conftest import submit
from tests.support.fake_workers import Clock, FakeLauncher
from tests.support.job_records import ENVIRONMENT


class DispatcherHarness:
    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        *,
        capacity: int = 2,
        queue: Queue | None = None,
    ) -> None:
        self.database, self.artifacts, self.clock = database, artifacts, Clock()
        self.jobs, self.queue = JobStore(database), queue or Queue(database)
        self.launcher = FakeLauncher(capacity)
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(
        self,
        launcher: Launcher | None = None,
        *,
        keep_jobs: int | None = None,
        lock_watchdog: LockWatchdog | None = None,
        try_storage: Callable[[], None] | None = None,
    ) -> Dispatcher:
        """Return another dispatcher over the same store, which knows no worker yet."""
        return Dispatcher(
            self.queue,
            launcher or self.launcher,
            JobLeftovers(self.queue, self.artifacts, keep_jobs),
            self.clock,
            lock_watchdog=lock_watchdog,
            sharing=Sharing(try_storage=try_storage),
        )

    def step(self, seconds: float = 0.0) -> None:
        """Let time pass and the dispatcher do a round."""
        self.clock.now += seconds
        self.dispatcher.step()

    def attempt(self, job: str) -> Attempt:
        """Return what the worker of a running job holds, after its first heartbeat."""
        number = self.jobs.get(job).attempt
        attempt = Attempt(self.database, job, number)
        attempt.begin(self.launcher.handles[job, number].as_record(), ENVIRONMENT)
        return attempt

    def run_job(self) -> tuple[str, Attempt]:
        """Submit a job and let the dispatcher start it."""
        job = submit(self.jobs)
        self.step()
        return job, self.attempt(job)

    def state(self, job: str) -> str:
        return self.jobs.get(job).state

    def reason(self, job: str) -> tuple[str, str]:
        reason = self.jobs.get(job).reason
        assert reason is not None
        return reason.code, reason.message

    def lost_worker_reason(self, job: str) -> dict[str, str]:
        """Return the reason of the one event that has a reason."""
        _, events = self.jobs.events(job)
        [reason] = [event.data["reason"] for event in events if event.data.get("reason")]
        return dict(reason)

    def with_new_dispatcher(self) -> "DispatcherHarness":
        """Replace the dispatcher, as after a crash, by one that does not know any worker yet."""
        self.dispatcher = self.new_dispatcher()
        return self


class FlakyQueue(Queue):
    """A queue with one method that fails for a while."""

    failures = 0
    error: Exception = StoreBroken("the disk is full")
    failing_method = "active"

    def _fail_if_due(self, method: str) -> None:
        if self.failures and method == self.failing_method:
            self.failures -= 1
            raise self.error

    def active(self) -> list[Active]:
        self._fail_if_due("active")
        return super().active()

    def lose(self, *arguments: Any, **options: Any) -> Lost | None:
        self._fail_if_due("lose")
        return super().lose(*arguments, **options)


class FlakyHarness(DispatcherHarness):
    """A dispatcher whose database fails for a while."""

    queue: FlakyQueue

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        super().__init__(database, artifacts, queue=FlakyQueue(database))


def run_and_stop(harness: DispatcherHarness) -> threading.Event:
    """Let the dispatcher's thread do a round, and stop it; return the event that its death sets."""
    died = threading.Event()
    harness.launcher.was_polled.clear()
    harness.dispatcher.start(died.set)
    assert harness.dispatcher.is_alive()
    assert harness.launcher.was_polled.wait(10)
    harness.dispatcher.stop()
    harness.dispatcher.join()
    assert not harness.dispatcher.is_alive()
    return died
