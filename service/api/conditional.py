"""Conditional answers: ETags, and 304 for what the client already has."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

import service
from service.api.content_negotiation import OCTETS, type_for

MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "npy": "application/x-npy",
    "npz": "application/zip",
    "safetensors": OCTETS,
}
Pieces = Iterator[bytes | memoryview]


def unchanged(request: Request, suffix: str, source: tuple[object, ...]) -> Response | None:
    """Return 304 if the client already has the answer that `conditional` would give, else None.

    Call it before preparing a heavy answer; `source` must be known without that work.
    """
    headers = _headers(request, suffix, source)
    return _not_modified(headers) if headers["ETag"] in _held(request) else None


def conditional(
    request: Request, suffix: str, source: tuple[object, ...], make: Callable[[], bytes | Pieces]
) -> Response:
    """Answer with what `make` returns, or with 304 if the client already has it.

    Args:
        request: its `If-None-Match` header names the ETags that the client has.
        suffix: decides the media type.
        source: everything that decides the bytes, so that the ETag can be computed without them.
        make: returns the body.

    """
    headers = _headers(request, suffix, source)
    if {"*", headers["ETag"]} & _held(request):
        return _not_modified(headers)
    body, media_type = make(), _media_type(request, suffix)
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    return StreamingResponse(_async_pieces(body), headers=headers, media_type=media_type)


def streamed(
    request: Request,
    suffix: str,
    source: tuple[object, ...],
    file_name: str,
    make: Callable[[], Iterator[bytes]],
) -> Response:
    """Answer with a file in pieces that take time to make, or with 304.

    Args:
        request: its `If-None-Match` header names the ETags that the client has.
        suffix: decides the media type, and is that of the file's name.
        source: everything that decides the bytes.
        file_name: without the suffix.
        make: yields the body; it is called from threads.

    """
    headers = _headers(request, suffix, source)
    if {"*", headers["ETag"]} & _held(request):
        return _not_modified(headers)
    headers["Content-Disposition"] = f'attachment; filename="{file_name}.{suffix}"'
    return StreamingResponse(make(), headers=headers, media_type=_media_type(request, suffix))


def _headers(request: Request, suffix: str, source: tuple[object, ...]) -> dict[str, str]:
    decides = service.__version__, suffix, _media_type(request, suffix), *source
    tag = hashlib.sha256(repr(decides).encode()).hexdigest()[:32]
    vary = {} if suffix == "json" else {"Vary": "Accept"}
    return {"ETag": f'"{tag}"', "Cache-Control": "no-cache", **vary}


def _media_type(request: Request, suffix: str) -> str:
    own = MEDIA_TYPES[suffix]
    return own if suffix == "json" else type_for(request.headers, own)


def _held(request: Request) -> set[str]:
    """Return the ETags that the client has."""
    held = request.headers.get("if-none-match", "")
    return {part.strip().removeprefix("W/") for part in held.split(",")}


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers=headers)


async def _async_pieces(pieces: Pieces) -> AsyncIterator[bytes | memoryview]:
    """Yield the pieces on the event loop, which they never block; Starlette would use threads."""
    for piece in pieces:
        yield piece
