"""The server process: what it checks before it starts, how it runs, and how it stops."""

import contextlib
import ctypes
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

import structlog
import uvicorn
from threadpoolctl import threadpool_limits

from service import logs
from service.address_settings import UNLISTED
from service.api.public_path import ROOT_PATH
from service.app import Components, create_app
from service.domain.errors import StoreBroken
from service.domain.request_facts import current_id
from service.preparation import lock_data_dir, prepare
from service.server.listen_socket import listening_sockets, unix_socket
from service.server.stack import connection_protocol
from service.settings import Settings
from service.storage import refuse_unshared
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from service.store.sql.engine import is_there

M_MMAP_THRESHOLD = -3
"""glibc's number for the option of mallopt(3)."""
LARGE_BLOCK_BYTES = 4 * 1024**2
SHUTDOWN_SECONDS = 5
"""How long requests in progress may take after the server has been asked to stop."""
IDLE_MARGIN_SECONDS = 0.5
"""How much longer an idle connection stays open than clients are told: a request that is sent at
the last moment would be lost without a response."""

logger = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with another order of shutdown: workers save while event streams end.

    uvicorn first waits for connections to close, but an event stream never closes by itself.
    """

    def __init__(self, config: uvicorn.Config, components: Components | None = None) -> None:
        super().__init__(config)
        self._components = components
        self.died = False
        """Whether the server has stopped because its dispatcher ended."""

    def die(self) -> None:
        """Stop the server because the dispatcher has stopped: without it nothing is trained."""
        self.died = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._components:
            self._components.begin_to_stop()
        await super().shutdown(sockets)


def serve(settings: Settings, warnings: Sequence[str] = ()) -> int:
    """Serve until a signal arrives; return the exit code.

    The code is 1 if the server can't start or its dispatcher ends, and 2 if the settings would let
    anybody in because there are no API keys. The warnings are logged first.
    """
    log = logs.configure(settings.log_level, settings.log_format, current_id)
    for warning in warnings:
        logger.warning(warning)
    with contextlib.ExitStack() as cleanup:
        try:
            refusal = _prepare_alone(settings, cleanup)
        except StoreBroken as exc:
            sys.stderr.write(f"mlp-service can't start: {exc}\n")
            return 1
        if refusal:
            sys.stderr.write(f"{refusal}\n")
            return 2
        logger.info("data_dir", path=str(settings.data_dir.absolute()))
        return _run(settings, log)


def _prepare_alone(settings: Settings, cleanup: contextlib.ExitStack) -> str | None:
    """Lock and prepare the data directory, or return why the server must not start without keys.

    `cleanup` releases the lock.

    Raises:
        StoreBroken: the data directory can't be used.
    """
    refuse_unshared(settings)
    is_new = not is_there(settings.resolved_database_url())
    # A new directory holds no keys, and is not created if the server is not going to start.
    if is_new and (refusal := keyless_refusal(settings)):
        return refusal
    cleanup.enter_context(lock_data_dir(settings.data_dir))
    prepare(settings)  # after that, the keys can be read, whatever version wrote them
    return keyless_refusal(settings)


def keyless_refusal(settings: Settings) -> str | None:
    """Return why the service must not start as long as there are no API keys, or None if it may.

    Raises:
        StoreBroken: the keys can't be read.
    """
    return public_bind_refusal(settings) or unlisted_origins_refusal(settings)


def unlisted_origins_refusal(settings: Settings) -> str | None:
    """Return why pages of unlisted origins must not be allowed, or None if they may.

    Raises:
        StoreBroken: the keys can't be read.
    """
    unlisted = [entry for entry in settings.allowed_origins if entry in UNLISTED]
    if not unlisted or _has_keys(settings):
        return None
    return (
        f"mlp-service: MLP_ALLOWED_ORIGINS={','.join(unlisted)} would let the pages of any site "
        "use the service, since there are no API keys. Create a key with `mlp-service keys create "
        "--owner NAME`, or list the origins, such as https://app.example."
    )


def public_bind_refusal(settings: Settings) -> str | None:
    """Return why the service must not listen on its address, or None if it may.

    Raises:
        StoreBroken: the keys can't be read.
    """
    local = settings.uds is not None or _is_loopback(settings.host)
    if settings.insecure or local or _has_keys(settings):
        return None
    return (
        f"mlp-service: MLP_HOST={settings.host} is not a loopback address, so others could reach "
        "the service, and there are no API keys. Create a key with `mlp-service keys create "
        "--owner NAME`, listen on 127.0.0.1, or pass --insecure (MLP_INSECURE=1) if a proxy or a "
        "firewall controls access."
    )


def _has_keys(settings: Settings) -> bool:
    url = settings.resolved_database_url()
    if not is_there(url):
        return False
    database = Database(url)
    try:
        return bool(ApiKeyStore(database).all())
    finally:
        database.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _run(settings: Settings, log: logs.LogOutput) -> int:
    server = _server(settings, log)
    _raise_file_limit()
    _return_large_blocks()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its shutdown; by then the work is done.
        signal.signal(number, lambda *_: None)
    threadpool_limits(1, user_api="blas")  # the other cores are for the workers
    ROOT_PATH.set(settings.root_path)  # for refusals of connections, which precede any request
    with _listener(server, settings) as listener:
        if listener is None:
            return 1
        _freeze_objects()
        server.run(sockets=listening_sockets(listener))
    return 1 if server.died or not server.started else 0


@contextlib.contextmanager
def _listener(server: Server, settings: Settings) -> Iterator[socket.socket | None]:
    """Listen as the settings say, or write why that is impossible and yield None."""
    if settings.uds is None:
        yield _tcp_listener(server, settings)
        return
    try:
        listener = unix_socket(settings.uds)
    except OSError as exc:
        reason = exc.strerror or exc
        sys.stderr.write(f"mlp-service can't listen on the UNIX socket {settings.uds}: {reason}\n")
        yield None
        return
    logger.info("listening", uds=str(settings.uds))
    try:
        yield listener
    finally:
        settings.uds.unlink(missing_ok=True)


def _tcp_listener(server: Server, settings: Settings) -> socket.socket | None:
    try:
        return server.config.bind_socket()
    except SystemExit:  # uvicorn has logged the reason
        sys.stderr.write(
            f"mlp-service can't listen on {settings.host} port {settings.port}; choose another "
            "port with --port (MLP_PORT, make serve PORT=…)\n"
        )
        return None


def _server(settings: Settings, log: logs.LogOutput) -> Server:
    on_death: list[Callable[[], None]] = []
    app = create_app(settings, lambda: on_death[0](), log)
    config = uvicorn.Config(
        app,
        host=settings.host.strip("[]"),
        port=settings.port,
        http=connection_protocol,  # type: ignore[arg-type]  # called like a protocol class
        log_config=None,
        access_log=False,  # service/server/access_log.py writes it
        server_header=False,
        timeout_keep_alive=settings.idle_seconds + IDLE_MARGIN_SECONDS,  # type: ignore[arg-type]  # any number
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ws="none",
        proxy_headers=False,  # a layer of the stack reads them
        limit_concurrency=settings.max_connections,
    )
    server = Server(config, app.state.components)
    on_death.append(server.die)
    return server


def _raise_file_limit() -> None:
    """Allow as many open files as possible; each connection is one, and the default is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _return_large_blocks() -> None:
    """Make the C library return large blocks of memory to the system when they are freed.

    Otherwise glibc raises its threshold to the size of the largest block that was freed, up to
    32 MiB, and the bodies of large requests remain in the process.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def _freeze_objects() -> None:
    """Exempt all objects made so far from garbage collection, since they live to the end."""
    gc.collect()
    gc.freeze()
    gc.enable()
