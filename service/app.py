"""Wiring: everything that is built from the settings, and the application made of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

import service
from service.api import (
    class_epochs,
    comparison,
    curves,
    dataset_downloads,
    dataset_events,
    dataset_samples,
    dataset_uploads,
    datasets,
    docs,
    epoch_columns,
    evaluation,
    evaluation_tasks,
    events,
    film,
    health,
    job_actions,
    job_labels,
    job_lists,
    job_preview,
    jobs,
    layer_arrays,
    misread,
    openapi,
    page,
    predict,
    problem_responses,
    session,
    snapshots,
    stream,
    system,
    weight_pictures,
    weights,
)
from service.api.addresses import Addresses, refuse_wide_match
from service.api.dataset_answers import kept_answer
from service.api.dependencies import Services
from service.api.intake import Intake, UploadSlots
from service.api.request_bodies import refuse_unread
from service.api.validation import refuse_repeated
from service.api.web_files import WebFiles
from service.dispatchers import Dispatchers, dataset_quota
from service.domain.cost import WORKER_BYTES, Limits
from service.domain.errors import StoreBroken
from service.inference.evaluate import Evaluations
from service.inference.model_cache import ModelCache
from service.logs import LogOutput
from service.server import stack
from service.server.access_log import AccessLog
from service.server.admission import Admission
from service.server.auth import needed_scope
from service.server.bounded_check import BoundedCheck
from service.server.event_feed import EventFeed
from service.server.event_tail import EventTail
from service.server.key_ring import HOW_TO_AUTHENTICATE, KeyRing
from service.server.metrics import Metrics
from service.server.service_metrics import ServiceMetrics
from service.server.sessions import Sessions
from service.settings import Settings
from service.storage import Storage
from service.store.api_keys import ApiKeyStore
from service.store.artifacts import Artifacts
from service.store.checkpoints import CheckpointStore
from service.store.collected_samples import CollectedSamples
from service.store.dataset_queue import DatasetQueue
from service.store.datasets import DatasetStore
from service.store.evaluation_queue import EvaluationQueue
from service.store.evaluation_tasks import EvaluationTasks
from service.store.event_log import EventLog
from service.store.files.local import LocalArtifacts
from service.store.hosts import HostStore
from service.store.identity import identity_of
from service.store.instance import instance_of
from service.store.job_counts import count_jobs
from service.store.jobs import JobStore
from service.store.kept_evaluations import KeptEvaluations
from service.store.sessions import SessionSeal
from service.store.temperatures import Temperatures
from service.store.training_activity import TrainingActivity
from service.work.memory import room_for_jobs
from service.work.verification import Verification

ROUTERS = (
    health,
    system,
    session,
    jobs,
    job_lists,
    job_preview,
    job_actions,
    job_labels,
    epoch_columns,
    events,
    stream,
    curves,
    layer_arrays,
    weight_pictures,
    weights,
    predict,
    snapshots,
    class_epochs,
    comparison,
    evaluation,
    evaluation_tasks,
    misread,
    film,
    datasets,
    dataset_events,
    dataset_samples,
    dataset_uploads,
    dataset_downloads,
    page,
    docs,
)
"""The router tries them in this order; probes and scrapers come more often than anything else."""
DESCRIPTION = """Train multi-layer perceptrons, watch their progress, and let them predict digits.

