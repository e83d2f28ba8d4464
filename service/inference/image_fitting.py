"""Brings pictures to the size of a data set, at ingest and for predictions alike."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import Resize
from service.domain.errors import BadImage
from service.inference import flat_paper

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width."""
DOWN, UP = Image.Resampling.BOX, Image.Resampling.BILINEAR
"""Each pixel of a smaller picture is the mean of the area that it covers."""


def fitted(image: Pixels, size: Size, resize: Resize = Resize.FIT) -> Pixels:
    """Return a picture at a size; one that has it already is returned as it is.

    Args:
        image: uint8 (h, w), or (h, w, 3) for colours.
        size: the height and width of the result.
        resize: `fit` keeps the aspect ratio, centres the picture and fills the rest with the
            colour of its paper; `stretch` does not keep it; `refuse` changes no picture.

    Raises:
        BadImage: undecodable_image, if the picture has another size and `resize` is `refuse`.

    """
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    if resize is Resize.REFUSE:
        raise BadImage(
            "undecodable_image",
            f"The picture has {width}x{height} pixels, and {size[1]}x{size[0]} are needed.",
        )
    if resize is Resize.STRETCH:
        return _resized(image, size)
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = _resized(image, inner)
    return small if inner == size else _centred(small, size, paper_colour(image))


def paper_colour(image: Pixels) -> Pixels:
    """Return the median level, or colour (3,), of the paper at the border of a picture.

    Paper is what lies at the border, lighter or darker than the ink; of a picture that was trimmed
    to its ink, the ink at the border does not count.

    Args:
        image: uint8 (h, w), or (h, w, 3) for colours.

    """
    levels = image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
    light = levels > (int(levels.min()) + int(levels.max())) / 2
    paper = light if flat_paper.is_paper(light) else ~light
    border = np.ones(paper.shape, np.bool_)
    border[1:-1, 1:-1] = False
    shown = image[paper & border]
    if not len(shown):
        shown = image[border]
    middle: Pixels = np.sort(shown, axis=0)[len(shown) // 2]
    return middle


def _resized(image: Pixels, size: Size) -> Pixels:
    """Resize each axis by itself: one may shrink and the other grow."""
    height, width = size
    picture = Image.fromarray(np.ascontiguousarray(image))
    across = DOWN if width < picture.width else UP
    picture = picture.resize((width, picture.height), across)
    along = DOWN if height < picture.height else UP
    return np.asarray(picture.resize((width, height), along))


def _centred(image: Pixels, size: Size, colour: Pixels) -> Pixels:
    placed = np.empty((*size, *image.shape[2:]), np.uint8)
    placed[:] = colour
    top, left = ((whole - part) // 2 for whole, part in zip(size, image.shape, strict=False))
    placed[top : top + image.shape[0], left : left + image.shape[1]] = image
    return placed
