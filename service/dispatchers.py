"""The dispatchers, one for each kind of work: jobs, checks of data sets, and large evaluations.

Each kind is a queue of rows, a program that works on one row, and the files that it leaves. A
further kind needs these three and a function here.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from service.domain.dataset_quota import DatasetQuota
from service.domain.room import Room
from service.domain.task_kind import TaskKind
from service.settings import Settings
from service.storage import Storage
from service.store.dataset_queue import DatasetQueue
from service.store.dataset_rows import DATASETS
from service.store.evaluation_queue import EvaluationQueue
from service.store.evaluation_rows import EVALUATIONS
from service.store.hosts import HostStore
from service.store.identity import identity_of
from service.store.instance import instance_of
from service.store.job_counts import count_demand
from service.store.local_folders import (
    CHECK_LOGS_NEEDED,
    LOGS_NEEDED,
    UPLOADS_NEEDED,
    LocalFolders,
)
from service.store.queue import Queue
from service.store.sql.bell import Bell
from service.store.sql.database import Database
from service.store.sql.leadership import FLEET, leadership_of
from service.store.sql.migrate import REVISIONS, revision_of_tables
from service.store.sql.sqlite import sqlite_url
from service.store.transitions import JOBS
from service.work.artifact_gc import JobLeftovers
from service.work.dataset_leftovers import DatasetLeftovers
from service.work.dispatcher import Dispatcher
from service.work.ended_work import EndedWork
from service.work.evaluation_leftovers import EvaluationLeftovers
from service.work.fleet import FleetSize, FleetSizer
from service.work.launchers.local import LocalLauncher
from service.work.launchers.lock_watchdog import SqliteLockWatchdog
from service.work.memory import room_for_jobs
from service.work.presence import Me, Presence
from service.work.schema_watch import SchemaWatch
from service.work.sharing import ALONE, Sharing
from service.work.upkeep import Upkeep

CONCURRENT_CHECKS = 1
CONCURRENT_EVALUATIONS = 1
IDLE_SECONDS = 5.0
"""How often an idle host looks for jobs by itself; the bell wakes it at once."""
RARE_SECONDS = 30.0
"""How often it looks for rows of the other kinds."""
TIDY_SECONDS = 40.0
"""How often the leader deletes leftovers while nobody works."""

SCHEMA_SECONDS = 5.0
"""How often a host looks whether a newer version has migrated the database."""
LOGS_SECONDS = 3600.0
"""How often a host deletes the logs of jobs and data sets that are not there any more."""
COPIES_SECONDS = 300.0
"""How often it deletes its copies of what was sent to become data sets that are checked by now."""

NoteEnd = Callable[[str, float], None]


class Dispatchers:
    """The dispatchers of all kinds of work."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        on_newer_schema: Callable[[], None] | None = None,
    ) -> None:
        """Create them; nothing happens before `start`.

        Args:
            settings: the settings.
            storage: where the rows and files of all kinds of work are.
            on_newer_schema: called when a newer version has migrated a database that several hosts
                share; by default, they `retire`.

        """
        database = storage.database
        host = None if database.file else instance_of(settings.data_dir)
        self._has_retired = False
        self._leadership = leadership_of(database.engine)
        self._fleet_leadership = leadership_of(database.engine, FLEET)
        checks = EndedWork(DatasetQueue(database).state_of)
        evaluations = EndedWork(EvaluationQueue(database).state_of)
        self.ended = {TaskKind.DATASET_CHECK: checks, TaskKind.EVALUATION: evaluations}
        """What has become of the workers that train no job."""
        room = room_for_jobs(settings.job_memory)
        parts = Parts(settings, storage, host, self._leads)
        self.jobs = _jobs(parts, room)
        self.checks = _checks(parts, checks.note)
        self.evaluations = _evaluations(parts, evaluations.note)
        self._fleet = _fleet(settings, database, self._sizes) if settings.fleet else None
        self._bell = self._presence = self._upkeep = None
        if host:
            self._bell = Bell(database.engine, self._wakes())
            me = Me(host, self.jobs.slots, room.alone)
            self._presence = Presence(HostStore(database), me, self._leads)
            self._upkeep = _upkeep(parts, on_newer_schema or self.retire)

    def _wakes(self) -> dict[str, Callable[[], None]]:
        """Return what wakes the dispatcher of each kind of work."""
        return {
            JOBS: self._wake_jobs,
            DATASETS: self.checks.wake,
            EVALUATIONS: self.evaluations.wake,
        }

    def _leads(self) -> bool:
        return not self._has_retired and self._leadership.is_held()

    def _sizes(self) -> bool:
        return not self._has_retired and self._fleet_leadership.is_held()

    def _wake_jobs(self) -> None:
        self.jobs.wake()
        if self._fleet:
            self._fleet.wake()

    @property
    def _all(self) -> tuple[Dispatcher, ...]:
        return self.jobs, self.checks, self.evaluations

    def are_busy(self) -> bool:
        """Return whether any worker is known to run."""
        return any(each.tracked for each in self._all)

    def are_alive(self) -> bool:
        return all(each.is_alive() for each in self._all)

    def start(self, on_death: Callable[[], None]) -> None:
        """Start them; `on_death` is called if the loop of one ends with an error."""
        for part in (self._presence, self._bell, self._upkeep, self._fleet):
            if part:
                part.start()
        for each in self._all:
            each.start(on_death)

    def retire(self) -> None:
        """Leave all work to other hosts for good, but stay alive until `stop`.

        A server whose version is older than the schema goes on serving.
        """
        self._has_retired = True
        for each in self._all:
            each.retire()
        if self._presence:
            self._presence.retire()
        self._leadership.give_up()
        self._fleet_leadership.give_up()

    def stop(self) -> None:
        """Begin to stop: start nothing more, and ask the workers to save and exit."""
        for part in (self._bell, self._upkeep, self._fleet):
            if part:
                part.stop()
        for each in self._all:
            each.stop()

    def join(self) -> None:
        """Wait until all workers here have ended, after `stop`; another process may lead then."""
        for each in self._all:
            each.join()
        self._leadership.give_up()
        if self._fleet:
            self._fleet.join()
            self._fleet_leadership.give_up()
        if self._upkeep:
            self._upkeep.join()
        if self._presence:
            self._presence.stop()


