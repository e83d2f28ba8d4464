"""The one way from images to predictions: normalise them, then run them through a network."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mlp_core import Network, predict_probabilities, scaled
from service.domain.errors import BadImage, NetworkDiverged
from service.inference import image_decoding, small_png
from service.inference.explain import Explanation, explain
from service.inference.grey_levels import Grey
from service.inference.image_decoding import MNIST_SIDE, Decoded
from service.inference.image_normalization import (
    Normalized,
    Report,
    mnist_boxes,
)
from service.inference.image_normalization import normalize as to_mnist_form
from service.inference.loaded_model import LoadedModel

Normalize = Literal["auto", "always", "never"]
Image = bytes | Grey | BadImage
"""An encoded file, grey pixels (h, w), or the error that came up while the request was read."""
Images = Sequence[Image] | np.ndarray
"""Several images, or all of them as one array (n, 28, 28) uint8."""

SHAPE = (MNIST_SIDE, MNIST_SIDE)
BLOCK = 500
"""Images per forward pass; as floats they fit into the processor's cache."""
MAX_PIXELS = 16_000_000
"""Most pixels that are decoded for one request; a small body can hold very large pictures. The last
picture may exceed it."""
REDRAWING_PIXELS = 16_000
"""Redrawing even a small picture takes as long as decoding this many pixels."""
MAX_REDRAWN = MAX_PIXELS // REDRAWING_PIXELS
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
    """The digit to explain, by default the most probable one."""
    against: int | None = None
    """Its rival, by default the most probable other one."""
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
class NormalizedBatch:
    """Images as the network sees them."""

    pixels: np.ndarray
    """(n, 28, 28) uint8; meaningless for an image that can't be read."""
    boxes: np.ndarray
    """(n, 4): the box of the ink, for the images that had MNIST's form."""
    others: dict[int, Normalized | BadImage]
    """For each remaining image, by index: what was done to it, or why it can't be read."""

    @property
    def bad(self) -> list[int]:
        """The indices of the images that can't be read."""
        return [index for index, found in self.others.items() if isinstance(found, BadImage)]


@dataclass(frozen=True)
class PredictedBatch:
    """The predictions of a network for some images."""

    model: LoadedModel
    images: NormalizedBatch
    probabilities: np.ndarray
    """(n, classes) float32; meaningless for an image that can't be read."""
    explanation: Explanation | None = None
    """Of all images, if the options ask for one."""

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
        BadImage: the only image can't be read, or too many must be redrawn or explained.
        NetworkDiverged: the network's outputs are not finite.

    """
    if options.explains:
        _check_explained(len(images), model.network)
    batch = _normalized(images, options.normalize)
    probabilities = _probabilities(model, batch.pixels)
    if not np.isfinite(probabilities).all():
        raise NetworkDiverged(model.job)
    explanation = _explanation(model, batch, probabilities, options) if options.explains else None
    return PredictedBatch(model, batch, probabilities, explanation)


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
    with np.errstate(over="ignore", invalid="ignore"):  # `predict` looks for what is not finite
        parts = [
            predict_probabilities(model.network, scaled(rows[at : at + BLOCK]))
            for at in range(0, len(rows), BLOCK)
        ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _has_shape(image: Image) -> bool:
    return isinstance(image, np.ndarray) and image.shape == SHAPE


# --- Normalising a batch --------------------------------------------------------------------------


def _normalized(images: Images, normalize: Normalize) -> NormalizedBatch:
    """Bring all images into MNIST's form."""
    if len(images) == 1:
        return _normalized_one(images[0], normalize)
    return _normalized_all(images, normalize)


def _normalized_one(image: Image, normalize: Normalize) -> NormalizedBatch:
    """Bring a single image into MNIST's form, or raise the error that concerns it."""
    picture = decoded(image)
    batch = _normalized_all([picture.grey], normalize)
    found = batch.others.get(0)
    if isinstance(found, BadImage):
        raise found
    return replace(batch, others={0: _at_full_size(found, picture)}) if found else batch


