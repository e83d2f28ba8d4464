"""Answers that a client may already have: ETags, 304 and lists."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from anyio import CapacityLimiter
from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

import service
from mlp_client.records import Epoch, Job, Record
from mlp_client.spec import Spec

MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "npz": "application/zip",
    "safetensors": "application/octet-stream",
}
MAX_PIXELS = 16_000_000
T = TypeVar("T")
Pieces = Iterator[bytes | memoryview]


class LimitedPool:
    """A few threads of its own for answers that take much time or memory.

    The others stay free meanwhile; and the C library, which keeps freed memory for each thread by
    itself, keeps it for these few.
    """

    def __init__(self, threads: int) -> None:
        self._places = CapacityLimiter(threads)
        self._threads = ThreadPoolExecutor(threads)

    async def make(self, request: Request, what: Callable[[], T]) -> T:
        """Return what `what` returns, once its turn has come.

        Those who wait hold nothing but their connection, and that is the limit of their number.

        Raises:
            ClientDisconnect: the client has not waited, so nothing was made.
        """
        async with self._places:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await asyncio.get_running_loop().run_in_executor(self._threads, what)


HEAVY_POOL = LimitedPool(2)


def unchanged(request: Request, suffix: str, source: tuple[object, ...]) -> Response | None:
    """Return 304 if the client names the tag that `conditional` would answer with.

    For what comes before a heavy answer: `source` must be known without it.
    """
    headers = _headers(suffix, source)
    return _not_modified(headers) if headers["ETag"] in _held(request) else None


def conditional(
    request: Request, suffix: str, source: tuple[object, ...], make: Callable[[], bytes | Pieces]
) -> Response:
    """Answer with what `make` returns, or 304 if the client has it.

    Args:
        source: all that decides the bytes, so that the ETag needs no bytes.
    """
    headers = _headers(suffix, source)
    if {"*", headers["ETag"]} & _held(request):
        return _not_modified(headers)
    body, media_type = make(), MEDIA_TYPES[suffix]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    return StreamingResponse(_in_turn(body), headers=headers, media_type=media_type)


def _headers(suffix: str, source: tuple[object, ...]) -> dict[str, str]:
    tag = hashlib.sha256(repr((service.__version__, suffix, *source)).encode()).hexdigest()[:32]
    return {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}


def _held(request: Request) -> set[str]:
    """Return the tags of what the client has."""
    held = request.headers.get("if-none-match", "")
    return {part.strip().removeprefix("W/") for part in held.split(",")}


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers=headers)


async def _in_turn(pieces: Pieces) -> AsyncIterator[bytes | memoryview]:
    """Yield pieces that are made without waiting: Starlette would take a thread for each."""
    for piece in pieces:
        yield piece


def check_size(tiles: int, tile: int) -> None:
    """Refuse a picture of so many square tiles that it would take much memory and time."""
    if tiles * tile**2 > MAX_PIXELS:
        raise HTTPException(422, f"{tiles} tiles of {tile}x{tile} are too much for one picture.")


HELD: dict[int | str, dict[str, object]] = {
    304: {"description": "The client has it (If-None-Match)"}
}
"""Describes the answer to a client that has it already for OpenAPI."""


def binary(*suffixes: str) -> dict[int | str, dict[str, object]]:
    """Describe a 200 answer with these media types for OpenAPI."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    content = {MEDIA_TYPES[suffix].split(";")[0]: schema for suffix in suffixes}
    if "json" in suffixes:
        content[MEDIA_TYPES["json"]] = {"schema": {"type": "object"}}
    return {200: {"content": content}, **HELD}


class JobList(Record):
    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool
    first_id: str | None
    last_id: str | None


class EpochList(Record):
    object: Literal["list"] = "list"
    data: list[Epoch]


class Preset(Record):
    name: str
    description: str
    spec: Spec


class PresetList(Record):
    object: Literal["list"] = "list"
    data: list[Preset]
