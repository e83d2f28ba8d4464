"""The records that the service sends as JSON: jobs, epochs, events and problems.

The descriptions of the fields appear in the service's OpenAPI document.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from mlp_client.job_spec import StoredSpec
from mlp_client.job_state import State


class Record(BaseModel):
    """Base of all answers: immutable, and tolerant of fields that a later version adds."""

    # A field with a default is still in every answer; the default is for answers of older services.
    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_serialization_defaults_required=True
    )


def _optional_but_never_null(schema: dict[str, Any], record: type[BaseModel]) -> None:
    """Describe in the JSON schema that fields without a value are absent."""
    for name in (name for name, field in record.model_fields.items() if field.default is None):
        described = schema["properties"][name]
        forms = [form for form in described.pop("anyOf") if form != {"type": "null"}]
        described.update(forms[0] if len(forms) == 1 else {"anyOf": forms})
        if name in schema["required"]:
            schema["required"].remove(name)


class SparseRecord(Record):
    """Base of answers in which a field without a value is absent, where others have null."""

    model_config = ConfigDict(json_schema_extra=_optional_but_never_null)


class Epoch(Record):
    """One pass over the training set, measured on the whole training and test sets."""

    epoch: int = Field(description="Number of the epoch, counted from 1.")
    train_loss: float = Field(description="Mean cross-entropy on the training set, in nats.")
    train_accuracy: float = Field(description="Accuracy on the training set, from 0 to 1.")
    test_loss: float = Field(description="Mean cross-entropy on the test set, in nats.")
    test_accuracy: float = Field(description="Accuracy on the test set, from 0 to 1.")
    seconds: float = Field(
        description="Wall-clock seconds since the previous epoch was recorded, evaluation "
        "included. Time without a worker does not count."
    )


class EpochColumns(Record):
    """The epochs of a job as columns of one length; numbers have six significant digits."""

    epoch: list[int] = Field(description="Numbers of the epochs, in order.")
    train_loss: list[float] = Field(
        description="Mean cross-entropy on the training set, in nats, after each epoch."
    )
    train_accuracy: list[float] = Field(
        description="Accuracy on the training set, from 0 to 1, after each epoch."
    )
    test_loss: list[float] = Field(
        description="Mean cross-entropy on the test set, in nats, after each epoch."
    )
    test_accuracy: list[float] = Field(
        description="Accuracy on the test set, from 0 to 1, after each epoch."
    )
    seconds: list[float] = Field(description="Wall-clock seconds of each epoch.")
    of: int = Field(
        description="Number of epochs that these were chosen from; more than there are in the "
        "columns if only the most telling ones were returned."
    )


class Reason(Record):
    """Why the job is in its current state."""

    code: str = Field(
        description="Machine-readable reason, for example `epochs_done` or `worker_lost`."
    )
    message: str = Field(description="The reason as a sentence for people.")


class Progress(Record):
    """How far the training has come."""

    epochs_done: int = Field(description="Number of epochs that are finished.")
    epochs: int = Field(description="Number of epochs that the job asks for.")
    batches_done: int = Field(description="Number of batches finished in the current epoch.")
    batches_per_epoch: int = Field(description="Number of batches in an epoch.")
    fraction: float = Field(description="Finished part of the whole job, from 0 to 1.")
    eta_seconds: float | None = Field(
        description="Estimated seconds until the job is done; null unless it is running."
    )


class Checkpoint(Record):
    """The newest checkpoint of a job: the weights that predictions and pictures use."""

    epochs_done: int = Field(description="Number of epochs that were finished by then.")
    batches_done: int = Field(description="Number of batches of the next epoch by then.")
    sha256: str = Field(description="SHA-256 of the checkpoint; it changes with the weights.")


class Metrics(Record):
    """The job's most telling epochs."""

    latest: Epoch | None = Field(
        None, description="The last epoch that was measured; null before the first."
    )
    best: Epoch | None = Field(
        None, description="The epoch with the highest test accuracy; of equal ones, the first."
    )
    final: Epoch | None = Field(
        None, description="The last epoch of a job that succeeded; null in all other states."
    )


