"""What a network says about a digit image: the answer of `POST /v1/models/{ref}/predict`."""

from typing import Literal

from pydantic import Field

from mlp_client.records import Problem, Record


class Candidate(Record):
    label: int
    probability: float


class Input(Record):
    """What was done to a picture so that it looks as MNIST's do."""

    normalized: bool = Field(description="false if the picture already had MNIST's form")
    inverted: bool = Field(False, description="true if the ink was dark on light")
    box: list[int] | None = Field(
        None, description="the ink in the picture sent: left, top, width, height in pixels"
    )
    pixels: list[list[int]] | None = Field(
        None, description="the 28x28 grey values the network saw, if `return_pixels` was asked for"
    )


class Prediction(Record):
    """One image: either a label with probabilities, or the problem with the image."""

    label: int | None = None
    probability: float | None = None
    top_k: list[Candidate] = Field([])
    input: Input | None = None
    warnings: list[str] = Field([])
    problem: Problem | None = Field(None, description="set if this image could not be read")


class Predictions(Record):
    object: Literal["predictions"] = "predictions"
    model: str = Field(description="id of the job that trained the network")
    epochs_done: int = Field(description="epochs the network had been trained when it answered")
    checkpoint_sha256: str
    predictions: list[Prediction]
