"""The answer of `POST /v1/models/{ref}/predict`: what a network predicts for digit images."""

from html import escape
from typing import Literal

from pydantic import ConfigDict, Field

from mlp_client.records import Problem, Record, SparseRecord


class Candidate(Record):
    """A digit that the image may show."""

    label: int = Field(description="The digit, 0 to 9.")
    probability: float = Field(description="Its probability, from 0 to 1.")


class Input(SparseRecord):
    """How the image was converted to MNIST's form."""

    normalized: bool = Field(
        description="True if the image was converted; false if it had MNIST's form already or "
        "`normalize` was `never`."
    )
    inverted: bool = Field(False, description="True if the image showed dark ink on light ground.")
    box: list[int] = Field(
        description="Where the ink was in the image: left, top, width and height, in pixels."
    )
    pixels: list[list[int]] | None = Field(
        None,
        description="The 28x28 grey values, 0 to 255, that the network was given; absent "
        "unless `return_pixels` was set or `return` named `pixels`.",
    )


class Contributions(Record):
    """What each pixel adds to the difference of the logits of two digits."""

    model_config = ConfigDict(serialize_by_alias=True)

    for_: int = Field(alias="for", description="The digit that is explained.")
    against: int = Field(description="Its rival.")
    pixels: list[float] = Field(
        description="What each pixel of the 28x28 that the network was given adds, row by row: its "
        "ink times the gradient. Positive numbers speak for the digit, negative ones against it."
    )
    bias: float = Field(
        description="What all biases add: each times the gradient of the difference by it."
    )
    difference: float = Field(
        description="The logit of the digit minus the logit of its rival: the logarithm of the "
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
        None, description="The most probable digit; absent if there is a problem."
    )
    probability: float | None = Field(
        None, description="Probability of that digit, from 0 to 1; absent if there is a problem."
    )
    top_k: list[Candidate] = Field(
        [], description="The `top_k` most probable digits, most probable first."
    )
    input: Input | None = Field(
        None, description="What was done to the image; absent if there is a problem."
    )
    warnings: list[str] = Field(
        [],
        description="Reasons to doubt the prediction: `low_contrast`, `thin_strokes`, "
        "`several_shapes`, `touches_border` say what is wrong with the image; `ambiguous_range`, "
        "that its numbers fit 0-1 as well as 0-255; `unsure`, that the probability is below 0.9.",
    )
    probabilities: list[float] | None = Field(
        None,
        description="The probabilities of the digits 0 to 9; absent unless `return` named them.",
    )
    rival: int | None = Field(
        None,
        description="The digit against which votes and contributions speak: `against`, or the most "
        "probable digit that is not explained. Absent unless `return` named one of them.",
    )
    activations: list[list[float]] | None = Field(
        None,
        description="The outputs of the units, a list for each hidden layer; absent unless "
        "`return` named them.",
    )
    votes: list[float] | None = Field(
        None,
        description="What each unit of the last hidden layer adds to the difference of the logits "
        "of the digit and its rival: its output times the difference of its weights to them. "
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
            f"<tr><th>{it.label}</th><td>{it.probability * 100:.1f} %</td></tr>"
            for it in self.top_k
        )
        remarks = [self.problem.detail] if self.problem else self.warnings
        return f"<table>{rows}</table>{escape(', '.join(remarks))}"


class Predictions(Record):
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
