"""Streams the events of a job as server-sent events, resumable by `Last-Event-ID`."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from service.api.dependencies import News, PrincipalDep, ServicesDep
from service.api.event_schemas import EVENT_STREAM
from service.api.job_records import progress
from service.api.jobs import JobId
from service.api.validation import QueryParameters
from service.domain.errors import StoreBroken
from service.domain.job_state import FINAL, State

router = APIRouter(prefix="/v1", tags=["jobs"])


class StreamFinished(Exception):
    """The client has all events of a finished job."""


async def stream_finished(_: Request, __: Exception) -> Response:
    """Answer with 204, which makes a browser's EventSource stop reconnecting."""
    return Response(status_code=204)


LastEventId = Annotated[
    int | None, Header(ge=0, le=2**31, description="The id of the last event that the client has.")
]


class StreamQuery(QueryParameters):
    last_event_id: int = Field(
        0,
        alias="lastEventId",
        ge=0,
        le=2**31,
        description="The id of the last event that the client has, from clients that can't set "
        "the header, which takes precedence.",
    )


async def _news(
    services: ServicesDep,
    job: JobId,
    query: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,
) -> AsyncIterator[AsyncIterator[News]]:
    """Yield one stream: the events that the client has not seen, then new ones as they happen.

    The job is read before the answer starts, so that a missing job is still a 404. The feed is
    closed here because FastAPI leaves the generator of a client that disconnects during an event
    to the garbage collector, which may run much later.
    """
    after = query.last_event_id if last_event_id is None else last_event_id
    found, events = await run_in_threadpool(services.jobs.events, job, after)
    if not events and found.state in FINAL:
        raise StreamFinished
    async with aclosing(services.event_feed.follow(job, (found, events), after)) as news:
        yield news


@router.get(
    "/jobs/{job}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": EVENT_STREAM}},
        204: {"description": "The job is finished and the client has all its events."},
    },
    name="stream_events",
    summary="Stream events",
)
async def stream_events(
    principal: PrincipalDep, news: Annotated[AsyncIterator[News], Depends(_news)]
) -> AsyncIterator[ServerSentEvent]:
    """Send the events of a job as server-sent events: `state`, `epoch`, `warning`, `progress`.

    `progress` events have no `id`. All others are numbered, and the stream starts after the number
    in `Last-Event-ID` or `lastEventId`. It ends after a final state, or when the API key is revoked
    or expires.
    """
    with suppress(StoreBroken):  # the client reconnects, and gets 503 until the store works again
        async for now, events in news:
            if not await principal.still_valid():
                return
            for event in events:
                data: dict[str, Any] = {**event.data, "at": event.at}
                yield ServerSentEvent(event=event.type, id=str(event.number), data=data)
            if now.state == State.RUNNING:
                yield ServerSentEvent(event="progress", data=progress(now))
