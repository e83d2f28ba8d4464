"""The HTTP stack: everything that a request passes on its way to an endpoint, in one list.

Nothing is wrapped anywhere else. Before the list come the two protocols of a connection, which
turn bytes into ASGI requests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp

from service.api.dependencies import Services
from service.server.access_log import AccessLog
from service.server.address_normalization import normalize_addresses
from service.server.admission import Admission
from service.server.auth import Authenticator
from service.server.body_limit import BodyLimitProblems
from service.server.broken_streams import IgnoreBrokenStream
from service.server.buffered_protocol import BufferedProtocol
from service.server.content_encoding import ContentEncoding
from service.server.cors import Cors
from service.server.forwarded import Forwarded
from service.server.head_and_options import HeadAndOptions
from service.server.http_protocol import HttpProtocol
from service.server.key_ring import KeyRing
from service.server.metrics import Metrics
from service.server.observation import Observation
from service.server.quick_predict import QuickPredict
from service.server.request_guard import RequestGuard
from service.server.root_path import RootPath
from service.server.sessions import Sessions

Layer = Callable[[ASGIApp], ASGIApp]


def connection_protocol(**options: Any) -> BufferedProtocol:
    """Return the protocol of a new connection: small reads, then HTTP/1.1 with limits."""
    return BufferedProtocol(HttpProtocol(**options))


@dataclass(frozen=True)
class NetworkSettings:
    """What the operator says about the network between clients and the service."""

    allowed_hosts: Sequence[str]
    allowed_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    root_path: str = ""


def layers(
    *,
    admission: Admission,
    metrics: Metrics,
    access_log: AccessLog | None,
    keys: KeyRing,
    sessions: Sessions,
    services: Services,
    network: NetworkSettings,
) -> list[Layer]:
    """Return the layers around FastAPI, outermost first."""
    return [
        # Proxies tell the client's address, and may publish the service under a prefix.
        partial(Forwarded, proxies=network.trusted_proxies),
        *([partial(RootPath, prefix=network.root_path)] if network.root_path else []),
        # Pages of other origins may read all responses, also the refusals of the next layers.
        partial(Cors, allowed=network.allowed_origins, ring=keys),
        # All layers decide by the same address.
        normalize_addresses,
        # When no slot is free, predictions are refused before they cost anything.
        admission.refuse_when_full,
        # Everything else, also what is refused below, gets an id, and is timed, counted and logged.
        partial(Observation, metrics=metrics, access_log=access_log),
        # Host and Origin, before any body is read.
        partial(RequestGuard, allowed_hosts=network.allowed_hosts),
        # No body is read without a valid key, and no slot is taken without one.
        partial(Authenticator, ring=keys, sessions=sessions),
        # Packed bodies are unpacked, so that the next layers know how large they are.
        ContentEncoding,
        # Each prediction waits for its turn of the event loop.
        admission.begin,
        # Most single digits are answered here, without FastAPI's routing and parameters.
        partial(QuickPredict, services=services, finds_at_once=services.models.finds_at_once),
        # Each of the others takes a slot.
        admission.limit,
        # FastAPI refuses large bodies in plain text; here that becomes a problem.
        BodyLimitProblems,
        # The routes know neither HEAD nor OPTIONS.
        HeadAndOptions,
    ]


WITHIN_FASTAPI = [
    # FastAPI's own layers come first: a crash becomes a 500, and bodies have a size limit.
    # An event stream that its client has left is not a crash, so this must be inside the first.
    Middleware(IgnoreBrokenStream),
    # Then FastAPI turns exceptions into problems, and routes the request to its endpoint.
]


def build(app: ASGIApp, stack: Sequence[Layer]) -> ASGIApp:
    """Return `app` inside the layers of `stack`, the first of which is the outermost."""
    for layer in reversed(stack):
        app = layer(app)
    return app
