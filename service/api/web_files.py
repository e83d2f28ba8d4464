"""The files of the page and of other projects, in memory and ready to be sent."""

import gzip
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fastapi import HTTPException, Request, Response
from starlette.types import Receive, Scope, Send

from service.api.content_negotiation import accepts_gzip
from service.api.public_path import public_path

WEB = pathlib.Path(__file__).parent.parent / "web"
VENDOR = "vendor"
INDEX = "index.html"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
TEXT = "text/plain; charset=utf-8"
PIECE_BYTES = 16 * 1024
"""Most bytes of a file that the service buffers for a client that does not read."""
IMMUTABLE = "max-age=31536000, immutable"
DIGEST_LETTERS = 16


@dataclass(frozen=True)
class WebFile:
    """A file, packed when a client first accepts that."""

    content: bytes
    media_type: str

    @cached_property
    def packed(self) -> bytes:
        """The content in gzip's form; the same content gives the same bytes."""
        return gzip.compress(self.content, mtime=0)

    def answer(self, headers: Mapping[str, str]) -> Response:
        """Return the file as the client with these request headers can read it."""
        sent = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
        if not accepts_gzip(headers):
            return InPieces(self.content, headers=sent, media_type=self.media_type)
        sent["Content-Encoding"] = "gzip"
        return InPieces(self.packed, headers=sent, media_type=self.media_type)


class WebFiles:
    """All files under one folder: those of the page itself, and those of other projects.

    The digest of the page's own files is part of their address. So browsers keep them for ever,
    and a changed file has another address.
    """

    def __init__(self, folder: pathlib.Path = WEB) -> None:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.index = files.pop(INDEX).decode()
        own = {name: content for name, content in files.items() if not _is_vendored(name)}
        self.digest = _digest({INDEX: self.index.encode(), **own})
        self._files = {
            name if _is_vendored(name) else f"web/{self.digest}/{name}": WebFile(
                content, MEDIA_TYPES.get(pathlib.PurePath(name).suffix, TEXT)
            )
            for name, content in files.items()
        }

    def file(self, path: str) -> WebFile:
        """Return the file at a path of the service, without the leading slash.

        Raises:
            HTTPException: 404, there is no such file.
        """
        if found := self._files.get(path):
            return found
        digest = path.split("/")[1] if path.startswith("web/") else self.digest
        if digest != self.digest:
            address = public_path("/")
            detail = f"The service has another version of its page now: load {address} again."
            raise HTTPException(404, detail)
        raise HTTPException(404, "There is no such file.")


class InPieces(Response):
    """Sends its body in small pieces, as fast as the client reads them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        body = memoryview(self.body)
        size = len(body)
        for at in range(0, size, PIECE_BYTES):
            piece = body[at : at + PIECE_BYTES]
            more = at + PIECE_BYTES < size
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        if not size:
            await send({"type": "http.response.body", "body": b""})


def _is_vendored(name: str) -> bool:
    return name.startswith(f"{VENDOR}/")


def _digest(files: Mapping[str, bytes]) -> str:
    """Return a digest of names and contents, for an address."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:DIGEST_LETTERS]


def web_files(request: Request) -> WebFiles:
    """Return the files that the application serves: read at its start, or just now."""
    current: Callable[[], WebFiles] = request.app.state.web
    return current()
