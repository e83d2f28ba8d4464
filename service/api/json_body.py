"""Reads JSON out of a body: the same for all routes."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some editors and libraries put in front."""
VALUE_START = re.compile(r"\s*[\[{\"\-0-9tfn]")
GZIP = b"\x1f\x8b"


class NotJson(json.JSONDecodeError):
    """Raised for a body that is not JSON in UTF-8; its text says why.

    FastAPI answers a JSONDecodeError as a body that can't be read.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "", 0)

    def __str__(self) -> str:
        return self.msg


def read_json(body: bytes) -> Any:
    """Return the value in a body. Of several fields with the same name, the last one counts.

    The bytes decide, not the charset in Content-Type, which JSON does not have.

    Raises:
        NotJson: the body is not JSON, or not in UTF-8.

    """
    try:
        return from_json(body.removeprefix(BOM))
    except ValueError as exc:
        raise NotJson(_foreign_encoding(body) or str(exc)) from exc


def _foreign_encoding(body: bytes) -> str | None:
    """Return which encoding it is in and what to do about that, or None if it is in UTF-8."""
    if body.startswith(GZIP):
        return "it is packed by gzip; name that in a header, Content-Encoding: gzip"
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8") and _starts_like_json(body, encoding):
        name = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
        return f"it looks like {name}; send it in UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as exc:
        return (
            f"byte {exc.start} is 0x{body[exc.start]:02X}, which is not UTF-8 but perhaps "
            "ISO-8859-1 (Latin-1); send it in UTF-8"
        )
    return None


def _starts_like_json(body: bytes, encoding: str) -> bool:
    return bool(VALUE_START.match(body[:64].decode(encoding, "ignore")))


class JsonRequest(Request):
    """A request whose JSON is read by `read_json`."""

    async def json(self) -> Any:
        return read_json(await self.body())


class JsonRoute(APIRoute):
    """A route whose JSON body FastAPI reads by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json
