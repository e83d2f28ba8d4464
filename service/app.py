"""The one place where the services are joined, and the process that serves them."""

import asyncio
import contextlib
import fcntl
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import IO

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from threadpoolctl import threadpool_limits

import service
from service import logs
from service.api import (
    curves,
    datasets,
    docs,
    events,
    health,
    jobs,
    openapi,
    predict,
    problem_responses,
    weights,
)
from service.api.dependencies import Services
from service.api.validation import refuse_repeated
from service.domain.cost import Limits
from service.domain.errors import StoreBroken
from service.inference.model_cache import ModelCache
from service.server.admission import Admission, is_worth_a_line
from service.server.auth import HOW, Authenticator, KeyRing, needed_scope
from service.server.buffered_protocol import BufferedProtocol
from service.server.event_feed import EventFeed
from service.server.http_protocol import IDLE_SECONDS, listeners
from service.server.metrics import Metrics
from service.server.quick_predict import QuickPredict
from service.server.request_guard import RequestGuard
from service.settings import Settings
from service.store.api_keys import KeyStore
from service.store.checkpoints import CheckpointStore
from service.store.datasets import MNIST, DatasetStore
from service.store.files.local import Artifacts, make_directory
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.connector import Database, is_there, migrate, sqlite_url
from service.work.dispatcher import Dispatcher
from service.work.drain import let_workers_leave
from service.work.launchers.local import LocalLauncher
from service.work.launchers.lock_watchdog import end_frozen_holders

ROUTERS = (jobs, events, curves, weights, predict, datasets, health, docs)
GRACE_SECONDS = 5
BUSY_SECONDS = 5
"""A request waits for the database's lock this long; its client may try again then."""
DESCRIPTION = """Train multi-layer perceptrons, watch them learn, and ask them about digit images.

Every error is a problem document (RFC 9457) that names the field and how to mend it. MNIST is
inside."""

logger = structlog.get_logger(__name__)


class Components:
    """All services, furnished from the settings."""

    def __init__(self, settings: Settings) -> None:
        url = settings.resolved_database_url()
        artifacts_dir = settings.data_dir.absolute() / "jobs"
        datasets_dir = settings.resolved_datasets_dir().absolute()
        self.database = Database(url, BUSY_SECONDS)
        self.jobs = JobStore(self.database)
        self.keys = KeyStore(self.database)
        artifacts = Artifacts(artifacts_dir)
        shelf = DatasetStore(datasets_dir)
        file = self.database.file
        worker_environment = {
            "MLP_DATABASE_URL": sqlite_url(file.absolute()) if file else url,
            "MLP_ARTIFACTS_DIR": str(artifacts_dir),
            "MLP_DATASETS_DIR": str(datasets_dir),
        }
        launcher = LocalLauncher(artifacts_dir, worker_environment, settings.concurrent_jobs)
        self.dispatcher = Dispatcher(
            Queue(self.database), launcher, artifacts, keep_jobs=settings.keep_jobs
        )
        launcher.on_end = self.dispatcher.wake
        self.event_feed = EventFeed(self.jobs)
        self.admission = Admission(settings.max_predictions)
        self.metrics = Metrics(self.jobs, self.admission)
        self.services = Services(
            jobs=self.jobs,
            models=ModelCache(self.jobs, CheckpointStore(artifacts)),
            datasets=shelf,
            artifacts=artifacts,
            limits=_limits(settings),
            event_feed=self.event_feed,
            wake=self.dispatcher.wake,
            checks={
                "database": partial(_works, partial(self.jobs.page, 1)),
                "data_dir": partial(_works, partial(_write_probe, settings.data_dir)),
                "dispatcher": self.dispatcher.is_alive,
            },
            metrics=self.metrics.page,
        )


