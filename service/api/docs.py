"""Serves the documentation without the internet: API docs, vendored files, problem types."""

import json
import mimetypes
import pathlib
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import Field
from starlette.types import Receive, Scope, Send

from mlp_client.records import Record
from service.api.problem_types import PROBLEM_TYPES
from service.api.public_path import public_path
from service.api.request_bodies import refuse_unread

router = APIRouter(tags=["service"])

VENDOR = pathlib.Path(__file__).parent.parent / "web" / "vendor"
SWAGGER = next(VENDOR.glob("swagger-ui-dist@*")).name
VENDORED = {
    str(file.relative_to(VENDOR)): file.read_bytes() for file in VENDOR.rglob("*") if file.is_file()
}
"""Third-party files, in memory: reading one from the disk would take a thread for each piece."""
PIECE_BYTES = 16 * 1024
"""Most bytes of such a file that the service buffers for a client that does not read."""
IMMUTABLE = "max-age=31536000, immutable"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


class ProblemType(Record):
    """A type of problem that error answers can have."""

    type: str = Field(description="The `type` in error answers: `/problems/<code>`.")
    title: str = Field(description="What happened, in a few words.")
    status: int = Field(description="The HTTP status of the answer.")
    advice: str = Field(description="What the sender of the request can do about it.")


@router.get("/problems/{code}", name="get_problem", summary="Read a problem type")
def get_problem(
    code: Annotated[
        str, Path(max_length=64, description="The `code` of an error answer.", examples=["invalid"])
    ],
) -> ProblemType:
    """Explain a type of problem: its title, its status and what to do about it."""
    if code not in PROBLEM_TYPES:
        raise HTTPException(404, f"There is no problem type {code!r}.")
    return ProblemType(type=public_path(f"/problems/{code}"), **PROBLEM_TYPES[code]._asdict())


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    files = public_path(f"/vendor/{SWAGGER}")
    page = get_swagger_ui_html(
        openapi_url=public_path("/openapi.json"),
        title=f"{request.app.title}: API",
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


async def vendored(request: Request) -> Response:
    """Return a third-party file; its address contains its version, so it never changes."""
    await refuse_unread(request)
    name = request.path_params["name"]
    data = VENDORED.get(name)
    if data is None:
        raise HTTPException(404, "There is no such file.")
    media_type = mimetypes.guess_type(name)[0] or "text/plain"
    return InPieces(data, headers={"Cache-Control": IMMUTABLE}, media_type=media_type)


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


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    links = {"service": request.app.title, "version": request.app.version}
    pages = {"docs": "/docs", "openapi": "/openapi.json", "jobs": "/v1/jobs"}
    links |= {name: public_path(path) for name, path in pages.items()}
    return Response(json.dumps(links), media_type="application/json")
