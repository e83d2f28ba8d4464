"""Bodies in general: whether a request has one, and those that no route would read."""

import asyncio
import re
from contextlib import suppress

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers

MAX_EMPTY_BYTES = 1024
MAX_WAIT_SECONDS = 3
"""How long an empty body may take to arrive."""
EMPTY = re.compile(rb"(\xef\xbb\xbf)?\s*(\{\s*\}\s*)?")
"""What libraries send where there is nothing to send."""


def has_body(headers: Headers) -> bool:
    """Return whether a request has a body, which may turn out to be empty."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def refuse_unread(request: Request) -> None:
    """Refuse a body that the route does not read, unless it is empty or `{}`.

    Raises:
        RequestValidationError: the body has other content, which would change nothing.

    """
    if not has_body(request.headers) or _reads_body(request.scope.get("route")):
        return
    if not await _is_empty(request):
        reason = f"must be empty or {{}}: {request.method} {request.url.path} takes no body"
        error = {"type": "value_error", "loc": ("body",), "msg": reason, "input": None}
        raise RequestValidationError([error])


def _reads_body(route: object) -> bool:
    """Return whether the OpenAPI document describes a body for this route."""
    described = getattr(route, "openapi_extra", None) or {}
    return getattr(route, "body_field", None) is not None or "requestBody" in described


async def _is_empty(request: Request) -> bool:
    """Return whether the body is empty, as far as can be seen in a short time."""
    body = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_EMPTY_BYTES:
                    return False
            return EMPTY.fullmatch(body) is not None
    return False
