"""The records of evaluations: what a network says about a whole set of images."""

from typing import Literal

from pydantic import Field

from mlp_client.records import Record


class Network(Record):
    """The network that was asked, and the images it was asked about."""

    model: str = Field(description="The id of the job.")
    epochs_done: int = Field(description="Number of epochs for which it has been trained.")
    checkpoint_sha256: str = Field(description="SHA-256 of its checkpoint.")
    dataset: str = Field(description="Name of the data set.")
    split: Literal["train", "test"] = Field(description="The training or the test set.")


class ClassScore(Record):
    """How well one class is read."""

    label: int = Field(description="The class, counted from 0.")
    name: str = Field(description="Its name.")
    rows: int = Field(description="Number of its images.")
    predicted: int = Field(description="Number of images that the network reads as this class.")
    precision: float | None = Field(
        description="Share of the images read as this class that are of it; null if there are none."
    )
    recall: float | None = Field(
        description="Share of the images of this class that are read; null if there are none."
    )
    f1: float | None = Field(description="Harmonic mean of precision and recall; null without any.")


class CalibrationBin(Record):
    """The images whose probability lies in one interval."""

    start: float = Field(alias="from", description="Lowest probability of the interval.")
    end: float = Field(alias="to", description="Its end, which belongs to the next interval.")
    rows: int = Field(description="Number of images.")
    confidence: float | None = Field(description="Mean probability; null without images.")
    accuracy: float | None = Field(description="Share that is read; null without images.")


class Calibration(Record):
    """Whether images that get a probability of 80 % are read in 80 of 100 cases."""

    ece: float = Field(
        description="Expected calibration error: mean distance of probability and accuracy."
    )
    bins: list[CalibrationBin] = Field(description="Equal intervals of probability.")


class Evaluation(Network):
    """What a network says about a whole set."""

    object: Literal["evaluation"] = Field("evaluation", description="The type of this record.")
    rows: int = Field(description="Number of images.")
    loss: float = Field(description="Mean cross-entropy in nats.")
    accuracy: float = Field(description="Share of images that are read, from 0 to 1.")
    majority_accuracy: float = Field(
        description="Accuracy of always giving the most frequent label."
    )
    mistakes: int = Field(description="Number of images that are misread.")
    confusion: list[list[int]] = Field(
        description="How many images of each class (rows) are read as each class (columns)."
    )
    classes: list[ClassScore] = Field(description="The figures of each class.")
    calibration: Calibration = Field(description="How far the probabilities can be trusted.")


class Reading(Record):
    """What another network says about an image."""

    predicted: int = Field(description="The label that it gives, which is right.")
    probability: float = Field(description="The probability of that label.")


class Mistake(Record):
    """An image that a network misreads."""

    index: int = Field(description="The image's row in its set, counted from 0.")
    label: int = Field(description="What it shows.")
    predicted: int = Field(description="What the network says.")
    probability: float = Field(description="The probability of that label.")
    second: int = Field(description="The next probable label.")
    unlike: Reading | None = Field(
        None, description="What the other network says, if `unlike` named one."
    )


class Mistakes(Network):
    """Images that a network misreads, the surest mistakes first."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Mistake] = Field(description="The mistakes.")
    total: int = Field(description="Number of all such mistakes.")
    unlike: Network | None = Field(
        None, description="The network that reads these images, if `unlike` named one."
    )
    reverse_total: int | None = Field(
        None, description="Number of images that only this network reads; null without `unlike`."
    )
    has_more: bool = Field(description="Whether there are more: send the last index as `after`.")