@dataclass(frozen=True)
class Parts:
    """What the dispatchers of all kinds of work are made of."""

    settings: Settings
    storage: Storage
    host: str | None
    """The identifier of this host; None if no other one uses the database."""
    is_leading: Callable[[], bool]

    def sharing(self, idle_seconds: float) -> Sharing:
        """Return how the rows are shared that an idle host looks for so often."""
        if self.host is None:
            return ALONE
        return Sharing(self.is_leading, self.storage.check, idle_seconds, TIDY_SECONDS)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which workers of every kind find the rows and the data sets."""
        database, settings = self.storage.database, self.settings
        file = database.file
        return {
            "MLP_DATABASE_URL": sqlite_url(file.absolute()) if file else database.url,
            "MLP_DATASETS_DIR": str(self.storage.dataset_files.directory),
            "MLP_SHARED_URL": settings.artifacts_url or "",
            "MLP_DATASET_COPIES_BYTES": str(settings.dataset_copies_bytes),
        }

    @property
    def check_logs(self) -> Path:
        """Where each uploaded data set has a folder with the log of its checkers."""
        return self.settings.data_dir.absolute() / "checks"


def _upkeep(parts: Parts, on_newer_schema: Callable[[], None]) -> Upkeep:
    storage = parts.storage
    watch = SchemaWatch(
        partial(revision_of_tables, storage.database), REVISIONS[-1], on_newer_schema
    )
    tasks: dict[Callable[[], None], float] = {
        watch.look: SCHEMA_SECONDS,
        storage.dataset_files.delete_abandoned: COPIES_SECONDS,
    }
    for directory, needed, seconds in (
        (storage.logs, LOGS_NEEDED, LOGS_SECONDS),
        (parts.check_logs, CHECK_LOGS_NEEDED, LOGS_SECONDS),
        (storage.uploads.directory, UPLOADS_NEEDED, COPIES_SECONDS),
    ):
        folders = LocalFolders(storage.database, directory, needed)
        tasks[folders.delete_unneeded] = seconds
    return Upkeep(tasks)


def dataset_quota(settings: Settings) -> DatasetQuota:
    """Return how many data sets there may be, and how large."""
    return DatasetQuota(
        settings.max_owner_datasets, settings.max_owner_dataset_bytes, settings.max_datasets_bytes
    )


def _fleet(settings: Settings, database: Database, is_leading: Callable[[], bool]) -> FleetSizer:
    # Whoever has no fleet does not wait for its imports.
    from service.work.ray import HostCommand, RayFleet, token_reader

    slots, secret = settings.fleet_slots, settings.ray_token
    token = token_reader(secret.get_secret_value() if secret else None, settings.ray_token_file)
    identity = identity_of(database, settings.data_dir)
    memory = settings.job_memory
    host = HostCommand(settings.host_command, slots, settings.fleet_idle, memory)
    return FleetSizer(
        RayFleet(settings.ray_url, token, lambda: identity.instance, host),
        FleetSize(slots, settings.fleet_hosts),
        functools.partial(count_demand, database),
        is_leading,
    )


def _jobs(parts: Parts, room: Room) -> Dispatcher:
    settings, storage = parts.settings, parts.storage
    environment = parts.environment | {
        "MLP_ARTIFACTS_URL": storage.artifacts.url,
        "MLP_SNAPSHOTS": str(settings.snapshots),
        "MLP_SNAPSHOT_BYTES": str(settings.snapshot_bytes),
    }
    launcher = LocalLauncher(storage.logs, environment, settings.concurrent_jobs)
    queue = Queue(storage.database, parts.host, room)
    return _waking(
        launcher,
        Dispatcher(
            queue,
            launcher,
            JobLeftovers(queue, storage.artifacts, settings.keep_jobs),
            sharing=parts.sharing(IDLE_SECONDS),
            lock_watchdog=SqliteLockWatchdog(storage.database.file),
        ),
    )


def _checks(parts: Parts, note_end: NoteEnd) -> Dispatcher:
    storage, logs = parts.storage, parts.check_logs
    environment = parts.environment | {
        "MLP_UPLOADS_DIR": str(storage.uploads.directory),
        "MLP_DATASET_QUOTA": json.dumps(asdict(dataset_quota(parts.settings))),
    }
    launcher = LocalLauncher(logs, environment, CONCURRENT_CHECKS, "service.work.checker")
    queue = DatasetQueue(storage.database, parts.host)
    leftovers = DatasetLeftovers(queue, storage.dataset_files, storage.uploads, logs)
    sharing = parts.sharing(RARE_SECONDS)
    return _waking(
        launcher, Dispatcher(queue, launcher, leftovers, sharing=sharing, note_end=note_end)
    )


def _evaluations(parts: Parts, note_end: NoteEnd) -> Dispatcher:
    storage = parts.storage
    environment = parts.environment | {
        "MLP_ARTIFACTS_URL": storage.artifacts.url,
        "MLP_RESULTS_URL": storage.results.url,
    }
    launcher = LocalLauncher(
        storage.evaluation_logs, environment, CONCURRENT_EVALUATIONS, "service.work.evaluator"
    )
    queue = EvaluationQueue(storage.database, parts.host)
    leftovers = EvaluationLeftovers(queue, storage.results)
    sharing = parts.sharing(RARE_SECONDS)
    return _waking(
        launcher, Dispatcher(queue, launcher, leftovers, sharing=sharing, note_end=note_end)
    )


def _waking(launcher: LocalLauncher, dispatcher: Dispatcher) -> Dispatcher:
    """Return the dispatcher, which now wakes when one of its workers ends."""
    launcher.on_end = dispatcher.wake
    return dispatcher
