"""Answers that a client may already have: ETags, 304 and lists."""

import hashlib
from collections.abc import Callable
from typing import Literal

from fastapi import HTTPException, Request, Response

import service
from service.job import Epoch, Job, Record, Spec

MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "npz": "application/zip",
    "safetensors": "application/octet-stream",
}
MAX_PIXELS = 16_000_000


def conditional(
    request: Request, suffix: str, source: tuple[object, ...], make: Callable[[], bytes]
) -> Response:
    """Answer with what `make` returns, or 304 if the client has it.

    Args:
        source: all that decides the bytes, so that the ETag needs no bytes.
    """
    tag = hashlib.sha256(repr((service.__version__, suffix, *source)).encode()).hexdigest()[:32]
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    held = request.headers.get("if-none-match", "")
    if held == "*" or headers["ETag"] in (
        part.strip().removeprefix("W/") for part in held.split(",")
    ):
        return Response(status_code=304, headers=headers)
    return Response(make(), headers=headers, media_type=MEDIA_TYPES[suffix])


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