def create_app(
    settings: Settings, on_death: Callable[[], None] = lambda: None, *, prepared: bool = False
) -> FastAPI:
    """Join the services.

    Args:
        on_death: called if the dispatcher's loop ends by an error.
        prepared: `prepare` has been called already.
    """
    components = Components(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if not prepared:
            prepare(settings)
        components.dispatcher.start(on_death)
        yield
        components.event_feed.close()
        components.dispatcher.stop()
        await asyncio.to_thread(components.dispatcher.join)
        components.database.close()

    app = FastAPI(
        title="mlp-service",
        version=service.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        max_body_size=settings.max_body_bytes,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services, app.state.components = components.services, components
    _add_routes(app)
    # Around the whole stack: middleware lies inside the body limit and the answer to a crash.
    admitted = components.admission.around(
        QuickPredict(app.build_middleware_stack(), components.services)
    )
    known = Authenticator(admitted, KeyRing(components.keys))
    app.middleware_stack = components.metrics.around(RequestGuard(known, settings.allowed_hosts))
    return app


def _add_routes(app: FastAPI) -> None:
    for module in ROUTERS:
        # Not those that machines ask to see whether the service lives, with whatever they add.
        strict = [] if module in (health, docs) else [Depends(refuse_repeated)]
        app.include_router(
            module.router, responses=problem_responses.RESPONSES, dependencies=strict
        )
    app.add_route("/vendor/{name:path}", docs.vendored, include_in_schema=False)
    problem_responses.install(app)
    openapi.install(app, needed_scope, f"An API key. {HOW}")
    app.add_exception_handler(events.StreamFinished, events.stream_finished)
    app.add_middleware(events.IgnoreBrokenStream)


def prepare(settings: Settings) -> None:
    """Make the data directory, unpack and arrange the data sets, bring the database up to date.

    Raises:
        StoreBroken: they can't be written.
    """
    make_directory(settings.data_dir.absolute())
    _write_probe(settings.data_dir)
    DatasetStore(settings.resolved_datasets_dir()).arranged(MNIST.name)
    url = settings.resolved_database_url()
    database = Database(url)
    end_frozen_holders(database.file)
    if is_there(url) and database.is_outdated():
        let_workers_leave(Queue(database))
    database.close()
    migrate(url)


def _write_probe(directory: Path) -> None:
    probe = directory / ".probe"
    try:
        probe.write_bytes(b"room?")  # on a full disk an empty file can still be made
        probe.unlink(missing_ok=True)  # two may probe at once
    except OSError as exc:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise StoreBroken(f"the data directory {directory} can't be written: {exc}") from exc


def _works(action: Callable[[], object]) -> bool:
    try:
        action()
    except StoreBroken:
        return False
    return True


def _limits(settings: Settings) -> Limits:
    return Limits(
        layers=settings.max_layers,
        width=settings.max_width,
        parameters=settings.max_parameters,
        epochs=settings.max_epochs,
        batch_size=settings.max_batch_size,
        job_bytes=settings.max_job_bytes,
        job_flops=settings.max_job_flops,
    )


class Server(uvicorn.Server):
    """uvicorn, stopping in the order that keeps everything: workers save while streams end.

    Its own shutdown waits for connections first, and an open event stream never closes by itself.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.components: Components | None = None
        self.died = False

    def die(self) -> None:
        """Stop, because the dispatcher has: a server that trains nothing must not look healthy."""
        self.died = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.components:
            self.components.dispatcher.stop()
            self.components.event_feed.close()
        await super().shutdown(sockets)


def serve(settings: Settings) -> int:
    """Serve until a signal; return the exit code."""
    logs.configure(settings.log_level, settings.log_format)
    with contextlib.ExitStack() as stack:
        try:
            new = not is_there(settings.resolved_database_url())
            problem = public_bind_problem(settings) if new else None  # before anything is made
            if not problem:
                stack.enter_context(_lock(settings.data_dir))
                prepare(settings)  # only then the keys can be read, whatever happened before
                problem = public_bind_problem(settings)
        except StoreBroken as exc:
            sys.stderr.write(f"mlp-service can't start: {exc}\n")
            return 1
        if problem:
            sys.stderr.write(f"{problem}\n")
            return 2
        logger.info("data_dir", path=str(settings.data_dir.absolute()))
        return _run(settings)


def _run(settings: Settings) -> int:
    server = _server(settings)
    _allow_many_files()
    logging.getLogger("uvicorn.access").addFilter(is_worth_a_line)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again when it has stopped; that end is as good as any.
        signal.signal(number, lambda *_: None)
    threadpool_limits(1, user_api="blas")  # the other cores belong to the workers
    try:
        socket_ = server.config.bind_socket()
    except SystemExit:  # uvicorn has said why
        sys.stderr.write(
            f"mlp-service can't listen on {settings.host} port {settings.port}; choose another "
            "with --port (MLP_PORT, make serve PORT=…)\n"
        )
        return 1
    gc.collect()
    gc.freeze()  # what has been made so far stays, and is not looked through again and again
    gc.enable()
    server.run(sockets=listeners(socket_))
    return 1 if server.died or not server.started else 0


def _server(settings: Settings) -> Server:
    servers: list[Server] = []
    app = create_app(settings, on_death=lambda: servers[0].die(), prepared=True)
    config = uvicorn.Config(
        app.state.components.admission.before(app),
        host=settings.host.strip("[]"),
        port=settings.port,
        http=BufferedProtocol,  # type: ignore[arg-type]  # any protocol that is made as uvicorn's own is
        log_config=None,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
        limit_concurrency=settings.max_connections,
    )
    servers.append(Server(config))
    servers[0].components = app.state.components
    return servers[0]


def _allow_many_files() -> None:
    """Raise the limit of open files: each connection is one, and the default is only 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _lock(directory: Path) -> IO[str]:
    """Keep other servers off the data directory: they would adopt, and stop, our workers.

    The lock ends with this process, however it ends.

    Raises:
        StoreBroken: another server has it, or the directory can't be written.
    """
    make_directory(directory.absolute())
    try:
        lock = (directory / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise StoreBroken(f"another server uses the data directory {directory}") from exc
    except OSError as exc:
        raise StoreBroken(f"the data directory {directory} can't be written: {exc}") from exc
    return lock


def public_bind_problem(settings: Settings) -> str | None:
    """Return why the service must not listen on its address: anyone could use it.

    Raises:
        StoreBroken: the keys can't be read.
    """
    if settings.insecure or _is_loopback(settings.host) or _has_keys(settings):
        return None
    return (
        f"mlp-service: MLP_HOST={settings.host} can be reached by others, and there are no API "
        "keys. Make one with `mlp-service keys create --owner NAME`, or listen on 127.0.0.1, or "
        "allow it with --insecure (MLP_INSECURE=1) if something before the service keeps strangers "
        "out."
    )


def _has_keys(settings: Settings) -> bool:
    url = settings.resolved_database_url()
    if not is_there(url):
        return False
    database = Database(url)
    try:
        return bool(KeyStore(database).all())
    finally:
        database.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
