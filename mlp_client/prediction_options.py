"""The options of a prediction, as keyword arguments and as the server reads them."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from mlp_client.calls import CallOptions

Normalize = Literal["auto", "always", "never"]
"""Whether images are converted to MNIST's form: if necessary, in any case, or not at all."""
Returned = Literal["pixels", "probabilities", "activations", "votes", "contributions"]
"""What else a prediction can contain."""


class PredictionOptions(CallOptions, total=False):
    """Options of a prediction, and of each of its requests."""

    top_k: int
    """Number of candidates to return for each image; 3 by default."""
    normalize: Normalize
    """Whether to convert the images to the form of the network's data set first."""
    return_pixels: bool
    """Also return the pixels that the network was given."""
    return_: Sequence[Returned]
    """What else to return: `probabilities`, or for at most 64 images in a request `activations`,
    `votes` and `contributions`."""
    for_: int | None
    """The class that votes and contributions explain; by default the most probable one."""
    against: int | None
    """Its rival; by default the most probable other class."""
    abstain_below: float | None
    """The probability below which a prediction is `abstained`."""
    calibrated: bool
    """Whether to temper the probabilities, for which `evaluation` with `calibrate="temperature"`
    must have been asked for once."""


def divided(options: PredictionOptions) -> tuple[dict[str, Any], CallOptions]:
    """Return the options of a prediction as the server reads them, and those of its requests."""
    asked: dict[str, Any] = {**options}
    sending = {name: asked.pop(name) for name in CallOptions.__annotations__ if name in asked}
    return predict_query(**asked), cast(CallOptions, sending)


def predict_query(
    top_k: int = 3,
    normalize: Normalize = "auto",
    return_pixels: bool = False,
    return_: Sequence[Returned] = (),
    for_: int | None = None,
    against: int | None = None,
    abstain_below: float | None = None,
    calibrated: bool = False,
) -> dict[str, Any]:
    """Return the options of a prediction as the server reads them."""
    known_to_all = {"top_k": top_k, "normalize": normalize, "return_pixels": return_pixels}
    # Older servers refuse the others, so these are sent only if they are given.
    explained = {"return": list(return_) or None, "for": for_, "against": against}
    given = {**explained, "abstain_below": abstain_below, "calibrated": calibrated or None}
    return known_to_all | {name: value for name, value in given.items() if value is not None}
