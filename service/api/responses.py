"""Answers that a client may already have (ETag, 304), and threads for answers that take long."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from anyio import CapacityLimiter
from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
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


# --- Heavy answers --------------------------------------------------------------------------------


class LimitedPool:
    """A few threads of its own, for answers that take much time or memory.

    The framework's threads stay free meanwhile. The C library keeps freed memory for each thread
    separately, so few threads also keep little of it.
    """

    def __init__(self, threads: int) -> None:
        self._places = CapacityLimiter(threads)
        self._threads = ThreadPoolExecutor(threads)

    async def run(self, request: Request, function: Callable[[], T]) -> T:
        """Call `function` in one of the threads as soon as one is free, and return its result.

        Waiting requests hold nothing but their connections, whose number is limited.

        Raises:
            ClientDisconnect: the client has left, so the function was not called.

        """
        async with self._places:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)


HEAVY_POOL = LimitedPool(2)


# --- Conditional answers --------------------------------------------------------------------------


def unchanged(request: Request, suffix: str, source: tuple[object, ...]) -> Response | None:
    """Return 304 if the client already has the answer that `conditional` would give, else None.

    Call it before preparing a heavy answer; `source` must be known without that work.
    """
    headers = _headers(suffix, source)
    return _not_modified(headers) if headers["ETag"] in _held(request) else None


def conditional(
    request: Request, suffix: str, source: tuple[object, ...], make: Callable[[], bytes | Pieces]
) -> Response:
    """Answer with what `make` returns, or with 304 if the client already has it.

    Args:
        request: may name the ETags that the client has.
        suffix: decides the media type.
        source: everything that decides the bytes, so that the ETag can be computed without them.
        make: returns the body.

    """
    headers = _headers(suffix, source)
    if {"*", headers["ETag"]} & _held(request):
        return _not_modified(headers)
    body, media_type = make(), MEDIA_TYPES[suffix]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    return StreamingResponse(_async_pieces(body), headers=headers, media_type=media_type)


def _headers(suffix: str, source: tuple[object, ...]) -> dict[str, str]:
    tag = hashlib.sha256(repr((service.__version__, suffix, *source)).encode()).hexdigest()[:32]
    return {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}


def _held(request: Request) -> set[str]:
    """Return the ETags that the client has."""
    held = request.headers.get("if-none-match", "")
    return {part.strip().removeprefix("W/") for part in held.split(",")}


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers=headers)


async def _async_pieces(pieces: Pieces) -> AsyncIterator[bytes | memoryview]:
    """Yield pieces that are made without waiting; Starlette would use a thread for each."""
    for piece in pieces:
        yield piece


def check_size(tiles: int, tile: int) -> None:
    """Refuse a picture of so many square tiles that it would take much memory and time."""
    if tiles * tile**2 > MAX_PIXELS:
        raise HTTPException(422, f"{tiles} tiles of {tile}x{tile} are too much for one picture.")


# --- Lists ----------------------------------------------------------------------------------------


class JobList(Record):
    """One page of jobs, newest first."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Job] = Field(description="The jobs of this page.")
    has_more: bool = Field(description="Whether there are older jobs behind this page.")
    first_id: str | None = Field(description="Id of the first job; null if the page is empty.")
    last_id: str | None = Field(
        description="Id of the last job, to be sent as `after` for the next page; null if the "
        "page is empty."
    )


class EpochList(Record):
    """The finished epochs of a job, in order."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Epoch] = Field(description="The epochs.")


class Preset(Record):
    """A spec that has a name."""

    name: str = Field(description="What to send as `preset` in a spec.")
    description: str = Field(description="The network, and what it achieves on the test set.")
    spec: Spec = Field(description="The spec with all its fields.")


class PresetList(Record):
    """The presets."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Preset] = Field(description="The presets, the smallest first.")
