"""Serves the documentation without the internet: API docs and problem types."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import Field

from mlp_client.records import Record
from service.api.problem_types import PROBLEM_TYPES
from service.api.public_path import public_path
from service.api.web_files import VENDOR, WEB

router = APIRouter(tags=["service"])

SWAGGER = next((WEB / VENDOR).glob("swagger-ui-dist@*")).name
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
