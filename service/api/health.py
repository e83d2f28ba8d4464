"""For machines that look after the service, and the pages that explain it without a network."""

import json
import mimetypes
import pathlib
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import Field
from starlette.types import Receive, Scope, Send

from mlp_client.records import Record
from service.api.dependencies import ServicesDep
from service.api.problem_types import PROBLEM_TYPES

router = APIRouter(tags=["service"])

VENDOR = pathlib.Path(__file__).parent.parent / "web" / "vendor"
SWAGGER = next(VENDOR.glob("swagger-ui-dist@*")).name
VENDORED = {
    str(file.relative_to(VENDOR)): file.read_bytes() for file in VENDOR.rglob("*") if file.is_file()
}
"""Files of others, in memory: read from the disk, each piece of an answer would take a thread."""
PIECE_BYTES = 16 * 1024
"""What the service holds of such an answer for a client that does not read."""
IMMUTABLE = "max-age=31536000, immutable"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


class Alive(Record):
    status: Literal["alive"] = "alive"


class Ready(Record):
    status: Literal["ready", "not ready"]
    checks: dict[str, bool]


class ProblemType(Record):
    type: str
    title: str
    status: int
    advice: str = Field(description="what whoever sent the request can do")


@router.get("/livez", name="livez")
async def livez() -> Alive:
    """Tell that the process answers."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "Not ready"}},
    name="readyz",
)
def readyz(services: ServicesDep) -> Response:
    """Tell whether jobs can be accepted and run."""
    checks = {name: check() for name, check in services.checks.items()}
    good = all(checks.values())
    body = Ready(status="ready" if good else "not ready", checks=checks)
    return Response(body.model_dump_json(), 200 if good else 503, media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    name="metrics",
)
def metrics(services: ServicesDep) -> Response:
    """Read the metrics in Prometheus's text format."""
    body, media_type = services.metrics()
    return Response(body, media_type=media_type)


@router.get("/problems/{code}", name="get_problem")
def get_problem(code: Annotated[str, Path(max_length=64)]) -> ProblemType:
    """Explain a problem type, as error answers name it."""
    if code not in PROBLEM_TYPES:
        raise HTTPException(404, f"There is no problem {code!r}.")
    return ProblemType(type=f"/problems/{code}", **PROBLEM_TYPES[code]._asdict())


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{request.app.title}: API",
        swagger_js_url=f"/vendor/{SWAGGER}/swagger-ui-bundle.js",
        swagger_css_url=f"/vendor/{SWAGGER}/swagger-ui.css",
        swagger_favicon_url=f"/vendor/{SWAGGER}/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = DOCS_POLICY
    return page


async def vendored(request: Request) -> Response:
    """Answer a file of others; its version is part of its address."""
    name = request.path_params["name"]
    data = VENDORED.get(name)
    if data is None:
        raise HTTPException(404, "There is no such file.")
    media_type = mimetypes.guess_type(name)[0] or "text/plain"
    return InPieces(data, headers={"Cache-Control": IMMUTABLE}, media_type=media_type)


class InPieces(Response):
    """Sends its body as fast as the client reads it."""

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
    links |= {"docs": "/docs", "openapi": "/openapi.json", "jobs": "/v1/jobs"}
    return Response(json.dumps(links), media_type="application/json")