Every error is a problem document (RFC 9457) that names the field and how to fix it. MNIST is
included."""


class Components:
    """Everything built from the settings."""

    def __init__(self, settings: Settings, log: LogOutput | None = None) -> None:
        storage = Storage(settings)
        self.database = storage.database
        self.jobs = JobStore(self.database)
        self.identity = identity_of(self.database, settings.data_dir)
        self.keys = KeyRing(ApiKeyStore(self.database))
        self.sessions = Sessions(self.keys, SessionSeal(self.identity))
        self.dispatchers = Dispatchers(settings, storage)
        self.dispatcher = self.dispatchers.jobs
        self.verification = Verification(storage.dataset_files, storage.damaged)
        self.admission = Admission(settings.max_predictions)
        self.event_log = EventLog(self.database)
        self.event_feed = EventFeed(self.jobs)
        self.checks = self._checks(settings, storage)
        self.count = partial(count_jobs, self.database)
        self.hosts = _no_hosts if self.database.file else HostStore(self.database).alive
        self.event_tail = EventTail(self.event_log, self.count, self.checks, self.hosts)
        self.metrics = self._metrics(storage)
        self.web = WebFiles if settings.page_reload else partial(_same, WebFiles())
        self.services = self._services(settings, storage)
        self.stack = self._layers(settings, log)

    def _services(self, settings: Settings, storage: Storage) -> Services:
        intake = self._intake(settings, storage)
        wake = self.dispatchers.evaluations.wake
        return Services(
            jobs=self.jobs,
            models=ModelCache(self.jobs, CheckpointStore(storage.artifacts, storage.cache)),
            datasets=intake.datasets,
            evaluations=Evaluations(),
            kept_evaluations=KeptEvaluations(self.database),
            temperatures=Temperatures(self.database),
            evaluation_tasks=EvaluationTasks(self.database, storage.results, wake),
            intake=intake,
            samples=CollectedSamples(self.database, storage.uploads, intake.datasets.quota),
            limits=_limits(settings, is_shared=self.database.file is None),
            event_feed=self.event_feed,
            event_tail=self.event_tail,
            event_log=self.event_log,
            wake=self.dispatcher.wake,
            is_stopping=lambda: self.dispatcher.is_stopping,
            checks=self.checks,
            metrics=self.metrics.page,
            counts=self.count,
            slots=self.dispatcher.slots,
            hosts=self.hosts,
            instance=lambda: self.identity.instance,
            web_digest=lambda: self.web().digest,
        )

    def _intake(self, settings: Settings, storage: Storage) -> Intake:
        quota = dataset_quota(settings)
        host = None if self.database.file else instance_of(settings.data_dir)
        datasets = DatasetStore(
            self.database, storage.dataset_files, quota, render=kept_answer, host=host
        )
        wake = self.dispatchers.checks.wake
        return Intake(datasets, storage.uploads, UploadSlots(), settings.max_dataset_bytes, wake)

    def _metrics(self, storage: Storage) -> Metrics:
        of_service = ServiceMetrics(
            self.jobs,
            DatasetQueue(self.database),
            EvaluationQueue(self.database),
            storage.damaged,
            TrainingActivity(self.database),
            self.checks,
            {kind: ended.totals for kind, ended in self.dispatchers.ended.items()},
            self.dispatcher.slots,
            self.hosts,
        )
        return Metrics(self.admission, of_service)

    def _checks(self, settings: Settings, storage: Storage) -> dict[str, Callable[[], bool]]:
        checks: dict[str, Callable[[], bool]] = {
            "database": partial(_succeeds, partial(self.jobs.page, 1)),
            "data_dir": partial(_succeeds, partial(check_writable, settings.data_dir)),
            "dispatcher": self.dispatchers.are_alive,
        }
        if settings.artifacts_url:
            reach = partial(_reach, storage.artifacts)
            checks["artifacts"] = BoundedCheck(partial(_succeeds, reach))
        return checks

    def start(self, on_death: Callable[[], None]) -> None:
        """Start the dispatchers, and the verification of data sets.

        Raises:
            StoreBroken: the identity of the service can't be read.

        """
        _ = self.identity.instance  # now, so that later no request waits for the database
        self.dispatchers.start(on_death)
        self.verification.start()

    def begin_to_stop(self) -> None:
        """Ask all workers to save and exit, and end the streams of events."""
        self.dispatchers.stop()
        self.verification.stop()
        self.event_feed.close()
        self.event_tail.close()

    def join(self) -> None:
        """Wait until all workers have ended, after `begin_to_stop`."""
        self.dispatchers.join()
        self.verification.join()

    def _layers(self, settings: Settings, log: LogOutput | None) -> list[stack.Layer]:
        return stack.layers(
            admission=self.admission,
            metrics=self.metrics,
            access_log=AccessLog(log) if log else None,
            keys=self.keys,
            sessions=self.sessions,
            services=self.services,
            network=stack.NetworkSettings(
                allowed_hosts=settings.allowed_hosts,
                allowed_origins=settings.allowed_origins,
                trusted_proxies=settings.trusted_proxies,
                root_path=settings.root_path,
            ),
        )


def _limits(settings: Settings, *, is_shared: bool) -> Limits:
    # What this machine can't run is refused at once, unless there may be larger ones.
    room = settings.max_job_bytes
    if not is_shared:
        room = room_for_jobs(settings.job_memory).alone - WORKER_BYTES
    return Limits(
        layers=settings.max_layers,
        width=settings.max_width,
        parameters=settings.max_parameters,
        epochs=settings.max_epochs,
        batch_size=settings.max_batch_size,
        job_bytes=min(settings.max_job_bytes, room),
        job_flops=settings.max_job_flops,
        evaluation_flops=settings.max_evaluation_flops,
    )


class Application(FastAPI):
    """FastAPI inside the layers of the HTTP stack."""

    def __init__(self, layers: list[stack.Layer], **options: Any) -> None:
        super().__init__(middleware=stack.WITHIN_FASTAPI, **options)
        self._stack: ASGIApp = stack.build(super().__call__, layers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._stack(scope, receive, send)


def create_app(
    settings: Settings,
    on_death: Callable[[], None] = lambda: None,
    log: LogOutput | None = None,
) -> Application:
    """Return the application; `preparation.prepare` must have prepared its data directory.

    Args:
        settings: the settings.
        on_death: called if the dispatcher's loop ends with an error.
        log: where the access log goes; None for no access log.
    """
    components = Components(settings, log)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        components.start(on_death)
        yield
        components.begin_to_stop()
        await asyncio.to_thread(components.join)
        await components.keys.uses.close()
        components.database.close()

    app = Application(
        components.stack,
        title="mlp-service",
        version=service.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        max_body_size=settings.max_body_bytes,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services, app.state.components = components.services, components
    app.state.web = components.web
    _add_routes(app)
    return app


def _no_hosts() -> None:
    """Return no list of hosts: nobody else may use the database."""


def _same(files: WebFiles) -> WebFiles:
    return files


def _add_routes(app: FastAPI) -> None:
    for module in ROUTERS:
        # Probes, scrapers and browsers may add any query parameter to these three.
        strict = [] if module in (health, page, docs) else [Depends(refuse_repeated)]
        app.include_router(
            module.router,
            responses=problem_responses.RESPONSES,
            dependencies=[Depends(refuse_wide_match), *strict, Depends(refuse_unread)],
        )
    for path in ("/web/{name:path}", "/vendor/{name:path}"):
        app.add_route(path, page.web_file, include_in_schema=False)
    app.state.addresses = Addresses(app.routes)
    problem_responses.install(app)
    openapi.install(app, needed_scope, f"An API key. {HOW_TO_AUTHENTICATE}")
    app.add_exception_handler(events.StreamFinished, events.stream_finished)


def check_writable(directory: Path) -> None:
    """Write and delete a small file in `directory`.

    Raises:
        StoreBroken: the directory can't be written to.
    """
    probe = directory / ".probe"
    try:
        probe.write_bytes(b"room?")  # on a full disk, an empty file can still be created
        probe.unlink(missing_ok=True)  # another check may run concurrently
    except OSError as exc:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise StoreBroken(f"the data directory {directory} can't be written to: {exc}") from exc


def _reach(artifacts: Artifacts) -> None:
    """Look whether artifacts that several machines share can be reached.

    A directory that is not mounted any more may be there nevertheless: empty, or made again by
    whoever has written to it since. So it must hold what each process writes at its start. A
    bucket only has to answer, for its rules may delete old files.

    Raises:
        StoreBroken: the files can't be reached.

    """
    if isinstance(artifacts, LocalArtifacts):
        artifacts.check_mounted()
        return
    with contextlib.suppress(FileNotFoundError):
        artifacts.get("checks/readyz", 0, "")


def _succeeds(action: Callable[[], object]) -> bool:
    try:
        action()
    except StoreBroken:
        return False
    return True