class Cost(Record):
    """The resources that a spec needs, computed before anything runs."""

    parameters: int = Field(description="Number of weights and biases.")
    bytes: int = Field(
        description="Memory, in bytes, for a worker's arrays: the network's and a batch's."
    )
    flops: float = Field(
        description="Floating-point operations of all epochs, evaluation included."
    )
    seconds: float = Field(description="Estimated run time on one core, in seconds.")


class JobData(Record):
    """What the network of a job expects, whatever has become of its data set since."""

    input: Literal["digit", "image", "vector"] = Field(
        description="What a row is: a `digit` of MNIST's form, any other `image`, or a `vector` of "
        "numbers."
    )
    shape: list[int] = Field(
        description="Height and width, then 3 for images in colour; the length of a vector."
    )
    invert: bool = Field(
        description="Whether images were dark on light, and have been inverted; so are those that "
        "the network is asked about."
    )
    class_count: int = Field(description="Number of classes.")
    classes: list[str] | None = Field(
        description="Names of the classes, in the order of their labels; null in lists and in the "
        "stream of all jobs."
    )
    sha256: str = Field(
        description="Digest of the data set that the job means, to be compared with that of the "
        "set which has this name now."
    )


class Links(Record):
    """Paths of the job and of what belongs to it, relative to the server's address."""

    self: str = Field(description="The job itself.")
    epochs: str = Field(description="Loss and accuracy of each epoch.")
    events: str = Field(description="The event stream.")
    curves: str = Field(description="The learning curves as a PNG.")
    weights: str = Field(description="The weights of the first layer as a PNG.")
    predict: str = Field(description="Predictions by the network that the job trains.")


class Job(Record):
    """An accepted spec, with its id and everything that is known about its training."""

    object: Literal["job"] = Field("job", description="The type of this record.")
    id: str = Field(description="Identifier of the job, beginning with `job_`.")
    state: State = Field(description="Where the job is in its life.")
    owner: str | None = Field(
        None,
        description="Owner of the API key that submitted the job; null if it came without a key.",
    )
    reason: Reason | None = Field(
        description="Why the job is in its state; null if there is nothing to explain."
    )
    attempt: int = Field(description="Number of times that the job was started.")
    lost_workers: int = Field(
        # A retried submission gets the stored first answer, in which the field may be `losses`.
        validation_alias=AliasChoices("lost_workers", "losses"),
        description="Number of workers lost in a row, without progress from one checkpoint to the "
        "next. After five the job fails.",
    )
    spec: StoredSpec = Field(description="The spec with all its fields, as it was accepted.")
    spec_version: int = Field(description="Version of the spec's format.")
    data: JobData | None = Field(
        None,
        description="What the network expects; null only in stored answers of older versions.",
    )
    cost: Cost = Field(description="The resources that the spec needs.")
    progress: Progress = Field(description="How far the training has come.")
    checkpoint: Checkpoint | None = Field(
        None, description="The newest checkpoint; null before the first, when there are no weights."
    )
    queue_position: int | None = Field(
        None,
        description="Position in the queue, where 1 is next; null unless the job is queued, and "
        "always null in lists.",
    )
    metrics: Metrics = Field(description="The latest, the best and the final epoch.")
    weights_sha256: str | None = Field(
        description="SHA-256 of the tensor data in `weights.safetensors`, without its header; "
        "null until the job has succeeded."
    )
    learned: bool | None = Field(
        None,
        description="Whether the network is clearly better on the test set than always giving the "
        "same answer; null until the job has succeeded. `latest` is the newest job that learned.",
    )
    bit_exact: bool = Field(
        description="False if the job was resumed on another build or kind of CPU than the one "
        "that it started on, so that its numbers may differ from an undisturbed run's."
    )
    created_at: datetime = Field(description="Time at which the job was submitted, in UTC.")
    started_at: datetime | None = Field(
        description="Time at which the job was first started, in UTC; null before that."
    )
    finished_at: datetime | None = Field(
        description="Time at which the job reached its final state, in UTC; null before that."
    )
    links: Links = Field(description="Paths of what belongs to the job.")


