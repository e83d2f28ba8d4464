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
    dataset_sha256: str = Field(description="SHA-256 of its arrays.")
    split: Literal["train", "validation", "test"] = Field(
        description="The training, the validation or the test set."
    )
    normalize: Literal["never", "auto"] = Field(
        "never", description="Whether the images were brought into MNIST's form first."
    )


class Averages(Record):
    """Precision, recall and F1, averaged over the classes that have them."""

    precision: float | None = Field(description="Mean precision; null if no class has one.")
    recall: float | None = Field(description="Mean recall; null if no class has one.")
    f1: float | None = Field(description="Mean F1; null if no class has one.")


class ClassScore(Record):
    """How well one class is read."""

    index: int = Field(description="The class, counted from 0.")
    name: str = Field(description="Its name.")
    support: int = Field(description="Number of its images.")
    predicted: int = Field(description="Number of images that the network reads as this class.")
    precision: float | None = Field(
        description="Share of the images read as this class that are of it; null if there are none."
    )
    recall: float | None = Field(
        description="Share of the images of this class that are read; null if there are none."
    )
    f1: float | None = Field(description="Harmonic mean of precision and recall; null without any.")
    roc_auc: float | None = Field(
        description="How often an image of this class gets a higher probability of it than another "
        "image; null if all or none are of it."
    )


class Confusion(Record):
    """How often each class is read as each other one."""

    rows: Literal["actual"] = Field("actual", description="Rows are what the images show.")
    columns: Literal["predicted"] = Field(
        "predicted", description="Columns are what the network says."
    )
    counts: list[list[int]] = Field(description="Numbers of images, in the order of the classes.")


class CalibrationBin(Record):
    """The images whose probability lies in one interval."""

    start: float = Field(alias="from", description="Lowest probability of the interval.")
    end: float = Field(alias="to", description="Its end, which belongs to the next interval.")
    count: int = Field(description="Number of images.")
    confidence: float | None = Field(description="Mean probability; null without images.")
    accuracy: float | None = Field(description="Share that is read; null without images.")


class Calibration(Record):
    """Whether images that get a probability of 80 % are read in 80 of 100 cases."""

    ece: float = Field(
        description="Expected calibration error: mean distance of probability and accuracy."
    )
    mce: float = Field(description="Maximum calibration error: the largest distance of a bin.")
    bins: list[CalibrationBin] = Field(description="Equal intervals of probability.")


class Tempered(Record):
    """What a temperature does to the probabilities."""

    temperature: float = Field(
        description="The number by which the logits are divided; above 1 if the network was too "
        "sure of itself."
    )
    fitted_on: Literal["validation", "even rows"] = Field(
        description="Where it was fitted: on other images than those that it is measured on."
    )
    fitted_rows: int = Field(description="Number of images that it was fitted on.")
    rows: int = Field(description="Number of images that it is measured on.")
    ece_before: float = Field(description="Their expected calibration error without it.")
    ece_after: float = Field(description="The same with it.")
    loss_before: float = Field(description="Their mean cross-entropy in nats without it.")
    loss_after: float = Field(description="The same with it.")
    doubt: Literal["few rows", "one class", "at its bound"] | None = Field(
        None,
        description="Why the temperature is not kept for predictions: it was fitted on fewer than "
        "20 images or on those of one class, or lies at a bound of what is searched, 0.05 or 20; "
        "null if it can be trusted.",
    )


class ConfusedPair(Record):
    """A class that is read as another one."""

    actual: str = Field(description="Name of the class that the images show.")
    predicted: str = Field(description="Name of the class that the network says.")
    count: int = Field(description="Number of these images.")
    examples: str = Field(description="Address of a picture of them.")


class EvaluationLinks(Record):
    """Addresses of pictures and tables of an evaluation."""

    confusion_png: str = Field(description="The confusion matrix as a picture.")
    confusion_svg: str = Field(description="The same as SVG.")
    confusion_csv: str = Field(description="The same as a table.")
    reliability_png: str = Field(description="The calibration as a picture.")
    reliability_svg: str = Field(description="The same as SVG.")
    misread: str = Field(description="The images that are misread, as JSON.")
    misread_png: str = Field(description="The surest of them as a picture.")
    confusions_png: str = Field(description="The surest misread image of each pair of classes.")
    predictions_csv: str = Field(description="The prediction for each image as a table.")
    predictions_npy: str = Field(description="The probabilities as an array.")


