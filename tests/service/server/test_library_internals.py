"""Every undocumented name of a library that service/server uses: an upgrade may rename it.

If a test fails after an upgrade, look into the file that the test names.
"""

import asyncio
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.middleware import body_limit
from starlette.types import Message
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[3]

# --- uvicorn: service/server/uvicorn_internals.py and http_protocol.py ---

OVERRIDDEN = [
    "_start_asgi_task",
    "connection_lost",
    "connection_made",
    "data_received",
    "on_body",
    "on_header",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "on_url",
    "resume_writing",
    "send_400_response",
]
CALLED = ["_unset_keepalive_if_required", "eof_received", "pause_writing", "__init__"]
ATTRIBUTES = [
    "client",
    "connections",
    "cycle",
    "flow",
    "headers",
    "limit_concurrency",
    "logger",
    "loop",
    "parser",
    "pipeline",
    "server_state",
    "timeout_keep_alive",
    "timeout_keep_alive_task",
    "transport",
]
REQUEST_ATTRIBUTES = [
    "body",
    "default_headers",
    "disconnected",
    "flow",
    "keep_alive",
    "message_event",
    "more_body",
    "on_response",
    "response_complete",
    "response_started",
    "scope",
    "transport",
    "waiting_for_100_continue",
]


def installed(name: str) -> tuple[int, int]:
    major, minor, *_ = version(name).split(".")
    return int(major), int(minor)


def test_uvicorn_is_pinned_to_the_minor_version_that_was_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = project["optional-dependencies"]["server"]
    assert "uvicorn>=0.54,<0.55" in dependencies
    assert installed("uvicorn") == (0, 54)


@pytest.mark.parametrize("name", [*OVERRIDDEN, *CALLED])
def test_uvicorns_protocol_has_the_method(name: str) -> None:
    assert inspect.isfunction(getattr(HttpToolsProtocol, name, None))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_uvicorns_protocol_has_the_attribute(name: str) -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    async def make() -> HttpToolsProtocol:
        config = uvicorn.Config(app, log_config=None, ws="none")
        return HttpToolsProtocol(config, ServerState(), {})

    assert name in vars(asyncio.run(make()))


@pytest.mark.parametrize("name", REQUEST_ATTRIBUTES)
def test_uvicorns_request_has_the_attribute(name: str) -> None:
    code = RequestResponseCycle.__init__.__code__
    assert name in code.co_names


@pytest.mark.parametrize("name", ["pause_reading", "resume_reading"])
def test_uvicorns_flow_control_has_the_method(name: str) -> None:
    assert inspect.isfunction(getattr(FlowControl, name, None))


@pytest.mark.parametrize("name", ["read_paused", "write_paused"])
def test_uvicorns_flow_control_says_what_is_paused(name: str) -> None:
    assert name in FlowControl.__init__.__code__.co_names


def test_uvicorn_tells_wrong_headers_by_these_patterns() -> None:
    assert httptools_impl.HEADER_RE.search(b"content-type") is None
    assert httptools_impl.HEADER_RE.search(b"content type")
    assert httptools_impl.HEADER_VALUE_RE.search(b"text/html") is None
    assert httptools_impl.HEADER_VALUE_RE.search(b"a\r\nset-cookie: b")


def test_uvicorns_protocol_keeps_the_address_of_the_request_being_parsed() -> None:
    assert "url" in HttpToolsProtocol.on_message_begin.__code__.co_names


def test_uvicorns_layer_for_proxies_says_whom_it_trusts() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    trusted = ProxyHeadersMiddleware(app, ["10.0.0.0/8", "unix"]).trusted_hosts
    assert ["10.1.2.3" in trusted, "unix" in trusted, "11.0.0.1" in trusted] == [True, True, False]


def test_uvicorn_has_status_lines_and_default_headers() -> None:
    assert httptools_impl.STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert ServerState().default_headers == []


# --- Starlette and FastAPI: service/server/metrics.py, service/api/problem_responses.py ---
# (Where FastAPI puts middleware: test_stack.py.)


def test_starlette_says_in_the_scope_how_large_a_body_may_be() -> None:
    assert isinstance(body_limit.MAX_BODY_SIZE_SCOPE_KEY, str)


def test_fastapis_routes_have_a_template_and_appear_in_the_scope() -> None:
    app, templates = FastAPI(), []

    @app.get("/jobs/{job}")
    async def job(job: str) -> None: ...

    async def call() -> None:
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/jobs/7", "headers": []}
        scope |= {"query_string": b"", "scheme": "http"}

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(_: object) -> None: ...

        await app(scope, receive, send)
        templates.append(scope["route"].path_format)

    asyncio.run(call())
    assert templates == ["/jobs/{job}"]
