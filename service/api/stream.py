"""Streams what happens to all jobs as server-sent events, resumable by a cursor."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from service.api.dependencies import PrincipalDep, Services, ServicesDep
from service.api.stream_schemas import SERVICE_EVENT_STREAM
from service.api.stream_texts import StreamTexts
from service.api.ticks import Listener
from service.api.validation import QueryParameters
from service.domain.errors import StoreBroken
from service.store.event_log import KEPT_EVENTS

router = APIRouter(prefix="/v1", tags=["jobs"])

MAX_CURSOR = 2**53 - 1
"""The largest integer that JavaScript has."""
PAGE_EVENTS = 500
"""Events of the past that are read and sent together."""
NOT_BUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Proxies pass each event on at once; the second header is nginx's."""

LastEventId = Annotated[
    int | None,
    Header(ge=0, le=MAX_CURSOR, description="The id of the last event that the client has."),
]


class StreamQuery(QueryParameters):
    after: int | None = Field(
        None,
        ge=0,
        le=MAX_CURSOR,
        description="The id of the last event that the client has. The header `Last-Event-ID` "
        "takes precedence, because a browser that reconnects repeats the address.",
    )
    last_event_id: int | None = Field(
        None,
        alias="lastEventId",
        ge=0,
        le=MAX_CURSOR,
        description="The same as the header, from clients that can't set it.",
    )


class EventTexts(StreamingResponse):
    """Server-sent events that are texts already; FastAPI's own class would encode each of them."""

    media_type = "text/event-stream"


async def _listener(services: ServicesDep, principal: PrincipalDep) -> AsyncIterator[Listener]:
    """Join before the answer begins, so that a store that can't be read is still a 503."""
    listener = await services.event_tail.join(principal)
    try:
        yield listener
    finally:
        services.event_tail.leave(listener)


@router.get(
    "/events",
    response_class=EventTexts,
    responses={200: {"content": {"text/event-stream": SERVICE_EVENT_STREAM}}},
    name="stream_all_events",
    summary="Stream the events of all jobs",
)
async def stream_all_events(
    services: ServicesDep,
    listener: Annotated[Listener, Depends(_listener)],
    query: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Send what happens to all jobs that the key sees as server-sent events, without an end.

    First comes `hello`, which says where the stream begins. Then come the events after the cursor
    that the client sends, and new ones as they happen: `job` (the whole record), `epoch`,
    `warning`, and without ids `checkpoint`, `progress` and `system`; a `ping` every ten seconds.
    The stream ends when the key is revoked or expires, or the server stops.
    """
    sent = (last_event_id, query.last_event_id, query.after)
    after = next((cursor for cursor in sent if cursor is not None), None)
    texts = StreamTexts(services, listener.principal)
    return EventTexts(_texts(services, listener, texts, after), headers=NOT_BUFFERED)


async def _texts(
    services: Services, listener: Listener, texts: StreamTexts, after: int | None
) -> AsyncIterator[bytes]:
    now = listener.start.cursor
    reset = after is None or not now - KEPT_EVENTS <= after <= now
    begin = now if after is None or reset else after
    yield texts.hello(listener.start, begin, reset=reset)
    with suppress(StoreBroken):  # the client reconnects, and gets 503 until the store works again
        async for text in _history(services, texts, begin, now):
            yield text
        yield texts.now(listener.start)
        while tick := await listener.queue.get():
            if text := texts.news(tick):
                yield text


async def _history(
    services: Services, texts: StreamTexts, after: int, until: int
) -> AsyncIterator[bytes]:
    """Yield the events between two cursors, page by page."""
    while after < until:
        page = await run_in_threadpool(services.event_log.between, after, until, PAGE_EVENTS)
        if not page.events:
            return
        after = page.events[-1].seq
        yield texts.history(page)
