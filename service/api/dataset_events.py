"""Streams a data set as server-sent events: the whole record after each change, until its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from service.api.dataset_answers import dataset_record
from service.api.dataset_event_schemas import DATASET_EVENT_STREAM, DeletedDataset
from service.api.dependencies import PrincipalDep, Services, ServicesDep
from service.api.events import StreamFinished
from service.api.sample_choice import DatasetName
from service.api.validation import QueryParameters
from service.domain.dataset_state import RESTING
from service.domain.errors import DatasetNotFound, StoreBroken
from service.store.stored_dataset import StoredDataset

LOOK_SECONDS = 0.25
"""How often a stream looks for a change; nothing is held between two looks."""
MAX_ID_CHARACTERS = 100

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

LastEventId = Annotated[
    str | None,
    Header(
        max_length=MAX_ID_CHARACTERS,
        description="The id of the last event that the client has. It is not needed, because each "
        "event is a whole record.",
    ),
]


class StreamQuery(QueryParameters):
    last_event_id: str = Field(
        "",
        alias="lastEventId",
        max_length=MAX_ID_CHARACTERS,
        description="The same as the header, from clients that can't set it.",
    )


def _found(
    services: ServicesDep,
    name: DatasetName,
    query: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,
) -> StoredDataset:
    """Read the data set before the answer starts, so that a missing one is still a 404."""
    found = services.datasets.get(name)
    if found.state in RESTING and (last_event_id or query.last_event_id) == found.id:
        raise StreamFinished
    return found


@router.get(
    "/{name}/events",
    response_class=EventSourceResponse,
    responses={
        200: {"content": {"text/event-stream": DATASET_EVENT_STREAM}},
        204: {"description": "The client has the last event of the data set."},
    },
    name="stream_dataset",
    summary="Stream the progress of a check",
)
async def stream_dataset(
    services: ServicesDep,
    principal: PrincipalDep,
    found: Annotated[StoredDataset, Depends(_found)],
) -> AsyncIterator[ServerSentEvent]:
    """Send a data set as server-sent events: `dataset`, now and after each change.

    Each event has the whole record, so a client that reconnects needs no cursor. The stream ends
    after the record of a data set that is `ready`, has `failed` or is `collecting` samples, and
    only that event has an `id`; or after `deleted`; or when the API key is revoked or expires.
    """
    seen: StoredDataset | None = None
    with suppress(StoreBroken):  # the client reconnects, and gets 503 until the store works again
        while await principal.still_valid():
            if found != seen:
                yield await run_in_threadpool(_changed, services, found)
            if found.state in RESTING or services.is_stopping():
                return
            await asyncio.sleep(LOOK_SECONDS)
            seen = found
            try:
                found = await run_in_threadpool(services.datasets.with_id, seen.id)
            except DatasetNotFound:
                gone = DeletedDataset(id=seen.id, name=seen.name)
                yield ServerSentEvent(event="deleted", data=gone.model_dump())
                return


def _changed(services: Services, found: StoredDataset) -> ServerSentEvent:
    report = services.datasets.report_of(found.id) or {}
    record = dataset_record(found, len(report.get("warnings", ())))
    id_ = found.id if found.state in RESTING else None
    return ServerSentEvent(event="dataset", id=id_, data=record.model_dump(mode="json"))
