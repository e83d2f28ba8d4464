"""What a network sees of the pictures of a question: each brought into MNIST's form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.api.predict_input import Grey, Normalize, Question, too_many_bytes
from service.inference import image_normalization
from service.inference.image_normalization import BadImage, Normalized

PIXELS = 16_000_000
"""That one request may have read: a small body can hold very large pictures."""
REDRAWN_PIXELS = 16_000
"""Redrawing even a small picture takes as long as reading so many pixels."""
MOST_REDRAWN = PIXELS // REDRAWN_PIXELS


@dataclass(frozen=True)
class Sight:
    pixels: np.ndarray
    """(n, 28, 28) uint8; of a picture that can't be read they mean nothing."""
    boxes: np.ndarray
    """(n, 4): of the ink of those that had MNIST's form."""
    others: dict[int, Normalized | BadImage]
    """What was done to each of the others, or the problem with it, by its number from 0."""

    @property
    def bad(self) -> list[int]:
        """The numbers of those that can't be read."""
        return [number for number, found in self.others.items() if isinstance(found, BadImage)]


@dataclass
class Budget:
    """Pixels that a request may still have read."""

    left: int = PIXELS

    def spend(self, pixels: int) -> None:
        self.left -= pixels

    def check(self) -> None:
        if self.left <= 0:
            raise BadImage(
                "too_many_pixels",
                "The pictures of this request are too large together; send fewer, or smaller ones.",
            )


def see(question: Question) -> Sight:
    """Read, and redraw if need be, all pictures.

    Raises:
        BadImage: there is only one, and it can't be read; or too many must be redrawn.

    """
    images, normalize = question.images, question.options.normalize
    if _are_small(images):
        pixels = np.asarray(images)
        boxes, fits = image_normalization.mnist_boxes(pixels)
        rest = np.flatnonzero(~fits).tolist() if normalize == "auto" else list(range(len(pixels)))
    else:
        pixels, boxes = np.zeros((len(images), 28, 28), np.uint8), np.zeros((len(images), 4), int)
        rest = list(range(len(images)))
    if not rest:
        return Sight(pixels, boxes, {})
    if len(rest) > MOST_REDRAWN and normalize != "never":
        raise BadImage(
            "too_many_pixels",
            f"{len(rest):,} of these pictures must be brought into MNIST's form, and "
            f"{MOST_REDRAWN:,} can be in one request: send them in parts, or with normalize=never.",
        )
    budget = Budget()
    budget.spend(784 * (len(images) - len(rest)))
    others = {number: _see(images[number], normalize, budget) for number in rest}
    alone = others[0] if len(images) == 1 else None
    if isinstance(alone, BadImage):
        raise alone
    pixels = pixels.copy()
    for number, found in others.items():
        if isinstance(found, Normalized):
            pixels[number] = found.pixels
    return Sight(pixels, boxes, others)


def see_at_once(question: Question) -> Sight | None:
    """Return the sight of MNIST's own digits, which takes 0.1 ms; None if there is more to do.

    Raises:
        BadImage: the only picture can't be read.

    """
    images = question.images
    if question.options.normalize != "auto" or len(images) > 1:
        return None
    image = images[0]
    if isinstance(image, bytes) and image_normalization.is_small_png(image):
        image = image_normalization.decode(image)
    if not _are_small([image]):
        return None
    pixels = np.asarray(image)
    box = image_normalization.mnist_box(pixels)
    return Sight(pixels[np.newaxis], np.array([box]), {}) if box else None


def _are_small(images: Sequence[bytes | Grey | BadImage] | np.ndarray) -> bool:
    """Tell whether all are arrays of MNIST's size."""
    if isinstance(images, np.ndarray):
        return True
    return all(isinstance(image, np.ndarray) and image.shape == (28, 28) for image in images)


def _see(
    image: bytes | Grey | BadImage, normalize: Normalize, budget: Budget
) -> Normalized | BadImage:
    """Bring an image into MNIST's form, or say why not."""
    try:
        if isinstance(image, BadImage):
            return image
        budget.check()
        if isinstance(image, bytes):
            image = _decode(image)
        budget.spend(image.size)
        if normalize == "never":
            return _as_it_is(image)
        seen = image_normalization.normalize(image, always=normalize == "always")
        if not seen.report.unchanged:
            budget.spend(max(0, REDRAWN_PIXELS - image.size))
        return seen
    except BadImage as exc:
        return exc


def _decode(data: bytes) -> Grey:
    if len(data) > image_normalization.MAX_IMAGE_BYTES:
        raise too_many_bytes()
    return image_normalization.decode(data)


def _as_it_is(image: Grey) -> Normalized:
    if image.shape != (28, 28):
        height, width = image.shape
        raise BadImage(
            "undecodable_image",
            f"Without normalising, a picture must be 28x28, not {width}x{height}.",
        )
    box = (0, 0, 28, 28)
    return Normalized(image, image_normalization.Report(True, False, box, 1.0, (0.0, 0.0), 255.0))
