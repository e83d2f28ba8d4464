"""Describes the events of the stream of all jobs in the OpenAPI document.

The endpoint sends texts that are made without these models, and tests compare the two.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, Json, RootModel

from mlp_client.records import Checkpoint, Epoch, Job, Progress, Record
from mlp_client.system_record import System
from service.api.event_schemas import AT, FIRST_EPOCH, Time
from service.api.openapi_schemas import reference

Cursor = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]*)$",
        description="Number of the event among those of all jobs. Send it as `Last-Event-ID` or "
        "`?after=` to continue after this event.",
    ),
]
JobId = Annotated[str, Field(description="Id of the job.")]


class HelloData(Record):
    """Where a stream begins, and the state of the server."""

    instance: str = Field(
        description="Identifier of the server's data directory; with another one than before, "
        "everything that is known about jobs is outdated."
    )
    web: str = Field(description="Digest of the page's files.")
    cursor: int = Field(description="The stream continues after the event with this number.")
    reset: bool = Field(
        description="True if the stream does not continue where the client was, because it sent "
        "no cursor, one that is too old, or one of another data directory. Then read the jobs "
        "again; what happens meanwhile is in the stream."
    )
    system: System = Field(description="The state of the server, as from `/v1/system`.")


class DeletedJob(Record):
    """A job that is deleted."""

    id: str = Field(description="Id of the job that was.")
    deleted: Literal[True] = Field(description="Always true.")


class EpochOfJob(Epoch):
    """A finished epoch of a job."""

    job: JobId
    at: Time


class WarningOfJob(Record):
    """Something to know about a job."""

    job: JobId
    code: str = Field(description="Machine-readable kind of the warning.")
    message: str = Field(description="The warning as sentences for people.")
    at: Time


class CheckpointOfJob(Checkpoint):
    """New weights of a job."""

    job: JobId
    kept: bool = Field(
        description="Whether the network of an epoch was kept since the event before, so that "
        "`/v1/models/{job}/snapshots` has become longer."
    )


class Nothing(Record):
    """No data."""


class HelloEvent(Record):
    """The first event of each stream."""

    event: Literal["hello"] = Field(description="The type of the event.")
    id: Cursor
    data: Json[HelloData] = Field(description="Where the stream begins, as JSON.")


class JobChangedEvent(Record):
    """A job is new, has moved to another state, has another name or is deleted."""

    event: Literal["job"] = Field(description="The type of the event.")
    id: Cursor
    data: Json[Job | DeletedJob] = Field(
        description="The job as it is now, as from `/v1/jobs/{job}`; or that it is deleted."
    )


class EpochOfJobEvent(Record):
    """A job has finished an epoch."""

    event: Literal["epoch"] = Field(description="The type of the event.")
    id: Cursor
    data: Json[EpochOfJob] = Field(description="The finished epoch, as JSON.")


class WarningOfJobEvent(Record):
    """There is something to know about a job."""

    event: Literal["warning"] = Field(description="The type of the event.")
    id: Cursor
    data: Json[WarningOfJob] = Field(description="The warning, as JSON.")


class CheckpointEvent(Record):
    """A job has new weights. It has no id and is not repeated."""

    event: Literal["checkpoint"] = Field(description="The type of the event.")
    data: Json[CheckpointOfJob] = Field(description="The checkpoint, as JSON.")


class AllProgressEvent(Record):
    """How far all jobs are that train, up to four times a second. It has no id."""

    event: Literal["progress"] = Field(description="The type of the event.")
    data: Json[dict[str, Progress]] = Field(description="How far each job is, by its id.")


class SystemEvent(Record):
    """The state of the server has changed. It has no id."""

    event: Literal["system"] = Field(description="The type of the event.")
    data: Json[System] = Field(description="The state of the server, as from `/v1/system`.")


class PingEvent(Record):
    """The stream lives. It comes every ten seconds, with the number of the newest event."""

    event: Literal["ping"] = Field(description="The type of the event.")
    id: Cursor
    data: Json[Nothing] = Field(description="An empty object.")


AnyServiceEvent = Annotated[
    HelloEvent
    | JobChangedEvent
    | EpochOfJobEvent
    | WarningOfJobEvent
    | CheckpointEvent
    | AllProgressEvent
    | SystemEvent
    | PingEvent,
    Field(discriminator="event"),
]


class ServiceEvent(RootModel[AnyServiceEvent]):
    """One event of the stream of all jobs."""


JOB = "job_019ac6a5-73f4-7b21-9c3e-5d0f3a1b2c4d"
EXAMPLES: list[tuple[str, dict[str, Any], int | None]] = [
    ("epoch", {"job": JOB, **FIRST_EPOCH, "at": AT}, 8124),
    ("job", {"id": JOB, "deleted": True}, 8125),
    ("ping", {}, 8125),
]
SERVICE_EVENT_STREAM: dict[str, Any] = {
    # `event_schemas` says why the stream is described in this way.
    "schema": {
        "description": "The text of the stream. A client that reads it as server-sent events gets "
        "a `ServiceEvent` at a time.",
        "anyOf": [{"type": "string"}, reference(ServiceEvent.__name__)],
    },
    "example": "".join(
        f"event: {event}\ndata: {json.dumps(data)}\nid: {id_}\n\n" for event, data, id_ in EXAMPLES
    ),
}
"""The stream in OpenAPI's terms."""