class Snapshot(Record):
    """The network after one epoch, which a job keeps."""

    epoch: int = Field(description="Number of epochs done; 0 is the network before training.")
    sha256: str | None = Field(
        description="SHA-256 of the file, as in the header `Checkpoint-SHA256`; null for epoch 0, "
        "which needs no file."
    )
    bytes: int = Field(description="Size of the file.")
    test_accuracy: float | None = Field(
        description="Accuracy on the test set, from 0 to 1; null if it has not been measured."
    )
    best: bool = Field(description="Whether no other epoch of the job is more accurate so far.")


class Snapshots(Record):
    """The networks that a job keeps, by epoch."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    model: str = Field(description="The id of the job.")
    data: list[Snapshot] = Field(description="One entry for each epoch that can be named.")


class Event(Record):
    """Something that happened to a job: a change of state, a finished epoch or a warning."""

    number: int = Field(
        description="Number of the event within its job, counted from 1; the id of the "
        "server-sent event."
    )
    type: Literal["state", "epoch", "warning"] = Field(description="What happened.")
    at: datetime = Field(description="Time of the event, in UTC.")
    data: dict[str, Any] = Field(description="Details; their fields depend on the type.")


def _is_none(value: object) -> bool:
    return value is None


class ProblemItem(SparseRecord):
    """One value of a request that needs a change."""

    pointer: str = Field(
        description="JSON Pointer to the value in the body, such as `#/hidden/0`, or the name of a "
        "query parameter or a form's field, such as `?limit`."
    )
    detail: str = Field(description="What is wrong with the value.")
    # A preview has these items in a record whose fields may well be null.
    hint: str | None = Field(
        None, exclude_if=_is_none, description="How to fix it, if the service knows."
    )
    suggestion: int | float | str | None = Field(
        None,
        exclude_if=_is_none,
        description="A value that would be accepted in this place, if there is an obvious one.",
    )


class Problem(SparseRecord):
    """An error response (RFC 9457)."""

    type: str = Field(
        description="Path of a page that explains the problem, `/problems/` and its code."
    )
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="What happened, and how to fix it.")
    code: str = Field(description="Machine-readable code, for example `job-not-found`.")
    reason: str | None = Field(
        None,
        exclude_if=_is_none,
        description="Why an image can't be read, if `code` is `bad-image`: `blank_image`, "
        "`undecodable_image`, `unsupported_format`, `animated_image`, `too_many_pixels`, "
        "`too_many_bytes`, `too_many_images`, `invalid_base64`, `unusable_array` or "
        "`unknown_sample`.",
    )
    errors: list[ProblemItem] | None = Field(
        None,
        exclude_if=_is_none,
        description="The values that need a change, if the request had any.",
    )
    request_id: str | None = Field(
        None,
        exclude_if=_is_none,
        description="Id of the request, as in the header `Request-Id` and in the service's log.",
    )


class JobActionResult(Record):
    """What became of one of many jobs: its new state, its deletion or a problem."""

    id: str = Field(description="Id of the job.")
    state: State | None = Field(None, description="The state that the job is in now.")
    deleted: bool = Field(False, description="Whether the job is deleted.")
    problem: Problem | None = Field(
        None, description="Why nothing has changed; null if the action is done."
    )


class JobPreview(Record):
    """What would come of a spec if it were submitted now."""

    object: Literal["job_preview"] = Field("job_preview", description="The type of this record.")
    ok: bool = Field(description="Whether the spec would be accepted.")
    spec: StoredSpec | None = Field(
        None, description="The spec with all its fields; null if one of them is invalid."
    )
    network: str | None = Field(
        None, description="The sizes of the network's layers, as in `784-128-10`; null like `spec`."
    )
    cost: Cost | None = Field(None, description="The resources that it needs; null like `spec`.")
    queue_position: int | None = Field(
        None, description="Position that the job would have in the queue; null if it is not `ok`."
    )
    errors: list[ProblemItem] = Field(
        [],
        description="The values that need a change, as in the problem that `create_job` answers.",
    )
