"""The records of large evaluations, which wait for a worker."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlp_client.dataset_options import DatasetRef
from mlp_client.evaluations import Network
from mlp_client.records import Reason, Record


class EvaluationState(StrEnum):
    """Where a large evaluation is."""

    QUEUED = "queued"  # it waits for a worker
    RUNNING = "running"  # a worker asks the network about each image
    SUCCEEDED = "succeeded"  # all addresses of the evaluation answer
    FAILED = "failed"  # the reason says why; the same request queues it again


class EvaluationRequest(BaseModel):
    """Which network is to be asked about which images."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: str = Field(
        "latest",
        max_length=64,
        description="The network: the id of a job or `latest`, perhaps with `@` and an epoch.",
    )
    dataset: DatasetRef | None = Field(
        None,
        description="The data set, by its name or as `name@sha256:…`; by default the one on which "
        "the network was trained.",
    )
    split: Literal["train", "validation", "test"] = Field(
        "test", description="The training, the test or, if there is one, the validation set."
    )
    normalize: Literal["never", "auto"] = Field(
        "never",
        description="Whether images are brought into MNIST's form first, as `predict` does it.",
    )


class EvaluationTaskLinks(Record):
    """Paths of what belongs to a large evaluation, relative to the server's address."""

    self: str = Field(description="Its state.")
    evaluation: str = Field(description="The evaluation itself, once it has succeeded.")


class EvaluationTask(Network):
    """An evaluation that is too large for one answer: a worker makes it."""

    object: Literal["evaluation_task"] = Field(
        "evaluation_task", description="The type of this record."
    )
    id: str = Field(description="Identifier, beginning with `ev_`.")
    state: EvaluationState = Field(description="Where it is.")
    reason: Reason | None = Field(
        None, description="Why it is in its state; null if there is nothing to explain."
    )
    owner: str | None = Field(None, description="Owner of the network; null without a key.")
    rows: int = Field(description="Number of images.")
    progress: float | None = Field(
        None, description="Part of them that is read, from 0 to 1; null unless it is running."
    )
    created_at: datetime = Field(description="When it was queued.")
    finished_at: datetime | None = Field(None, description="When it succeeded or failed.")
    links: EvaluationTaskLinks = Field(description="What belongs to it.")

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in (EvaluationState.SUCCEEDED, EvaluationState.FAILED)


class EvaluationTaskList(Record):
    """The newest large evaluations, the newest first."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[EvaluationTask] = Field(description="At most 100.")