def _normalized_all(images: Images, normalize: Normalize) -> NormalizedBatch:
    pixels, boxes, fits = _examined(images)
    rest = np.flatnonzero(~fits if normalize == "auto" else np.ones_like(fits)).tolist()
    if normalize != "never":
        _check_redrawn(len(rest))
    budget = _Budget(MAX_PIXELS - MNIST_SIDE**2 * (len(images) - len(rest)))
    others = {index: _normalized_or_bad(images[index], normalize, budget) for index in rest}
    return NormalizedBatch(_replaced(pixels, others), boxes, others)


def _check_redrawn(count: int) -> None:
    if count > MAX_REDRAWN:
        raise BadImage(
            "too_many_images",
            f"{count:,} of these pictures must be brought into MNIST's form, and one request "
            f"may have at most {MAX_REDRAWN:,} of them: send several requests, or use "
            "normalize=never.",
        )


def _replaced(pixels: np.ndarray, others: dict[int, Normalized | BadImage]) -> np.ndarray:
    """Return pixels (n, 28, 28) with the pictures that were normalised in their places."""
    pixels = pixels.copy() if others else pixels
    for index, found in others.items():
        if isinstance(found, Normalized):
            pixels[index] = found.pixels
    return pixels


def _examined(images: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (n, 28, 28), the boxes of their ink (n, 4), and which have MNIST's form.

    Files and pictures of other sizes are not looked at; their pixels are 0.
    """
    if isinstance(images, np.ndarray) or all(map(_has_shape, images)):
        pixels = np.asarray(images)
        return pixels, *mnist_boxes(pixels)
    n = len(images)
    return np.zeros((n, *SHAPE), np.uint8), np.zeros((n, 4), int), np.zeros(n, bool)


@dataclass
class _Budget:
    """The number of pixels that may still be decoded for a request."""

    left: int

    def check(self) -> None:
        if self.left <= 0:
            raise BadImage(
                "too_many_pixels",
                "The pictures of this request are too large together; send fewer, or smaller ones.",
            )

    def spend(self, pixels: int) -> None:
        self.left -= pixels


def _normalized_or_bad(
    image: Image, normalize: Normalize, budget: _Budget
) -> Normalized | BadImage:
    """Bring an image into MNIST's form, or return the error that says why it can't be."""
    if isinstance(image, BadImage):
        return image
    try:
        budget.check()
        picture = decoded(image, budget.spend)
        grey = picture.grey
        if normalize == "never":
            return _not_normalized(grey)
        found = to_mnist_form(grey, always=normalize == "always")
        if not found.report.unchanged:
            budget.spend(max(0, REDRAWING_PIXELS - grey.size))
    except BadImage as exc:
        return exc
    return _at_full_size(found, picture)


def decoded(image: Image, spend: Callable[[int], None] = lambda pixels: None) -> Decoded:
    """Return the grey pixels of an image; `spend` is called with their number before it is decoded.

    Raises:
        BadImage: it can't be read.

    """
    if isinstance(image, BadImage):
        raise image
    if isinstance(image, bytes):
        small = small_png.decoded(image)
        if small is None:
            return image_decoding.decode_sized(image, spend)
        image = small
    spend(image.size)
    height, width = image.shape
    return Decoded(image, (width, height))


def _at_full_size(found: Normalized, picture: Decoded) -> Normalized:
    """Return what was done, with the box in the pixels of the picture before it was reduced."""
    height, width = picture.grey.shape
    if picture.size == (width, height):
        return found
    across, down = picture.size[0] / width, picture.size[1] / height
    left, top, wide, high = found.report.box
    box = (round(left * across), round(top * down), round(wide * across), round(high * down))
    return replace(found, report=replace(found.report, box=box))


def _not_normalized(grey: Grey) -> Normalized:
    if grey.shape != SHAPE:
        height, width = grey.shape
        raise BadImage(
            "undecodable_image",
            f"Without normalising, a picture must be 28x28, not {width}x{height}.",
        )
    return Normalized(grey, Report(True, False, (0, 0, *SHAPE), 1.0, (0.0, 0.0), 255.0))
