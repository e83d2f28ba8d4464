"""Describes the events of a job's stream in the OpenAPI document: their types, ids and data.

The endpoint sends what the store recorded without these models, and tests compare the two.
"""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, Json, RootModel

from mlp_client.job_state import State
from mlp_client.records import Epoch, Progress, Reason, Record
from service.api.openapi_schemas import reference

Number = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]*$",
        description="Number of the event within its job, counted from 1. Send it as "
        "`Last-Event-ID` to continue after this event.",
    ),
]
Time = Annotated[datetime, Field(description="Time of the event, in UTC.")]


class StateEventData(Record):
    """The state that a job has entered."""

    state: State = Field(description="The new state.")
    attempt: int = Field(description="Number of times that the job was started until then.")
    reason: Reason | None = Field(
        description="Why the job is in this state; null if there is nothing to explain."
    )
    at: Time


class EpochEventData(Epoch):
    """A finished epoch, with loss and accuracy on both sets."""

    at: Time


class WarningEventData(Record):
    """Something to know about a job."""

    code: str = Field(
        description="Machine-readable kind of the warning: `checkpoint_unreadable`, "
        "`begun_again`, `not_bit_exact`, `learned_nothing` or `learned_little`."
    )
    message: str = Field(description="The warning as sentences for people.")
    at: Time


class StateEvent(Record):
    """The job has entered a state."""

    event: Literal["state"] = Field(description="The type of the event.")
    id: Number
    data: Json[StateEventData] = Field(description="The new state, as JSON.")


class EpochEvent(Record):
    """The job has finished an epoch."""

    event: Literal["epoch"] = Field(description="The type of the event.")
    id: Number
    data: Json[EpochEventData] = Field(description="The finished epoch, as JSON.")


class WarningEvent(Record):
    """There is something to know about the job."""

    event: Literal["warning"] = Field(description="The type of the event.")
    id: Number
    data: Json[WarningEventData] = Field(description="The warning, as JSON.")


class ProgressEvent(Record):
    """How far a running job is, a few times a second. It has no id and is not repeated."""

    event: Literal["progress"] = Field(description="The type of the event.")
    data: Json[Progress] = Field(description="How far the job is, as JSON.")


AnyEvent = Annotated[
    StateEvent | EpochEvent | WarningEvent | ProgressEvent, Field(discriminator="event")
]


class JobEvent(RootModel[AnyEvent]):
    """One event of the stream of a job."""


FIRST_EPOCH = {
    "epoch": 1,
    "train_loss": 0.2985,
    "train_accuracy": 0.9157,
    "test_loss": 0.2906,
    "test_accuracy": 0.9182,
    "seconds": 0.13,
}
AT = "2026-01-31T12:00:00.300000+00:00"
EXAMPLE_DATA: dict[str, dict[str, Any]] = {
    "state": {"state": "running", "attempt": 1, "reason": None, "at": AT},
    "epoch": {**FIRST_EPOCH, "at": AT},
}
EVENT_STREAM: dict[str, Any] = {
    # OpenAPI 3.1 does not say whether the schema of a stream is that of its text or of an event.
    # Generated clients return the text, and fuzzers check each event, so both are described.
    "schema": {
        "description": "The text of the stream. A client that reads it as server-sent events gets "
        "a `JobEvent` at a time.",
        "anyOf": [{"type": "string"}, reference(JobEvent.__name__)],
    },
    "example": "".join(
        f"event: {event}\ndata: {json.dumps(data)}\nid: {number}\n\n"
        for number, (event, data) in enumerate(EXAMPLE_DATA.items(), start=2)
    ),
}
"""The stream in OpenAPI's terms."""
