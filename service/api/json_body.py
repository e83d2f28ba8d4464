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
    """Return the value in a body.

    The bytes decide, not the charset in Content-Type, which JSON does not have.

    Raises:
        NotJson: the body is not JSON in UTF-8, or an object in it has a field twice.

    """
    body = body.removeprefix(BOM)
    try:
        value = from_json(body)
        if _may_have_more_names(body, _count_fields(value)):
            json.loads(body, object_pairs_hook=_check_names)
    except ValueError as exc:
        raise NotJson(_foreign_encoding(body) or str(exc)) from exc
    return value


def _count_fields(value: Any) -> int:
    """Return how many fields the objects in a value have, but not those in a list of numbers.

    Looking at every pixel would take longer than reading them. So a list that begins with a number
    or a text counts as one without objects.
    """
    count, found = 0, [value]
    while found:
        each = found.pop()
        if isinstance(each, dict):
            count += len(each)
            found += each.values()
        elif isinstance(each, list) and each and isinstance(each[0], list | dict):
            found += each
    return count


def _may_have_more_names(body: bytes, fields: int) -> bool:
    """Return whether a body names more fields than the value in it has.

    A colon follows each name. Others stand in texts, which are left out if there are more colons.
    """
    at = -1
    for _ in range(fields + 1):
        at = body.find(b":", at + 1)
        if at < 0:
            return False
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(unescaped.split(b'"')[::2]).count(b":") != fields


def _check_names(fields: list[tuple[str, Any]]) -> None:
    """Check that an object has no field twice: parsers silently keep the last one."""
    names: set[str] = set()
    for name, _ in fields:
        if name in names:
            raise NotJson(f"the field {name[:100]!r} is given twice in an object; leave one out")
        names.add(name)


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
