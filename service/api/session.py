"""Sessions: how a browser shows an API key once, and then uses the page and its pictures."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import ConfigDict, Field

from mlp_client.records import Record
from service.api.dependencies import SessionsDep
from service.api.jobs import json_only
from service.api.json_body import JsonRoute
from service.api.validation import NO_PARAMETERS

router = APIRouter(prefix="/v1", tags=["service"], route_class=JsonRoute)

SESSION_PATH = "/v1/session"
MAX_KEY_LENGTH = 200
EXAMPLES: dict[str, Any] = {"key": {"summary": "A key", "value": {"key": "mlp_…"}}}


class SessionRequest(Record):
    """An API key, which the browser is not going to keep."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(description="An API key, `mlp_…`.", max_length=MAX_KEY_LENGTH)


@router.post(
    "/session",
    status_code=204,
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="begin_session",
    summary="Begin a session",
)
async def begin_session(
    request: Request,
    asked: Annotated[SessionRequest, Body(openapi_examples=EXAMPLES)],
    sessions: SessionsDep,
) -> Response:
    """Give the browser a cookie in exchange for an API key.

    The cookie does not contain the key and works for 12 hours, for the service's own page. It ends
    with its key, and is renewed while it is used. Programs send the key itself instead.
    """
    cookie = await sessions.begin(request.scope, asked.key)
    return Response(status_code=204, headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})


@router.delete(
    "/session",
    status_code=204,
    dependencies=[NO_PARAMETERS],
    name="end_session",
    summary="End the session",
)
async def end_session(request: Request, sessions: SessionsDep) -> Response:
    """Make the browser forget its cookie."""
    cookie = sessions.end(request.scope)
    return Response(status_code=204, headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})
