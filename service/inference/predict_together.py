"""Predictions for small requests that wait at the same time, in a fraction of the usual time."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mlp_core import predict_single_rows
from service.domain.errors import BadImage, NetworkDiverged
from service.inference import image_decoding
from service.inference.digit_batch import SHAPE, decoded
from service.inference.grey_levels import Grey
from service.inference.image_normalization import mnist_box, mnist_boxes
from service.inference.input_batch import Images, NormalizedBatch
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Options, PredictedBatch, predict

FEW = 4
"""Up to so many pictures take less time one by one."""


def predict_together(
    model: LoadedModel, requests: Sequence[tuple[Images, Options]]
) -> list[PredictedBatch | None]:
    """Return for each request what `predict` returns for it alone, with the same bits.

    None stands for a request that would take longer or fail: not all of its pictures have 28x28
    pixels and MNIST's form, it asks for explanations or
    tempered probabilities, or the network's outputs are not finite.
    """
    found: list[PredictedBatch | None] = [None] * len(requests)
    singles: dict[int, Grey] = {}
    for at, (images, options) in enumerate(requests):
        greys = _small(images) if _is_usual(options) else []
        if len(greys) == 1:
            singles[at] = greys[0]
        elif greys:
            found[at] = _several(model, np.array(greys), options)
    if singles:
        batches = _alone(model, np.array(list(singles.values())))
        for at, batch in zip(singles, batches, strict=True):
            found[at] = batch
    return found


def _is_usual(options: Options) -> bool:
    return options.normalize == "auto" and not options.explains and not options.calibrated


def _small(images: Images) -> list[Grey]:
    """Return the pixels of all pictures; nothing if one of them is not 28x28 or can't be read."""
    greys = []
    for image in images:
        if isinstance(image, bytes) and image_decoding.is_small_png(image):
            try:
                image = decoded(image).grey
            except BadImage:
                return []
        if not isinstance(image, np.ndarray) or image.shape != SHAPE:
            return []
        greys.append(image)
    return greys


def _several(model: LoadedModel, pixels: np.ndarray, options: Options) -> PredictedBatch | None:
    """Return the predictions for the pictures (n, 28, 28) of one request."""
    try:
        return predict(model, pixels, options) if mnist_boxes(pixels)[1].all() else None
    except NetworkDiverged:
        return None


def _alone(model: LoadedModel, pixels: np.ndarray) -> Iterator[PredictedBatch | None]:
    """Yield the predictions for pictures (n, 28, 28), each of which is a request of its own."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out
        probabilities = predict_single_rows(model.network, pixels.reshape(len(pixels), -1))
    rows = zip(_boxes(pixels), probabilities.tolist(), strict=True)
    for at, (box, row) in enumerate(rows):
        part = slice(at, at + 1)
        if box is None or not math.isfinite(sum(row)):  # which it is only if all of them are
            yield None
        else:
            images = NormalizedBatch(pixels[part], np.array([box]), {})
            yield PredictedBatch(model, images, probabilities[part])


def _boxes(pixels: np.ndarray) -> Sequence[Sequence[int] | None]:
    """Return the box of the ink in each picture that has MNIST's form, and None for the others."""
    if len(pixels) <= FEW:
        return [mnist_box(picture) for picture in pixels]
    boxes, fits = mnist_boxes(pixels)
    return [box if fit else None for box, fit in zip(boxes.tolist(), fits.tolist(), strict=True)]
