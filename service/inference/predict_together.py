"""Predictions for small requests that wait at the same time, in a fraction of the usual time."""

from collections.abc import Sequence

import numpy as np

from mlp_core import predict_single_rows
from service.domain.errors import BadImage, NetworkDiverged
from service.inference import image_decoding
from service.inference.grey_levels import Grey
from service.inference.image_normalization import mnist_box, mnist_boxes
from service.inference.loaded_model import LoadedModel
from service.inference.predict import (
    SHAPE,
    Image,
    Images,
    NormalizedBatch,
    Options,
    PredictedBatch,
    decoded,
    predict,
)

NO_BOX = (0, 0, 0, 0)
FEW = 4
"""Up to so many pictures take less time one by one."""


def predict_together(
    model: LoadedModel, requests: Sequence[tuple[Images, Options]]
) -> list[PredictedBatch | None]:
    """Return for each request what `predict` returns for it alone, with the same bits.

    None stands for a request that would take longer or fail: not all of its pictures have 28x28
    pixels and MNIST's form, or the network's outputs are not finite.
    """
    pictures = [_small(*request) for request in requests]
    single = [at for at, each in enumerate(pictures) if each is not None and len(each) == 1]
    found = [
        None if each is None or len(each) == 1 else _several(model, each, options)
        for each, (_, options) in zip(pictures, requests, strict=True)
    ]
    if single:
        pixels = np.concatenate([each for each in pictures if each is not None and len(each) == 1])
        for at, batch in zip(single, _singles(model, pixels), strict=True):
            found[at] = batch
    return found


def _small(images: Images, options: Options) -> np.ndarray | None:
    """Return the pixels (n, 28, 28) of a request, or None if a picture must be redrawn."""
    if options.normalize != "auto":
        return None
    try:
        greys = [_small_grey(image) for image in images]
    except BadImage:
        return None
    return None if any(grey is None for grey in greys) else np.array(greys)


def _small_grey(image: Image) -> Grey | None:
    if isinstance(image, bytes) and image_decoding.is_small_png(image):
        image = decoded(image).grey
    return image if isinstance(image, np.ndarray) and image.shape == SHAPE else None


def _several(model: LoadedModel, pixels: np.ndarray, options: Options) -> PredictedBatch | None:
    """Return the predictions for the pictures (n, 28, 28) of one request."""
    try:
        return predict(model, pixels, options) if mnist_boxes(pixels)[1].all() else None
    except NetworkDiverged:
        return None


def _singles(model: LoadedModel, pixels: np.ndarray) -> list[PredictedBatch | None]:
    """Return the predictions for pictures (n, 28, 28) of as many requests."""
    boxes, fits = _boxes(pixels)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is left out
        probabilities = predict_single_rows(model.network, pixels.reshape(len(pixels), -1))
    good = fits & np.isfinite(probabilities).all(axis=1)
    parts = [slice(at, at + 1) for at in range(len(pixels))]
    return [
        PredictedBatch(model, NormalizedBatch(pixels[at], boxes[at], {}), probabilities[at])
        if is_good
        else None
        for at, is_good in zip(parts, good.tolist(), strict=True)
    ]


def _boxes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of the ink (n, 4), and which pictures have MNIST's form."""
    if len(pixels) > FEW:
        return mnist_boxes(pixels)
    boxes = [mnist_box(picture) for picture in pixels]
    return np.array([box or NO_BOX for box in boxes]), np.array([box is not None for box in boxes])
