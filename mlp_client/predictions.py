"""The answer of `POST /v1/models/{ref}/predict`: what a network predicts for each image."""

from html import escape
from typing import Literal

from pydantic import ConfigDict, Field

from mlp_client.records import Problem, Record, SparseRecord


class Candidate(Record):
    """A class that the image may belong to."""

    label: int = Field(description="The class, counted from 0; of MNIST, the digit.")
    name: str | None = Field(None, description="The name of the class.")
    probability: float = Field(description="Its probability, from 0 to 1.")

    @property
    def shown(self) -> str:
        """The name of the class; of an older server, which sends none, its label."""
        return str(self.label) if self.name is None else self.name


class Input(SparseRecord):
    """How the image was converted to the form of the network's data set."""

    normalized: bool = Field(
        description="True if the image was converted; false if it had the form already or "
        "`normalize` was `never`."
    )
    inverted: bool = Field(
        False,
        description="True if the image was inverted: a digit that showed dark ink on light ground, "
        "or any image for a set whose images were inverted.",
    )
    box: list[int] = Field(
        description="Where the ink of a digit was in the image: left, top, width and height, in "
        "pixels. Of other images, the whole image."
    )
    pixels: list[list[int]] | None = Field(
        None,
        description="Rows of the grey values, 0 to 255, that the network was given, 28x28 for "
        "digits; in colour, each row has red, green and blue of one pixel after the other. Absent "
        "unless `return_pixels` was set or `return` named `pixels`.",
    )


class Contributions(Record):
    """What each pixel adds to the difference of the logits of two classes."""

    model_config = ConfigDict(serialize_by_alias=True)

    for_: int = Field(alias="for", description="The class that is explained.")
    against: int = Field(description="Its rival.")
    pixels: list[float] = Field(
        description="What each pixel that the network was given adds, row by row, or each number "
        "of a row of a table: its ink times the gradient. Positive numbers speak for the class, "
        "negative ones against it."
    )
    bias: float = Field(
        description="What all biases add: each times the gradient of the difference by it."
    )
    difference: float = Field(
        description="The logit of the class minus the logit of its rival: the logarithm of the "
        "ratio of their probabilities."
    )
    exact: bool = Field(
        description="Whether pixels and bias add up to the difference: true for networks without "
        "hidden layers and with relu. With other activations, they say only what a little more "
        "ink would change."
    )


class Prediction(SparseRecord):
    """The prediction for one image: a label with its probability, or a problem."""

    label: int | None = Field(
        None,
        description="The most probable class, counted from 0; of MNIST, the digit. Absent if there "
        "is a problem.",
    )
    name: str | None = Field(
        None, description="The name of that class; absent if there is a problem."
    )
    probability: float | None = Field(
        None, description="Probability of that class, from 0 to 1; absent if there is a problem."
    )
    top_k: list[Candidate] = Field(
        [], description="The `top_k` most probable classes, most probable first."
    )
    input: Input | None = Field(
        None,
        description="What was done to the image; absent if there is a problem, and for rows of "
        "numbers.",
    )
    warnings: list[str] = Field(
        [],
        description="Reasons to doubt the prediction: `low_contrast`, `thin_strokes`, "
        "`several_shapes`, `touches_border` say what is wrong with the image; `ambiguous_range`, "
        "that its numbers fit 0-1 as well as 0-255; `clipped`, that numbers of a row lie outside "
        "the range of the training set; `unsure`, that the probability is below 0.9.",
    )
    abstained: bool | None = Field(
        None,
        description="Whether the network abstains, because the probability is below "
        "`abstain_below`; absent without that option.",
    )
    clipped: list[str] | None = Field(
        None,
        description="The columns of a table whose numbers lay outside the range of the training "
        "set, and were taken as the nearest one in it; absent if there are none.",
    )
    probabilities: list[float] | None = Field(
        None,
        description="The probabilities of all classes, in their order; absent unless `return` "
        "named them.",
    )
    rival: int | None = Field(
        None,
        description="The class against which votes and contributions speak: `against`, or the most "
        "probable class that is not explained. Absent unless `return` named one of them.",
    )
    activations: list[list[float]] | None = Field(
        None,
        description="The outputs of the units, a list for each hidden layer; absent unless "
        "`return` named them.",
    )
    votes: list[float] | None = Field(
        None,
        description="What each unit of the last hidden layer adds to the difference of the logits "
        "of the class and its rival: its output times the difference of its weights to them. "
        "Empty without hidden layers; absent unless `return` named them.",
    )
    contributions: Contributions | None = Field(
        None, description="What each pixel adds to it; absent unless `return` named them."
    )
    problem: Problem | None = Field(
        None, description="Why this image could not be read; absent if it could."
    )

    def _repr_html_(self) -> str:
        """Return a table of the candidates, for notebooks."""
        rows = "".join(
            f"<tr><th>{escape(it.shown)}</th><td>{it.probability * 100:.1f} %</td></tr>"
            for it in self.top_k
        )
        remarks = [self.problem.detail] if self.problem else self.warnings
        return f"<table>{rows}</table>{escape(', '.join(remarks))}"


class PredictionTemperature(Record):
    """The number by which the logits of a network were divided, and where it was fitted."""

    temperature: float = Field(description="Above 1 if the network is too sure of itself.")
    split: Literal["train", "validation", "test"] = Field(
        description="The split of its data set on which it was fitted."
    )
    fitted_on: Literal["validation", "even rows"] = Field(
        description="`even rows` if it was fitted on every second image of the split."
    )
    fitted_rows: int = Field(description="Number of images that it was fitted on.")


class Predictions(SparseRecord):
    """The predictions for all images of a request."""

    object: Literal["predictions"] = Field("predictions", description="The type of this record.")
    model: str = Field(description="Identifier of the job that trained the network.")
    epochs_done: int = Field(
        description="Number of epochs that the network had been trained when it predicted."
    )
    checkpoint_sha256: str = Field(description="SHA-256 of the checkpoint that was used.")
    predictions: list[Prediction] = Field(
        description="One prediction for each image, in the order of the request."
    )
    tempered: PredictionTemperature | None = Field(
        None, description="How probabilities were tempered; absent unless `calibrated` was set."
    )
