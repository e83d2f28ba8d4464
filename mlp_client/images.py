"""Turn images of many types into the inputs of a prediction request.

NumPy and Pillow objects are recognised by their methods, so that neither package is needed.
"""

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlp_client.errors import ImageUnusable
from mlp_client.npy import MAGIC

SIDE = 28


@runtime_checkable
class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that this module uses."""

    @property
    def mode(self) -> str: ...
    def convert(self, mode: str) -> Any: ...
    def save(self, fp: Any, format: str) -> None: ...


@runtime_checkable
class Array(Protocol):
    """The part of a NumPy, PyTorch or pandas array that this module uses."""

    def tolist(self) -> Any: ...


Row: TypeAlias = list[int] | list[float] | tuple[float, ...]
Rows: TypeAlias = list[list[int]] | list[list[float]]
Image: TypeAlias = str | os.PathLike[str] | bytes | PillowImage | Array | Row | Rows
Images: TypeAlias = Sequence[Any]
Input: TypeAlias = dict[str, Any]


def is_many(image: object) -> bool:
    """Return whether this is a list of images or a stack of arrays, and not a single image."""
    image = _as_lists(image)
    return isinstance(image, list) and not _is_digit(image) and not _is_row(image)


def as_input(image: object) -> Input:
    """Return the image as an item of `inputs`.

    Args:
        image: a path, the bytes of a file, a Pillow image, or 28x28 or 784 numbers: integers
            are grey values 0 to 255, floats are in [0, 1].

    Raises:
        ImageUnusable: it is none of these.
        OSError: the file can't be read.

    """
    if isinstance(image, str | os.PathLike):
        return _encoded(Path(image).read_bytes())
    if isinstance(image, bytes | bytearray):
        return _encoded(image)
    if isinstance(image, PillowImage):
        return _encoded(_as_png(image))
    return _as_numbers(_as_lists(image), type(image).__name__)


def _as_numbers(numbers: object, type_name: str) -> Input:
    if not isinstance(numbers, list):
        raise ImageUnusable(
            f"An image of type {type_name} can't be sent. Pass a path, bytes, "
            "a Pillow image or an array."
        )
    if not _is_digit(numbers):
        raise ImageUnusable(
            "An array must hold 28x28 or 784 numbers. Send an image of another size as a picture, "
            "for example with PIL.Image.fromarray."
        )
    flat = numbers if _is_row(numbers) else [number for row in numbers for number in row]
    return {"values" if any(isinstance(number, float) for number in flat) else "pixels": numbers}


def _encoded(data: bytes | bytearray) -> Input:
    if data.startswith(MAGIC):
        raise ImageUnusable("An .npy file is not a picture. Pass it to predict_array.")
    return {"base64": base64.b64encode(data).decode("ascii")}


def _as_png(image: PillowImage) -> bytes:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):  # the modes that PNG supports
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _as_lists(image: object) -> object:
    if isinstance(image, Array) and not isinstance(image, PillowImage):
        return image.tolist()
    if isinstance(image, list | tuple):
        return [_as_lists(item) for item in image]
    return image


def _is_row(item: object) -> bool:
    return isinstance(item, list) and all(isinstance(number, int | float) for number in item)


def _is_digit(item: list[Any]) -> bool:
    if _is_row(item):
        return len(item) == SIDE * SIDE
    return len(item) == SIDE and all(_is_row(row) and len(row) == SIDE for row in item)