class Evaluation(Network):
    """What a network says about a whole set."""

    object: Literal["evaluation"] = Field("evaluation", description="The type of this record.")
    rows: int = Field(description="Number of images.")
    loss: float = Field(
        description="Mean cross-entropy in nats, as the job records it for its epochs."
    )
    accuracy: float = Field(description="Share of images that are read, from 0 to 1.")
    accuracy_interval: list[float] = Field(
        description="The bounds between which it lies with 95 % confidence (Wilson)."
    )
    majority_accuracy: float = Field(
        description="Accuracy of always giving the most frequent label."
    )
    top_k: dict[str, float] = Field(
        description="Share of images whose class is among the k most probable ones, by k."
    )
    balanced_accuracy: float | None = Field(
        description="Mean recall of the classes that have images."
    )
    kappa: float | None = Field(
        description="Cohen's kappa: accuracy above chance; null if there is one class only."
    )
    mcc: float = Field(description="Matthews' correlation coefficient, from -1 to 1.")
    brier: float = Field(
        description="Mean squared error of the probabilities, summed over the classes: 0 to 2."
    )
    macro: Averages = Field(description="Mean figures, in which each class weighs the same.")
    weighted: Averages = Field(description="Mean figures, in which each image weighs the same.")
    classes: list[ClassScore] = Field(description="The figures of each class.")
    confusion: Confusion = Field(description="The confusion matrix.")
    calibration: Calibration = Field(description="How far the probabilities can be trusted.")
    tempered: Tempered | None = Field(
        None, description="What a temperature changes; null unless `calibrate` asks for it."
    )
    confused: list[ConfusedPair] = Field(
        description="Pairs of classes that are confused, the most frequent first; at most 50."
    )
    misread: int = Field(description="Number of images that are misread.")
    links: EvaluationLinks = Field(description="Addresses of pictures and tables.")


class Reading(Record):
    """What another network says about an image."""

    predicted: str = Field(description="The class that it says.")
    probability: float = Field(description="The probability of that class.")


class MisreadImage(Record):
    """An image that a network misreads."""

    index: int = Field(description="Its row in the split, counted from 0.")
    actual: str = Field(description="Name of the class that it shows.")
    predicted: str = Field(description="Name of the class that the network says.")
    probability: float = Field(description="The probability of that class.")
    second: str = Field(description="The next probable class.")
    sample: str = Field(description="Address of the image.")
    unlike: Reading | None = Field(
        None, description="What the other network says, if `unlike` named one."
    )


class Misread(Network):
    """Images that a network misreads."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[MisreadImage] = Field(description="The images.")
    total: int = Field(description="Number of all such images.")
    unlike: Network | None = Field(
        None, description="The network that reads these images, if `unlike` named one."
    )
    reverse_total: int | None = Field(
        None, description="Number of images that only this network reads; null without `unlike`."
    )
    has_more: bool = Field(description="Whether there are more: send the last index as `after`.")


class McNemar(Record):
    """McNemar's test of whether two networks are equally good."""

    method: Literal["exact", "chi-squared"] = Field(
        description="`exact` if fewer than 25 images tell them apart, else `chi-squared` with the "
        "correction for continuity."
    )
    statistic: float = Field(
        description="The smaller of both numbers of images, or the value of chi-squared."
    )
    p_value: float = Field(
        description="Probability of so large a difference if both were equally good."
    )


class ComparisonLinks(Record):
    """Addresses of the images on which two networks differ."""

    only_this: str = Field(description="The images that only this network reads.")
    only_other: str = Field(description="The images that only the other network reads.")


class Comparison(Network):
    """What two networks say about the same images."""

    object: Literal["comparison"] = Field("comparison", description="The type of this record.")
    unlike: Network = Field(description="The other network.")
    rows: int = Field(description="Number of images.")
    accuracy: float = Field(description="Share of images that this network reads.")
    unlike_accuracy: float = Field(description="Share of images that the other one reads.")
    both: int = Field(description="Number of images that both read.")
    only_this: int = Field(description="Number of images that only this network reads.")
    only_other: int = Field(description="Number of images that only the other one reads.")
    neither: int = Field(description="Number of images that neither reads.")
    mcnemar: McNemar = Field(description="Whether the difference may be chance.")
    links: ComparisonLinks = Field(description="Addresses of the images on which they differ.")
