"""A job's life as server-sent events: `curl -N`, resumable by `Last-Event-ID`."""

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mlp_client.job_state import FINAL, State
from service.api.dependencies import News, PrincipalDep, ServicesDep
from service.api.jobs import JobId
from service.domain.errors import StoreBroken

router = APIRouter(prefix="/v1", tags=["jobs"])


class StreamFinished(Exception):
    """Answered by 204, which tells a browser not to come back."""


async def stream_finished(_: Request, __: Exception) -> Response:
    return Response(status_code=204)


LastEventId = Annotated[
    int, Header(ge=0, le=2**31, description="number of the last event the client has")
]


async def _news(
    services: ServicesDep, job: JobId, last_event_id: LastEventId = 0
) -> AsyncIterator[AsyncIterator[News]]:
    """Read what the client has not seen, while a missing job can still be a 404, and follow on.

    What is followed is let go of here: FastAPI leaves the generator of a listener that left while
    an event was on its way to the garbage collector, which may come much later.
    """
    found, events = await run_in_threadpool(services.jobs.events, job, last_event_id)
    if not events and found.state in FINAL:
        raise StreamFinished
    async with aclosing(services.event_feed.follow(job, (found, events), last_event_id)) as news:
        yield news


@router.get(
    "/jobs/{job}/events",
    response_class=EventSourceResponse,
    responses={204: {"description": "The job is over and the client has all its events"}},
    name="stream_events",
)
async def stream_events(
    principal: PrincipalDep, news: Annotated[AsyncIterator[News], Depends(_news)]
) -> AsyncIterator[ServerSentEvent]:
    """Stream `state`, `epoch` and `warning` events, numbered by `id`, and `progress` without one.

    The stream begins behind `Last-Event-ID` and ends by itself after a final state, or with the
    key.
    """
    with suppress(StoreBroken):  # the client comes back, and is answered 503 until it can be read
        async for now, events in news:
            if not await principal.still_valid():
                return
            for event in events:
                data: dict[str, Any] = {**event.data, "at": event.at}
                yield ServerSentEvent(event=event.type, id=str(event.number), data=data)
            if now.state == State.RUNNING:
                yield ServerSentEvent(event="progress", data=now.progress)
