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
from service.store.artifacts import Artifacts
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
from service.work.dispatcher import POLL_SECONDS, Dispatcher
from service.work.ended_work import EndedWork
from service.work.evaluation_leftovers import EvaluationLeftovers
from service.work.fleet import FleetSize, FleetSizer
from service.work.launchers.local import LocalLauncher
from service.work.launchers.lock_watchdog import SqliteLockWatchdog
from service.work.memory import room_for_jobs
from service.work.presence import Me, Presence
from service.work.schema_watch import SchemaWatch
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


@dataclass(frozen=True)
class Sharing:
    """What dispatchers know of other hosts that use the same database."""

    host: str | None
    """The identifier of this host; None if there is no other one."""
    is_leading: Callable[[], bool]
    try_storage: Callable[[], None] | None
    """Tries whether workers of this host can store files; None if there is no other host."""

    def idle_seconds(self, most: float) -> float:
        """Return the longest time between two rounds of an idle dispatcher."""
        return most if self.host else POLL_SECONDS

    @property
    def tidy_seconds(self) -> float:
        """How often leftovers are deleted while nobody works; 0 in each sweep."""
        return TIDY_SECONDS if self.host else 0.0


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
        file = database.file
        self._leadership = leadership_of(database.engine)
        host = None if file else instance_of(settings.data_dir)
        self._has_retired = False
        try_storage = partial(_try_storage, storage.artifacts, host) if host else None
        sharing = Sharing(host, self._leads, try_storage)
        everywhere = {
            "MLP_DATABASE_URL": sqlite_url(file.absolute()) if file else database.url,
            "MLP_DATASETS_DIR": str(storage.dataset_files.directory),
            "MLP_SHARED_URL": settings.artifacts_url or "",
            "MLP_DATASET_COPIES_BYTES": str(settings.dataset_copies_bytes),
        }
        checks = EndedWork(DatasetQueue(database).state_of)
        evaluations = EndedWork(EvaluationQueue(database).state_of)
        self.ended = {TaskKind.DATASET_CHECK: checks, TaskKind.EVALUATION: evaluations}
        """What has become of the workers that train no job."""
        room = room_for_jobs(settings.job_memory)
        self.jobs = _jobs(settings, storage, everywhere, sharing, room)
        self.checks = _checks(settings, storage, everywhere, sharing, checks.note)
        self.evaluations = _evaluations(storage, everywhere, sharing, evaluations.note)
        self._fleet_leadership = leadership_of(database.engine, FLEET)
        self._fleet = _fleet(settings, database, self._sizes) if settings.fleet else None
        of_kind = {
            JOBS: self._wake_jobs,
            DATASETS: self.checks.wake,
            EVALUATIONS: self.evaluations.wake,
        }
        self._bell = Bell(database.engine, of_kind) if host else None
        self._presence = self._present(host, room.alone, database) if host else None
        seen = on_newer_schema or self.retire
        check_logs = _check_logs(settings)
        self._upkeep = _upkeep(storage, check_logs, seen) if host else None

    def _present(self, host: str, memory: int, database: Database) -> Presence:
        me = Me(host, self.jobs.slots, memory)
        return Presence(HostStore(database), me, self._leads)

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


def _upkeep(storage: Storage, check_logs: Path, on_newer_schema: Callable[[], None]) -> Upkeep:
    watch = SchemaWatch(
        partial(revision_of_tables, storage.database), REVISIONS[-1], on_newer_schema
    )
    tasks: dict[Callable[[], None], float] = {
        watch.look: SCHEMA_SECONDS,
        storage.dataset_files.delete_abandoned: COPIES_SECONDS,
    }
    for directory, needed, seconds in (
        (storage.logs, LOGS_NEEDED, LOGS_SECONDS),
        (check_logs, CHECK_LOGS_NEEDED, LOGS_SECONDS),
        (storage.uploads.directory, UPLOADS_NEEDED, COPIES_SECONDS),
    ):
        folders = LocalFolders(storage.database, directory, needed)
        tasks[folders.delete_unneeded] = seconds
    return Upkeep(tasks)


