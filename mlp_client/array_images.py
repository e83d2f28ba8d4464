"""Images in arrays: of NumPy, or of a library whose arrays NumPy understands."""

from typing import TYPE_CHECKING, Any

from mlp_client.errors import ImageUnusable
from mlp_client.image_parts import PreparedImage
from mlp_client.photos import prepared_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 28
DIGIT_SHAPES = ((SIDE, SIDE), (SIDE * SIDE,))
CHANNELS = (1, 3, 4)
"""Length of the last axis of a picture (h, w, c): grey, RGB or RGBA."""


def as_array(image: Any) -> "NDArray[np.generic]":
    """Return an array of another library, such as a tensor, as one of NumPy.

    Raises:
        ImageUnusable: NumPy is not installed, or can't read the array.

    """
    try:
        import numpy as np

        tensor = image.detach().cpu() if hasattr(image, "detach") else image
        return np.asarray(tensor)
    except Exception as error:  # what reading a foreign array may raise is not known
        raise ImageUnusable(f"NumPy can't read this {type(image).__name__}: {error}") from error


def is_stack(array: "NDArray[np.generic]") -> bool:
    """Return whether an array holds several images: (n, 784), (n, h, w), (n, h, w, 3)…"""
    if array.ndim == 2:
        return bool(array.shape[1] == SIDE * SIDE)
    return array.ndim > 3 or (array.ndim == 3 and not _has_channels(array))


def prepared(array: "NDArray[np.generic]") -> PreparedImage:
    """Return an image (784,), (h, w), (h, w, 3) or (h, w, 4) as it is sent.

    Raises:
        ImageUnusable: it has another shape, type or range.

    """
    image = _squeezed(array)
    if image.shape in DIGIT_SHAPES:
        field, numbers = _numbers(image)
        return PreparedImage.of_numbers(field, numbers.tolist(), numbers.size)
    if image.size == 0 or not (image.ndim == 2 or _has_channels(image)):
        raise ImageUnusable(
            f"An array of shape {array.shape} is not an image: it must hold 28x28 or 784 numbers, "
            "or have the shape (height, width), (height, width, 3) or (height, width, 4)."
        )
    pixels = _grey_levels(image)
    try:
        from PIL import Image
    except ImportError:
        if pixels.ndim == 2:
            return PreparedImage.of_numbers("pixels", pixels.tolist(), pixels.size)
        raise ImageUnusable("To send an array with colours, install Pillow.") from None
    return prepared_picture(Image.fromarray(pixels))


def _has_channels(array: "NDArray[np.generic]") -> bool:
    """Return whether this is (h, w, 1), (h, w, 3) or (h, w, 4), and not a stack of images."""
    if array.ndim != 3:
        return False
    height, width, channels = array.shape
    return channels in CHANNELS and min(height, width) > max(CHANNELS)


def _squeezed(array: "NDArray[np.generic]") -> "NDArray[np.generic]":
    """Return an image without axes of length 1, such as the channel of (1, 28, 28)."""
    return array if array.ndim < 3 and array.size != SIDE * SIDE else array.squeeze()


def _numbers(image: "NDArray[Any]") -> "tuple[str, NDArray[Any]]":
    """Return the field that takes the numbers of a digit, and the numbers."""
    levels = _grey_levels(image)
    is_exact = image.dtype.kind == "f" and image.max() <= 1
    return ("values", image) if is_exact else ("pixels", levels)


def _grey_levels(image: "NDArray[Any]") -> "NDArray[np.uint8]":
    """Return grey levels from 0 to 255: floats are taken as 0 to 1, unless one is above 1."""
    import numpy as np

    _check_type(image)
    lowest, highest = image.min(), image.max()
    if not (lowest >= 0 and highest <= 255):  # also for NaN
        raise ImageUnusable(
            f"The numbers of an image must be from 0 to 255, or from 0 to 1; these {image.dtype} "
            f"numbers are from {lowest} to {highest}."
        )
    scale = 255 if image.dtype.kind == "b" or (image.dtype.kind == "f" and highest <= 1) else 1
    levels: NDArray[np.uint8] = np.rint(image.astype(np.float64) * scale).astype(np.uint8)
    return levels


def _check_type(image: "NDArray[np.generic]") -> None:
    if image.dtype.kind not in "biuf":
        raise ImageUnusable(f"An array of type {image.dtype} does not hold numbers of an image.")
