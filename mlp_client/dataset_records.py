"""The records of data sets and of the reports about what was found in their files."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from mlp_client.dataset_options import StoredDatasetOptions
from mlp_client.records import Record


class DatasetState(StrEnum):
    """Where a data set is between its first byte and its use."""

    COLLECTING = "collecting"  # labelled samples are added to it, one by one
    RECEIVING = "receiving"  # its files are being sent
    QUEUED = "queued"  # all of it is here, and waits for a checker
    CHECKING = "checking"  # a checker reads it
    READY = "ready"  # jobs can train on it
    FAILED = "failed"  # it can't be used; its report says why


class DatasetReason(Record):
    """Why a data set is in its state."""

    code: str = Field(
        description="Machine-readable reason, for example `upload_interrupted` or the code of the "
        "first error of the report."
    )
    message: str = Field(description="The reason as a sentence for people.")


class DatasetLinks(Record):
    """Paths of what belongs to a data set, relative to the server's address."""

    self: str = Field(description="The data set itself.")
    report: str = Field(description="What was found in its files.")
    samples: str = Field(description="Some of its images as a PNG.")


class DatasetRecord(Record):
    """A data set: labelled images, or rows of numbers, that jobs are trained and tested on."""

    object: Literal["dataset"] = Field("dataset", description="The type of this record.")
    id: str | None = Field(None, description="Identifier, beginning with `ds_`.")
    name: str = Field(description="What to send as `dataset` in a spec.")
    state: DatasetState = Field(
        DatasetState.READY, description="Where it is between its first byte and its use."
    )
    reason: DatasetReason | None = Field(
        None, description="Why it is in its state; null if there is nothing to explain."
    )
    owner: str | None = Field(
        None, description="Owner of the API key that sent it; null without a key."
    )
    progress: float | None = Field(
        None, description="Checked part of it, from 0 to 1; null unless it is being checked."
    )
    description: str = Field("", description="What the images show.")
    input: Literal["digit", "image", "vector"] | None = Field(
        None,
        description="What a row is: a `digit` of MNIST's form, any other `image`, or a `vector` of "
        "numbers; null until it is ready, as are the fields down to `sha256`.",
    )
    shape: list[int] | None = Field(
        None, description="Height and width, then 3 for images in colour; the length of a vector."
    )
    image_shape: list[int] | None = Field(
        None, description="Rows and columns of pixels of each image; null for vectors too."
    )
    classes: list[str] | None = Field(
        None, description="Names of the classes, in the order of their labels."
    )
    train_rows: int | None = Field(None, description="Number of rows of the training set.")
    test_rows: int | None = Field(None, description="Number of rows of the test set.")
    validation_rows: int | None = Field(
        None, description="Number of rows of the validation set; null without one."
    )
    class_counts: dict[str, list[int]] | None = Field(
        None, description="Number of rows of each class, in the order of the labels, by split."
    )
    sha256: str | None = Field(
        None,
        description="Digest of the content: equal images with equal classes have the same, "
        "in whichever format they came.",
    )
    warnings: int = Field(0, description="Number of doubts that the report lists.")
    bytes: int = Field(0, description="Bytes that its arrays take on disk.")
    files: dict[str, str] | None = Field(
        None,
        description="SHA-256 by name of the files of a set that is part of the service, as its "
        "authors publish them; else null.",
    )
    upload_bytes: int = Field(0, description="Bytes of the files that were sent.")
    samples: int | None = Field(
        None, description="Number of samples that were added one by one; null for files."
    )
    options: StoredDatasetOptions | None = Field(
        None, description="The options, with everything that was found in place of null."
    )
    license: str = Field("", description="The licence of the data.")
    attribution: str = Field("", description="The authors of the data, as the licence requires.")
    created_at: datetime | None = Field(
        None,
        description="Time at which its upload began, in UTC; null for a set that is part of "
        "the service.",
    )
    finished_at: datetime | None = Field(
        None, description="Time at which its check ended, in UTC; null before that."
    )
    links: DatasetLinks | None = Field(None, description="Paths of what belongs to it.")


class DatasetList(Record):
    """The data sets that a client can see."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[DatasetRecord] = Field(description="The data sets, by name.")


class ReportClass(Record):
    """A class that was found."""

    index: int = Field(description="The label, counted from 0.")
    name: str = Field(description="Its name.")
    source: str | None = Field(None, description="What stands for it in the files.")
    train: int = Field(0, description="Number of rows to train on.")
    validation: int = Field(0, description="Number of rows to validate on.")
    test: int = Field(0, description="Number of rows to test on.")


class Doubt(Record):
    """Something that a person should know of, and that stops nothing."""

    code: str = Field(description="Machine-readable kind, for example `leak` or `duplicates`.")
    detail: str = Field(description="What it is, as a sentence.")
    count: int = Field(1, description="How often it was found.")
    examples: list[str] = Field([], description="Up to ten places where it was found.")


class DatasetError(Record):
    """Something for which the files can't become a data set."""

    code: str = Field(description="Machine-readable kind, for example `web_page`.")
    detail: str = Field(description="What is wrong.")
    place: str = Field(
        "",
        description="Where it is: the member of an archive, line and column of a table, key and "
        "shape of an array.",
    )
    hint: str = Field("", description="How to correct it.")


class DatasetReport(Record):
    """What was found in the files of a data set, what was left out, and what is doubtful."""

    object: Literal["dataset_report"] = Field(
        "dataset_report", description="The type of this record."
    )
    dataset: str = Field(description="Name of the data set.")
    state: DatasetState = Field(description="Its state.")
    rows: dict[str, int] = Field({}, description="Number of rows of each split.")
    shape: list[int] | None = Field(None, description="Shape of a row, as in the data set.")
    channels: int | None = Field(None, description="1, or 3 for images in colour.")
    classes: list[ReportClass] = Field([], description="The classes, in the order of the labels.")
    input: Literal["digit", "image", "vector"] | None = Field(None, description="What a row is.")
    found: dict[str, Any] = Field(
        {}, description="What was found: format, folders, header, labels, sizes, ignored files."
    )
    warnings: list[Doubt] = Field([], description="What a person should know of.")
    errors: list[DatasetError] = Field(
        [], description="Why the files can't be used; at most 20, and none unless it has failed."
    )
    sha256: str | None = Field(None, description="Digest of the content; null unless it is ready.")
    bytes: int | None = Field(None, description="Bytes of the arrays; null unless it is ready.")
