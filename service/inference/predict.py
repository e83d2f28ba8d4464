"""The one way from images to predictions: normalise them, then run them through a network."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mlp_core import Network, predict_probabilities, scaled
from service.domain.dataset_manifest import InputForm, Manifest
from service.domain.errors import BadImage, NetworkDiverged
from service.inference.digit_batch import digit_batch
from service.inference.explain import Explanation, explain
from service.inference.image_batch import image_batch
from service.inference.input_batch import MAX_PIXELS, Images, Normalize, NormalizedBatch
from service.inference.loaded_model import LoadedModel
from service.inference.vector_batch import vector_batch

BLOCK = 500
"""Images per forward pass; as floats they fit into the processor's cache."""
MAX_BLOCK_NUMBERS = 2_000_000
"""Most numbers of the images of a block, which has fewer images if they are large."""
EXPLAINING = frozenset({"activations", "votes", "contributions"})
"""What `return` may name that needs another pass through the network."""
MAX_EXPLAINED = 64
"""The most images of a request that are explained."""
MAX_EXPLAINING_NUMBERS = 1_000_000
"""The most numbers in their explanations, which take ten times as many bytes as JSON."""


@dataclass(frozen=True)
class Options:
    """The options of a prediction request, and what its reader knows about the images."""

    top_k: int = 3
    normalize: Normalize = "auto"
    return_pixels: bool = False
    return_: Collection[str] = ()
    """What else to return: `pixels`, `probabilities`, and what EXPLAINING has."""
    for_: int | None = None
    """The class to explain, by default the most probable one."""
    against: int | None = None
    """Its rival, by default the most probable other one."""
    abstain_below: float | None = None
    """The probability below which an answer says that the network abstains."""
    calibrated: bool = False
    """Whether probabilities are tempered."""
    ambiguous: Collection[int] = ()
    """The indices of images whose numbers fit the range 0-1 as well as 0-255."""
    places: Sequence[str] = ()
    """Where each image stands in the request, if it can be said."""

    @property
    def explains(self) -> bool:
        """Whether the answer needs an explanation."""
        return not EXPLAINING.isdisjoint(self.return_)

    def place(self, index: int) -> str | None:
        """Return where an image stands in the request."""
        return self.places[index] if index < len(self.places) else None


@dataclass(frozen=True)
class PredictedBatch:
    """The predictions of a network for some images."""

    model: LoadedModel
    images: NormalizedBatch
    probabilities: np.ndarray
    """(n, classes) float32; meaningless for an image that can't be read."""
    explanation: Explanation | None = None
    """The explanation of all images, if the options ask for one."""

    def top(self, k: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return the k most probable labels of each image and their probabilities, both (n, k)."""
        if len(self.probabilities) == 1:  # Python is faster than NumPy with ten numbers
            [row] = self.probabilities.tolist()
            best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:k]
            return [best], [[row[label] for label in best]]
        labels = (-self.probabilities).argsort(axis=1, kind="stable")[:, :k]
        probabilities = self.probabilities[np.arange(len(labels))[:, None], labels]
        return labels.tolist(), probabilities.tolist()


def predict(model: LoadedModel, images: Images, options: Options) -> PredictedBatch:
    """Return the model's predictions for the images.

    Raises:
        BadImage: the only image can't be read, or there are too many, or too many must be redrawn
            or explained.
        NetworkDiverged: the network's outputs are not finite.

    """
    _check_count(len(images), model.manifest.n_in)
    if options.explains:
        _check_explained(len(images), model.network)
    batch = normalized(model.manifest, images, options.normalize)
    probabilities = _probabilities(model, batch.pixels)
    if not np.isfinite(probabilities).all():
        raise NetworkDiverged(model.job)
    explanation = _explanation(model, batch, probabilities, options) if options.explains else None
    return PredictedBatch(model, batch, probabilities, explanation)


def normalized(manifest: Manifest, images: Images, normalize: Normalize) -> NormalizedBatch:
    """Return images as a network sees them that was trained on the set of this manifest.

    Raises:
        BadImage: the only image can't be read, or too many must be redrawn.

    """
    match manifest.input:
        case InputForm.DIGIT:
            return digit_batch(images, normalize)
        case InputForm.IMAGE:
            return image_batch(manifest, images, normalize)
        case InputForm.VECTOR:
            return vector_batch(manifest, images)


def _check_count(count: int, n_in: int) -> None:
    most = MAX_PIXELS // n_in
    if count > most:
        raise BadImage(
            "too_many_images",
            f"A request to this network may hold {most:,} images, and these are {count:,}: send "
            "several requests.",
        )


def _check_explained(count: int, network: Network) -> None:
    numbers = sum(network.sizes) + max(network.sizes[1:])
    most = min(MAX_EXPLAINED, max(1, MAX_EXPLAINING_NUMBERS // numbers))
    if count > most:
        raise BadImage(
            "too_many_images",
            f"Activations, votes and contributions are returned for at most {most} images of "
            f"this network in a request, and these are {count:,}: send several requests.",
        )


def _explanation(
    model: LoadedModel, batch: NormalizedBatch, probabilities: np.ndarray, options: Options
) -> Explanation:
    X = scaled(batch.pixels.reshape(len(batch.pixels), -1))
    with np.errstate(over="ignore", invalid="ignore"):
        found = explain(model.network, X, probabilities, options.for_, options.against)
    if not found.is_finite:
        raise NetworkDiverged(model.job)
    return found


def _probabilities(model: LoadedModel, pixels: np.ndarray) -> np.ndarray:
    rows = pixels.reshape(len(pixels), -1)
    block = max(1, min(BLOCK, MAX_BLOCK_NUMBERS // rows.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):  # `predict` looks for what is not finite
        parts = [
            predict_probabilities(model.network, scaled(rows[at : at + block]))
            for at in range(0, len(rows), block)
        ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
