"""The dispatchers, one for each kind of work: jobs, checks of data sets, and large evaluations.

Each kind is a queue of rows, a program that works on one row, and the files that it leaves. A
further kind needs these three and a function here.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from service.domain.dataset_quota import DatasetQuota
from service.domain.task_kind import TaskKind
from service.settings import Settings
from service.storage import Storage
from service.store.dataset_queue import DatasetQueue
from service.store.evaluation_queue import EvaluationQueue
from service.store.queue import Queue
from service.store.sql.sqlite import sqlite_url
from service.work.artifact_gc import JobLeftovers
from service.work.dataset_leftovers import DatasetLeftovers
from service.work.dispatcher import Dispatcher
from service.work.ended_work import EndedWork
from service.work.evaluation_leftovers import EvaluationLeftovers
from service.work.launchers.local import LocalLauncher
from service.work.launchers.lock_watchdog import SqliteLockWatchdog

CONCURRENT_CHECKS = 1
CONCURRENT_EVALUATIONS = 1

NoteEnd = Callable[[str, float], None]


class Dispatchers:
    """The dispatchers of all kinds of work."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        """Create them; nothing happens before `start`."""
        database = storage.database
        file = database.file
        everywhere = {
            "MLP_DATABASE_URL": sqlite_url(file.absolute()) if file else database.url,
            "MLP_DATASETS_DIR": str(storage.dataset_files.directory),
        }
        checks = EndedWork(DatasetQueue(database).state_of)
        evaluations = EndedWork(EvaluationQueue(database).state_of)
        self.ended = {TaskKind.DATASET_CHECK: checks, TaskKind.EVALUATION: evaluations}
        """What has become of the workers that train no job."""
        self.jobs = _jobs(settings, storage, everywhere)
        self.checks = _checks(settings, storage, everywhere, checks.note)
        self.evaluations = _evaluations(storage, everywhere, evaluations.note)

    @property
    def _all(self) -> tuple[Dispatcher, ...]:
        return self.jobs, self.checks, self.evaluations

    def are_alive(self) -> bool:
        return all(each.is_alive() for each in self._all)

    def start(self, on_death: Callable[[], None]) -> None:
        """Start them; `on_death` is called if the loop of one ends with an error."""
        for each in self._all:
            each.start(on_death)

    def stop(self) -> None:
        """Begin to stop: start nothing more, and ask the workers to save and exit."""
        for each in self._all:
            each.stop()

    def join(self) -> None:
        """Wait until all workers here have ended, after `stop`."""
        for each in self._all:
            each.join()


def dataset_quota(settings: Settings) -> DatasetQuota:
    """Return how many data sets there may be, and how large."""
    return DatasetQuota(
        settings.max_owner_datasets, settings.max_owner_dataset_bytes, settings.max_datasets_bytes
    )


def _jobs(settings: Settings, storage: Storage, everywhere: dict[str, str]) -> Dispatcher:
    artifacts = storage.artifacts
    environment = everywhere | {
        "MLP_ARTIFACTS_DIR": str(artifacts.directory),
        "MLP_SNAPSHOTS": str(settings.snapshots),
        "MLP_SNAPSHOT_BYTES": str(settings.snapshot_bytes),
    }
    launcher = LocalLauncher(artifacts.directory, environment, settings.concurrent_jobs)
    queue = Queue(storage.database)
    leftovers = JobLeftovers(queue, artifacts, settings.keep_jobs)
    watchdog = SqliteLockWatchdog(storage.database.file)
    dispatcher = Dispatcher(queue, launcher, leftovers, lock_watchdog=watchdog)
    return _woken(dispatcher, launcher)


def _checks(
    settings: Settings, storage: Storage, everywhere: dict[str, str], note_end: NoteEnd
) -> Dispatcher:
    uploads = storage.uploads
    environment = everywhere | {
        "MLP_UPLOADS_DIR": str(uploads.directory),
        "MLP_DATASET_QUOTA": json.dumps(asdict(dataset_quota(settings))),
    }
    logs: Path = settings.data_dir.absolute() / "checks"
    launcher = LocalLauncher(logs, environment, CONCURRENT_CHECKS, "service.work.checker")
    queue = DatasetQueue(storage.database)
    leftovers = DatasetLeftovers(queue, storage.dataset_files, uploads, logs)
    return _woken(Dispatcher(queue, launcher, leftovers, note_end=note_end), launcher)


def _evaluations(storage: Storage, everywhere: dict[str, str], note_end: NoteEnd) -> Dispatcher:
    results = storage.results
    environment = everywhere | {
        "MLP_ARTIFACTS_DIR": str(storage.artifacts.directory),
        "MLP_EVALUATIONS_DIR": str(results.directory),
    }
    launcher = LocalLauncher(
        results.directory, environment, CONCURRENT_EVALUATIONS, "service.work.evaluator"
    )
    queue = EvaluationQueue(storage.database)
    leftovers = EvaluationLeftovers(queue, results)
    return _woken(Dispatcher(queue, launcher, leftovers, note_end=note_end), launcher)


def _woken(dispatcher: Dispatcher, launcher: LocalLauncher) -> Dispatcher:
    """Return the dispatcher, which now wakes when one of its workers ends."""
    launcher.on_end = dispatcher.wake
    return dispatcher
