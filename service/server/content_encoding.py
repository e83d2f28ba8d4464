"""Reads request bodies that are packed: `Content-Encoding: gzip` and `deflate`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problem_responses
from service.api.predict_input import LARGE_BYTES
from service.api.request_bodies import has_body
from service.api.validation import shortened
from service.server.unpacking import NotUnpackable, Unpacker

CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentEncoding:
    """Passes a packed body on unpacked, with headers as if it had been sent that way.

    What fits into a small request is unpacked immediately, so that the next layers know its length.
    A larger body is unpacked piece by piece as it is read, and its length remains unknown; the
    framework limits it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_named(scope):
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        codings = _codings(headers)
        if not has_body(headers) or not codings:
            del headers["content-encoding"]
            await self._app(scope, receive, send)
        elif len(codings) == 1 and codings[0] in CODINGS:
            await self._unpack(scope, receive, send, CODINGS[codings[0]])
        else:
            await _refuse_codings(scope, receive, send, ", ".join(codings))

    async def _unpack(self, scope: Scope, receive: Receive, send: Send, coding: str) -> None:
        async with aclosing(_pieces(receive, coding)) as pieces:
            start, is_whole = bytearray(), False
            try:
                while not is_whole and len(start) <= LARGE_BYTES:
                    piece = await anext(pieces, None)
                    start += piece or b""
                    is_whole = piece is None
            except HTTPException as exc:
                found = problem_responses.problem("bad-request", exc.detail)
                await problem_responses.refuse(scope, receive, send, found)
            except ClientDisconnect:
                pass
            else:
                _describe(MutableHeaders(scope=scope), len(start) if is_whole else None)
                body = _Body(bytes(start), is_whole, pieces, receive)
                await self._app(scope, body.receive, send)


def _is_named(scope: Scope) -> bool:
    return any(name == b"content-encoding" for name, _ in scope["headers"])


def _codings(headers: Headers) -> list[str]:
    """Return the names of the codings that a body was packed with, in lower case."""
    names = ",".join(headers.getlist("content-encoding")).lower().split(",")
    return [name.strip() for name in names if name.strip() not in ("", "identity")]


async def _refuse_codings(scope: Scope, receive: Receive, send: Send, codings: str) -> None:
    detail = (
        f"Content-Encoding {shortened(codings)!r} is not supported: pack the "
        "body once, with gzip or deflate, or send it as it is and without this header."
    )
    found = problem_responses.problem("unsupported-content-encoding", detail)
    await problem_responses.refuse(
        scope, receive, send, found, {"Accept-Encoding": "gzip, deflate"}
    )


def _describe(headers: MutableHeaders, length: int | None) -> None:
    """Make the headers describe the unpacked body, whose length is unknown if it is None."""
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        del headers[name]
    if length is None:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(length)


async def _pieces(receive: Receive, coding: str) -> AsyncGenerator[bytes]:
    """Yield the unpacked body in small pieces, and let other requests run in between.

    Raises:
        HTTPException: the body can't be unpacked.
        ClientDisconnect: the client has left.

    """
    unpacker, more = Unpacker(coding), True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            for piece in unpacker.unpack(message.get("body", b"")):
                yield piece
                await asyncio.sleep(0)
            more = message.get("more_body", False)
        unpacker.check_end()
    except NotUnpackable as exc:
        detail = f"Content-Encoding says {coding}, but the body can't be unpacked: {exc}."
        raise HTTPException(400, detail) from exc


class _Body:
    """An unpacked body as the next layer receives it."""

    def __init__(
        self, start: bytes, is_whole: bool, rest: AsyncGenerator[bytes], receive: Receive
    ) -> None:
        self._messages = [{"type": "http.request", "body": start, "more_body": not is_whole}]
        self._is_whole = is_whole
        self._rest, self._receive = rest, receive

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop()
        if self._is_whole:
            return await self._receive()
        try:
            piece = await anext(self._rest, None)
        except ClientDisconnect:
            return {"type": "http.disconnect"}
        self._is_whole = piece is None
        return {"type": "http.request", "body": piece or b"", "more_body": not self._is_whole}
