"""The address `/`: the page for browsers, and links as JSON for everybody else."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.api.conditional import conditional
from service.api.content_negotiation import accepts, accepts_gzip
from service.api.public_path import public_path
from service.api.request_bodies import refuse_unread
from service.api.web_files import web_files

router = APIRouter(tags=["service"])

HTML = "text/html"
IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
POLICY = (
    "default-src 'none'; script-src 'self'{import_map}; style-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@dataclass(frozen=True)
class Page:
    """The page as it is sent, and the policy under which browsers run it."""

    html: bytes
    packed: bytes
    policy: str


@lru_cache(8)
def page_of(index: str, root: str, digest: str) -> Page:
    """Fill in `index.html`.

    `{root}` becomes the prefix under which a proxy publishes the service, and `{web}` the address
    of the page's own files. Browsers read import maps from the page alone, and a strict policy
    allows none without its digest.
    """
    html = index.replace("{web}", f"{root}/web/{digest}").replace("{root}", root)
    found = [hashlib.sha256(text.encode()).digest() for text in IMPORT_MAP.findall(html)]
    import_map = "".join(f" 'sha256-{base64.b64encode(sum_).decode()}'" for sum_ in found)
    sent = html.encode()
    return Page(sent, gzip.compress(sent, mtime=0), POLICY.format(import_map=import_map))


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """Return the page if the client names HTML in `Accept`, and else links to the API."""
    return _page(request) if accepts(request.headers, HTML) else _links(request)


def _page(request: Request) -> Response:
    files = web_files(request)
    page = page_of(files.index, public_path(""), files.digest)
    is_packed = accepts_gzip(request.headers)
    body = page.packed if is_packed else page.html
    answer = conditional(request, "html", (body, page.policy), lambda: body)
    # A 304 has them too: a browser replaces the headers that it has kept by those of the answer.
    answer.headers["Content-Security-Policy"] = page.policy
    answer.headers["Vary"] = "Accept, Accept-Encoding"
    if is_packed:
        answer.headers["Content-Encoding"] = "gzip"
    return answer


def _links(request: Request) -> Response:
    links = {"service": request.app.title, "version": request.app.version}
    pages = {"docs": "/docs", "openapi": "/openapi.json", "jobs": "/v1/jobs"}
    links |= {name: public_path(path) for name, path in pages.items()}
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    return Response(json.dumps(links), headers=headers, media_type="application/json")


async def web_file(request: Request) -> Response:
    """Return a file of the page or of another project; its address changes with its content."""
    await refuse_unread(request)
    file = web_files(request).file(request.scope["path"].removeprefix("/"))
    # Packing a large file for its first client takes a tenth of a second, so a thread does it.
    return await run_in_threadpool(file.answer, request.headers)
