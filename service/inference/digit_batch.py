"""Brings the pictures of a request into MNIST's form, for networks that were trained on digits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import BadImage
from service.inference import image_decoding, small_png
from service.inference.grey_levels import Grey
from service.inference.image_decoding import MNIST_SIDE, Decoded
from service.inference.image_normalization import (
    Normalized,
    Report,
    mnist_boxes,
)
from service.inference.image_normalization import normalize as to_mnist_form
from service.inference.input_batch import (
    MAX_PIXELS,
    Budget,
    Images,
    Normalize,
    NormalizedBatch,
    Sample,
    replaced,
)

Readable = bytes | NDArray[Any] | BadImage

SHAPE = (MNIST_SIDE, MNIST_SIDE)
REDRAWING_PIXELS = 16_000
"""Redrawing even a small picture takes as long as decoding this many pixels."""
MAX_REDRAWN = MAX_PIXELS // REDRAWING_PIXELS


def digit_batch(images: Images, normalize: Normalize) -> NormalizedBatch:
    """Bring all images into MNIST's form.

    Raises:
        BadImage: the only image can't be read, or too many must be redrawn.

    """
    readable: Sequence[Readable] | np.ndarray
    if isinstance(images, np.ndarray):
        readable = images
    else:
        readable = [it.pixels if isinstance(it, Sample) else it for it in images]
    if len(readable) == 1:
        return _normalized_one(readable[0], normalize)
    return _normalized_all(readable, normalize)


def _normalized_one(image: Readable, normalize: Normalize) -> NormalizedBatch:
    """Bring a single image into MNIST's form, or raise the error that concerns it."""
    picture = decoded(image)
    batch = _normalized_all([picture.grey], normalize)
    found = batch.others.get(0)
    if isinstance(found, BadImage):
        raise found
    return replace(batch, others={0: _at_full_size(found, picture)}) if found else batch


def _normalized_all(
    images: Sequence[Readable] | np.ndarray, normalize: Normalize
) -> NormalizedBatch:
    pixels, boxes, fits = _examined(images)
    rest = np.flatnonzero(~fits if normalize == "auto" else np.ones_like(fits)).tolist()
    if normalize != "never":
        _check_redrawn(len(rest))
    budget = Budget(MAX_PIXELS - MNIST_SIDE**2 * (len(images) - len(rest)))
    others = {index: _normalized_or_bad(images[index], normalize, budget) for index in rest}
    return NormalizedBatch(replaced(pixels, others), boxes, others)


def _check_redrawn(count: int) -> None:
    if count > MAX_REDRAWN:
        raise BadImage(
            "too_many_images",
            f"{count:,} of these pictures must be brought into MNIST's form, and one request "
            f"may have at most {MAX_REDRAWN:,} of them: send several requests, or use "
            "normalize=never.",
        )


def _examined(images: Sequence[Readable] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (n, 28, 28), the boxes of their ink (n, 4), and which have MNIST's form.

    Files and pictures of other sizes are not looked at; their pixels are 0.
    """
    if isinstance(images, np.ndarray) or all(map(_has_shape, images)):
        pixels = np.asarray(images)
        return pixels, *mnist_boxes(pixels)
    n = len(images)
    return np.zeros((n, *SHAPE), np.uint8), np.zeros((n, 4), int), np.zeros(n, bool)


def _normalized_or_bad(
    image: Readable, normalize: Normalize, budget: Budget
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


def decoded(image: Readable, spend: Callable[[int], None] = lambda pixels: None) -> Decoded:
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


def _has_shape(image: Readable) -> bool:
    return isinstance(image, np.ndarray) and image.shape == SHAPE
