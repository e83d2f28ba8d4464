"""The records of jobs in lists, with the fields that a list shows."""

from datetime import datetime

from pydantic import Field

from mlp_client.job_state import State
from mlp_client.records import Reason, Record


class SpecSummary(Record):
    """What tells one spec from another, in a list."""

    name: str = Field(description="Name for people.")
    preset: str | None = Field(description="The preset that it was made from, if there was one.")
    tags: list[str] = Field(description="Labels of the client's own.")
    hidden: list[int] = Field(description="Number of units in each hidden layer.")
    activation: str = Field(description="Activation function of the hidden layers.")
    learning_rate: float = Field(description="Learning rate.")


class ProgressSummary(Record):
    """How far the training has come, in a list."""

    epochs_done: int = Field(description="Number of epochs that are finished.")
    epochs: int = Field(description="Number of epochs that the job asks for.")
    fraction: float = Field(description="Finished part of the whole job, from 0 to 1.")
    eta_seconds: float | None = Field(
        description="Estimated seconds until the job is done; null unless it is running."
    )


class EpochSummary(Record):
    """An epoch, in a list."""

    epoch: int = Field(description="Number of the epoch, counted from 1.")
    test_loss: float = Field(
        description="Mean cross-entropy on the test set, in nats, with six significant digits."
    )
    test_accuracy: float = Field(description="Accuracy on the test set, from 0 to 1.")


class MetricsSummary(Record):
    """The job's most telling epochs, in a list."""

    latest: EpochSummary | None = Field(description="The last epoch that was measured.")
    best: EpochSummary | None = Field(description="The epoch with the highest test accuracy.")


class JobSummary(Record):
    """The fields of a `Job` that lists show, each where a `Job` has it."""

    id: str = Field(description="Identifier of the job, beginning with `job_`.")
    state: State = Field(description="Where the job is in its life.")
    owner: str | None = Field(description="Owner of the API key that submitted the job.")
    reason: Reason | None = Field(
        description="Why the job is in its state; null also if all its epochs are simply done."
    )
    spec: SpecSummary = Field(description="What tells its spec from others.")
    progress: ProgressSummary = Field(description="How far the training has come.")
    metrics: MetricsSummary = Field(description="The latest and the best epoch.")
    learned: bool | None = Field(
        description="Whether the network learned something; null until the job has succeeded."
    )
    created_at: datetime = Field(
        description="Time at which the job was submitted, in UTC, to the second."
    )
