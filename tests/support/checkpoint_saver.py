"""A program that is watched: a job is trained by two attempts that save at every chance.

`python -m tests.support.checkpoint_saver FOLDER` leaves, for each commit, the keys that rows
name as a file `FOLDER/marks/<number>`. With a JOB that has been claimed it only takes one step of
that, and saves.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from service.store.artifacts import Artifacts
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointStore
from service.store.durable_files import make_directory
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.store.sql.transaction import Transaction
from service.work.launchers.local import LocalLauncher
from service.work.save_schedule import DEFAULT_INTERVALS, Intervals
from service.work.worker import Worker
from tests.conftest import submit
from tests.support.fake_workers import TinyDatasetFiles

ALWAYS = Intervals(heartbeat=0, epoch_lead=0, first_save=0, save=0, save_factor=0)
TINY = {"hidden": [5], "epochs": 2, "batch_size": 200, "learning_rate": 0.2}


class Marked(Database):
    """Leaves a mark when a commit has been acknowledged."""

    def __init__(self, url: str, marks: Path) -> None:
        super().__init__(url)
        self._marks, self._count = marks, 0

    @contextmanager
    def write(self, alone: str = "") -> Iterator[Transaction]:
        with super().write(alone) as transaction:
            yield transaction
        with self.read() as transaction:
            keys = [row["key"] for row in transaction.rows("SELECT key FROM checkpoints")]
        (self._marks / f"{self._count:04}").write_text(json.dumps(keys))
        self._count += 1


def worker_of(attempt: Attempt, artifacts: Artifacts, intervals: Intervals) -> Worker:
    return Worker(attempt, CheckpointStore(artifacts), TinyDatasetFiles(), intervals=intervals)


def main(folder: Path) -> None:
    make_directory(folder)
    (folder / "marks").mkdir()
    url = f"sqlite:///{folder / 'jobs.sqlite3'}"
    migrate(url)
    database = Marked(url, folder / "marks")
    job = submit(JobStore(database), **TINY)
    artifacts = LocalArtifacts(folder / "jobs")
    launcher = LocalLauncher(folder / "jobs", {}, 1)
    sys.executable = "/bin/true"  # the launcher's part is to make the folder
    for stops in (True, False):  # the first attempt stops after its first step
        claim = Queue(database).claim()
        assert claim is not None
        launcher.start(job, claim.attempt)
        attempt = Attempt(database, job, claim.attempt)
        worker = worker_of(attempt, artifacts, ALWAYS)
        task = worker.begin()
        if stops:
            worker.request_stop()
        worker.run(task)
    database.close()


def once(folder: Path, job: str) -> None:
    """Train a job that has been claimed for a step, and save."""
    database = Database(f"sqlite:///{folder / 'jobs.sqlite3'}")
    attempt = Attempt(database, job, 1)
    intervals = replace(DEFAULT_INTERVALS, heartbeat=0.01)
    worker = worker_of(attempt, LocalArtifacts(folder / "jobs"), intervals)
    task = worker.begin()
    worker.request_stop()
    worker.run(task)
    database.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        once(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(sys.argv[1]))
