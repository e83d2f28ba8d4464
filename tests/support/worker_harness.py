"""Workers that train in the test's own process, one after another, with a clock of their own."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlp_core import Training
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointRef, CheckpointStore
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.stored_job import StoredEvent
from service.work import worker as worker_module
from service.work.worker import Worker
from tests.support.fake_workers import Clock, TinyDatasetFiles
from tests.support.job_records import claim

TINY = {"hidden": [5], "epochs": 4, "batch_size": 50, "learning_rate": 0.2}
"""A spec for the tiny data set."""
TICKS_OF_AN_EPOCH = 12 + 1 + 1 + 1  # batches, blocks of the two evaluations, the end
AtStep = Mapping[int, str | Callable[[], object]]
"""What happens at which step: a function to call, or `stop`, `kill`, `pause`, `cancel`."""


class Killed(BaseException):
    """The process ends here: nothing that follows is done, not even by an `except Exception`."""


def kill() -> None:
    raise Killed


class WorkerHarness:
    def __init__(
        self, database: Database, artifacts_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.database, self.artifacts_dir = database, artifacts_dir
        self.artifacts = LocalArtifacts(artifacts_dir)
        self.checkpoints = CheckpointStore(self.artifacts)
        self.jobs, self.queue = JobStore(database), Queue(database)
        self.datasets = TinyDatasetFiles()
        self.clock = Clock()
        """The clock of the newest worker."""
        self._patch = monkeypatch

    def worker(self, job: str, at_step: AtStep | None = None, tick: float = 0.1) -> Worker:
        """Claim the job for a new worker, each of whose steps takes `tick` seconds."""
        return self.worker_of(claim(self.database, job), at_step, tick)

    def worker_of(
        self, attempt: Attempt, at_step: AtStep | None = None, tick: float = 0.1
    ) -> Worker:
        clock = self.clock = Clock()
        worker = Worker(attempt, self.checkpoints, self.datasets, clock)
        named: dict[str, Callable[[], object]] = {
            "stop": worker.request_stop,
            "kill": kill,
            "pause": lambda: self.jobs.act("pause", attempt.job),
            "cancel": lambda: self.jobs.act("cancel", attempt.job),
        }
        actions = {
            step: named[what] if isinstance(what, str) else what
            for step, what in (at_step or {}).items()
        }

        class SteppedTraining(Training):
            """Moves the clock with each slice of work, after which something may happen."""

            def __iter__(self) -> Iterator[Any]:
                for step, progress in enumerate(super().__iter__(), start=1):
                    clock.now += tick
                    actions.get(step, lambda: None)()
                    yield progress

        self._patch.setattr(worker_module, "Training", SteppedTraining)
        # A second thread or process would take steps that this clock does not count.
        self._patch.setattr(worker_module, "a_core_is_idle", lambda: False)
        return worker

    def run(self, job: str, at_step: AtStep | None = None, tick: float = 0.1) -> str:
        """Claim the job and train it; return the state it is left in."""
        worker = self.worker(job, at_step, tick)
        return worker.run(worker.begin())

    def run_and_kill(self, job: str, step: int, tick: float = 0.1) -> None:
        """Run a worker that is killed at a step, and take the job away from it."""
        with pytest.raises(Killed):
            self.run(job, {step: "kill"}, tick)
        attempt = self.jobs.get(job).attempt
        assert self.queue.lose(job, attempt, "killed")

    def result(self, job: str) -> tuple[object, ...]:
        """Return what must not depend on how a job was disturbed."""
        done = self.jobs.get(job)
        losses = [epoch["train_loss"] for epoch in self.jobs.epochs(job)]
        return done.state, done.weights_sha256, done.bit_exact, losses

    def reason(self, job: str) -> tuple[str, str]:
        reason = self.jobs.get(job).reason
        assert reason is not None
        return reason.code, reason.message

    def warnings(self, job: str) -> list[str]:
        return [event.data["code"] for event in self.events(job) if event.type == "warning"]

    def events(self, job: str) -> list[StoredEvent]:
        return self.jobs.events(job)[1]

    def saved(self, job: str) -> list[CheckpointRef]:
        """Return the checkpoints that the job's row names, newest first."""
        return self.jobs.with_checkpoints(job)[1]

    def newest_file(self, job: str) -> Path:
        return self.artifacts_dir / self.saved(job)[0].key


@pytest.fixture
def workers(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerHarness:
    return WorkerHarness(database, tmp_path / "jobs", monkeypatch)
