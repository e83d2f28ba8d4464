"""Describes the events of a data set's stream in the OpenAPI document."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, Json, RootModel

from mlp_client.dataset_records import DatasetRecord
from mlp_client.records import Record
from service.api.openapi_examples import QUEUED_DATASET
from service.api.openapi_schemas import reference


class DeletedDataset(Record):
    """A data set that has been deleted."""

    id: str = Field(description="Id of the data set that was.")
    name: str = Field(description="Its name, which another one may have by now.")


class DatasetChangedEvent(Record):
    """The data set as it is now: the first event, and one after each change."""

    event: Literal["dataset"] = Field(description="The type of the event.")
    id: str | None = Field(
        None,
        description="Id of the data set, in the last event only. To a client that sends it as "
        "`Last-Event-ID` the answer is 204, as long as nothing further happens.",
    )
    data: Json[DatasetRecord] = Field(
        description="The whole record as JSON, as from `/v1/datasets/{name}`."
    )


class DatasetDeletedEvent(Record):
    """The data set has been deleted, and the stream ends."""

    event: Literal["deleted"] = Field(description="The type of the event.")
    data: Json[DeletedDataset] = Field(description="What was deleted, as JSON.")


AnyEvent = Annotated[DatasetChangedEvent | DatasetDeletedEvent, Field(discriminator="event")]


class DatasetEvent(RootModel[AnyEvent]):
    """One event of the stream of a data set."""


EXAMPLES: list[dict[str, Any]] = [
    QUEUED_DATASET,
    {**QUEUED_DATASET, "state": "checking", "progress": 0.5},
]
DATASET_EVENT_STREAM: dict[str, Any] = {
    # `event_schemas` says why the stream is described in this way.
    "schema": {
        "description": "The text of the stream. A client that reads it as server-sent events gets "
        "a `DatasetEvent` at a time.",
        "anyOf": [{"type": "string"}, reference(DatasetEvent.__name__)],
    },
    "example": "".join(f"event: dataset\ndata: {json.dumps(example)}\n\n" for example in EXAMPLES),
}
"""The stream in OpenAPI's terms."""
