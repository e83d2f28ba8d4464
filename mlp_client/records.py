"""What the service answers: jobs, epochs, events and problems, as pydantic records."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlp_client.job_state import State
from mlp_client.spec import StoredSpec


class Record(BaseModel):
    """Base of the answers: immutable, and open to fields that a later version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Epoch(Record):
    """One finished pass over the training set, measured on both whole sets."""

    epoch: int = Field(description="from 1")
    train_loss: float = Field(description="mean cross-entropy in nats")
    train_accuracy: float = Field(description="in [0, 1]")
    test_loss: float
    test_accuracy: float
    seconds: float = Field(description="wall time since the record of the epoch before")


class Reason(Record):
    """Why the job is in its state."""

    code: str
    message: str


class Progress(Record):
    epochs_done: int
    epochs: int
    batches_done: int = Field(description="of the epoch under way")
    batches_per_epoch: int
    fraction: float = Field(description="of the whole job, in [0, 1]")
    eta_seconds: float | None = Field(description="time left while running, else null")


class Metrics(Record):
    latest: Epoch | None = None
    best: Epoch | None = Field(None, description="highest test accuracy, the first of equals")
    final: Epoch | None = Field(None, description="the last epoch, once the job has succeeded")


class Cost(Record):
    """What a spec asks of the machine, known before anything runs."""

    parameters: int = Field(description="weights and biases")
    bytes: int = Field(description="memory of a worker for arrays of the network and a batch")
    flops: float = Field(description="floating-point operations of all epochs, evaluation included")
    seconds: float = Field(description="estimated run time on one core")


class Links(Record):
    self: str
    epochs: str
    events: str
    curves: str
    weights: str
    predict: str


class Job(Record):
    """An accepted spec with an id and everything known about it."""

    object: Literal["job"] = "job"
    id: str
    state: State
    owner: str | None = Field(None, description="whose API key submitted it; null: nobody's")
    reason: Reason | None
    attempt: int = Field(description="how often the job was started")
    lost_workers: int = Field(description="workers lost since the last checkpoint that moved on")
    spec: StoredSpec
    spec_version: int
    cost: Cost
    progress: Progress
    queue_position: int | None = Field(
        None, description="1 is next; null unless queued, and null in lists"
    )
    metrics: Metrics
    weights_sha256: str | None = Field(
        description="over the tensor data of weights.safetensors, once the job has succeeded"
    )
    bit_exact: bool = Field(
        description="false if it went on under another build or CPU kind than it began with"
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links


class Event(Record):
    """Something that happened to a job: a move, a finished epoch, a warning."""

    number: int = Field(description="counts from 1 within the job; the id of the SSE message")
    type: Literal["state", "epoch", "warning"]
    at: datetime
    data: dict[str, Any]


class ProblemItem(Record):
    """One thing to mend."""

    pointer: str = Field(description="JSON Pointer into the body (`#/hidden/0`) or `?query`")
    detail: str
    hint: str | None = None


class Problem(Record):
    """An error answer (RFC 9457)."""

    type: str = Field(description="`/problems/<code>`, a page of this service")
    title: str
    status: int
    detail: str = Field(description="what happened and how to mend it")
    code: str
    errors: list[ProblemItem] | None = None