def _check_logs(settings: Settings) -> Path:
    """Return where each uploaded data set has a folder with the log of its checkers."""
    return settings.data_dir.absolute() / "checks"


def _try_storage(artifacts: Artifacts, host: str) -> None:
    """Store a file and delete it again.

    Raises:
        StoreBroken: that is not possible from here.

    """
    key = f"hosts/{host}/trial"
    artifacts.put(key, b"a host can store files")
    artifacts.delete(key)


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


def _jobs(
    settings: Settings,
    storage: Storage,
    everywhere: dict[str, str],
    sharing: Sharing,
    room: Room,
) -> Dispatcher:
    artifacts = storage.artifacts
    environment = everywhere | {
        "MLP_ARTIFACTS_URL": artifacts.url,
        "MLP_SNAPSHOTS": str(settings.snapshots),
        "MLP_SNAPSHOT_BYTES": str(settings.snapshot_bytes),
    }
    launcher = LocalLauncher(storage.logs, environment, settings.concurrent_jobs)
    queue = Queue(storage.database, sharing.host, room)
    leftovers = JobLeftovers(queue, artifacts, settings.keep_jobs)
    dispatcher = Dispatcher(
        queue,
        launcher,
        leftovers,
        is_leading=sharing.is_leading,
        idle_seconds=sharing.idle_seconds(IDLE_SECONDS),
        try_storage=sharing.try_storage,
        tidy_seconds=sharing.tidy_seconds,
        lock_watchdog=SqliteLockWatchdog(storage.database.file),
    )
    return _woken(dispatcher, launcher)


def _checks(
    settings: Settings,
    storage: Storage,
    everywhere: dict[str, str],
    sharing: Sharing,
    note_end: NoteEnd,
) -> Dispatcher:
    uploads = storage.uploads
    environment = everywhere | {
        "MLP_UPLOADS_DIR": str(uploads.directory),
        "MLP_DATASET_QUOTA": json.dumps(asdict(dataset_quota(settings))),
    }
    logs = _check_logs(settings)
    launcher = LocalLauncher(logs, environment, CONCURRENT_CHECKS, "service.work.checker")
    queue = DatasetQueue(storage.database, sharing.host)
    leftovers = DatasetLeftovers(queue, storage.dataset_files, uploads, logs)
    dispatcher = Dispatcher(
        queue,
        launcher,
        leftovers,
        is_leading=sharing.is_leading,
        idle_seconds=sharing.idle_seconds(RARE_SECONDS),
        try_storage=sharing.try_storage,
        tidy_seconds=sharing.tidy_seconds,
        note_end=note_end,
    )
    return _woken(dispatcher, launcher)


def _evaluations(
    storage: Storage, everywhere: dict[str, str], sharing: Sharing, note_end: NoteEnd
) -> Dispatcher:
    results = storage.results
    environment = everywhere | {
        "MLP_ARTIFACTS_URL": storage.artifacts.url,
        "MLP_RESULTS_URL": results.url,
    }
    launcher = LocalLauncher(
        storage.evaluation_logs, environment, CONCURRENT_EVALUATIONS, "service.work.evaluator"
    )
    queue = EvaluationQueue(storage.database, sharing.host)
    leftovers = EvaluationLeftovers(queue, results)
    dispatcher = Dispatcher(
        queue,
        launcher,
        leftovers,
        is_leading=sharing.is_leading,
        idle_seconds=sharing.idle_seconds(RARE_SECONDS),
        try_storage=sharing.try_storage,
        tidy_seconds=sharing.tidy_seconds,
        note_end=note_end,
    )
    return _woken(dispatcher, launcher)


def _woken(dispatcher: Dispatcher, launcher: LocalLauncher) -> Dispatcher:
    """Return the dispatcher, which now wakes when one of its workers ends."""
    launcher.on_end = dispatcher.wake
    return dispatcher
