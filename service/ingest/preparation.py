"""Brings the images of a source into the form in which they are stored, save for their polarity."""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.errors import BadImage
from service.inference.grey_levels import grey_of
from service.inference.image_decoding import MNIST_SIDE
from service.inference.image_fitting import fitted
from service.inference.image_normalization import normalize
from service.ingest.options import IngestOptions
from service.ingest.refusal import unusable
from service.ingest.source import Block

RGB, RGBA = 3, 4
LARGEST = float(np.finfo(np.float32).max)
Images = NDArray[np.uint8]


class Preparation:
    """Turns images as they are read into grey or coloured ones of the size that was asked for."""

    def __init__(self, options: IngestOptions) -> None:
        self._options = options
        self.has_colours = False
        """Whether some of the images that have been prepared have several channels."""
        self.is_grey = True
        """Whether these channels are equal everywhere, so that they show greys only."""
        self.resized = 0

    def rows(self, block: Block) -> NDArray[Any]:
        """Return the rows of a block: images, uint8 (n, h, w, c), or float32 (n, columns)."""
        if block.values is not None:
            return self._numbers(block)
        images = self._opaque(block.images)
        if images.shape[3] == RGB:
            images = self._grey(images)
        if self._options.transpose:
            images = images.transpose(0, 2, 1, 3)
        if self._options.normalize:
            return self._normalized(images)
        return self._fitted(images)

    def _numbers(self, block: Block) -> NDArray[np.float32]:
        values = np.asarray(block.values).clip(-LARGEST, LARGEST).astype(np.float32)
        values += np.float32(0)  # -0.0 becomes 0.0, its equal
        return values

    def _opaque(self, images: Images) -> Images:
        """Return images without the channel of transparency, which is put on white paper."""
        if images.shape[3] != RGBA:
            return images
        if bool((images[..., 3] == 255).all()):
            return images[..., :3]
        alpha = images[..., 3:].astype(np.uint32)
        return ((images[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

    def _grey(self, images: Images) -> Images:
        self.has_colours = True
        is_grey = bool((images == images[..., :1]).all())
        self.is_grey = self.is_grey and is_grey
        if self._options.keeps_colours:
            return images
        if is_grey:
            return images[..., :1]
        return np.stack([grey_of(Image.fromarray(image)) for image in images])[..., None]

    def _fitted(self, images: Images) -> Images:
        size = self._options.size
        if size is None or images.shape[1:3] == size:
            return images
        self.resized += len(images)
        try:
            return np.stack([self._one_fitted(image, size) for image in images])
        except BadImage as exc:
            raise unusable("other_size", str(exc), hint="Set the option `resize`.") from exc

    def _one_fitted(self, image: Images, size: tuple[int, int]) -> Images:
        flat = image[..., 0] if image.shape[2] == 1 else image
        return fitted(flat, size, self._options.resize).reshape(*size, image.shape[2])

    def _normalized(self, images: Images) -> Images:
        result = np.zeros((len(images), MNIST_SIDE, MNIST_SIDE, 1), np.uint8)
        for place, image in enumerate(images):
            grey = image[..., 0] if image.shape[2] == 1 else grey_of(Image.fromarray(image))
            with contextlib.suppress(BadImage):  # an image that shows no digit stays black
                result[place, ..., 0] = normalize(grey).pixels
        return result
