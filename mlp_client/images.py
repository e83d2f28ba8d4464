"""Turn images of many types into the inputs of prediction requests.

NumPy and Pillow are imported only where their objects are given, so that neither is needed.
"""

import base64
import binascii
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlp_client import array_images
from mlp_client.compact_json import compact
from mlp_client.errors import ImageUnusable
from mlp_client.image_parts import ImagePart, PreparedImage, split
from mlp_client.npy import MAGIC
from mlp_client.photos import prepared_file, prepared_picture


@runtime_checkable
class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that tells it from an array."""

    @property
    def mode(self) -> str: ...
    def convert(self, mode: str) -> Any: ...
    def save(self, fp: Any, format: str) -> None: ...


@runtime_checkable
class Array(Protocol):
    """The part of a NumPy, PyTorch or pandas array that this module uses."""

    def tolist(self) -> Any: ...


@runtime_checkable
class File(Protocol):
    """An open file."""

    def read(self) -> Any: ...


Row: TypeAlias = list[int] | list[float] | tuple[float, ...]
Rows: TypeAlias = list[list[int]] | list[list[float]]
Image: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | File
    | PillowImage
    | Array
    | Row
    | Rows
    | Mapping[str, float]
)
Images: TypeAlias = Sequence[Any] | Iterator[Any]


def parts_of(given: object) -> tuple[Iterator[ImagePart], bool]:
    """Return images in parts for one request each, and whether a list of images was given.

    Each image is read when its part is sent.

    Args:
        given: an image, or a list or an iterator of images, or a stack of them in one array. An
            image is a path, a data URL, the bytes of a file, an open file, a Pillow image, an
            array (h, w), (h, w, 3) or (h, w, 4), or 784 numbers. Whole numbers are grey values
            0 to 255; floats are 0 to 1, or 0 to 255 if one of them is above 1. For a network that
            was trained on a table, it is a mapping with a number for each column.

    """
    images, many = _listed(given)
    return split(_prepared_each(images) if many else map(_prepared, images)), many


def single(given: object) -> PreparedImage:
    """Return one image as it is sent; `parts_of` says what it may be.

    Raises:
        ImageUnusable: it is none of these.
        OSError: the file can't be read.

    """
    return _prepared(given)


def _prepared_each(images: Iterable[object]) -> Iterator[PreparedImage]:
    """Yield images as they are sent; the error about one names its position in the list."""
    for index, image in enumerate(images):
        try:
            yield _prepared(image)
        except ImageUnusable as error:
            raise ImageUnusable(f"Image {index} of the list: {error}") from None


def _listed(given: object) -> tuple[Iterable[object], bool]:
    """Return the images that were given, and whether they are a list of images."""
    if _is_array(given):
        array = array_images.as_array(given)
        many = array_images.is_stack(array)
        return (array if many else [array]), many
    if isinstance(given, list | tuple):
        many = not (_is_row(given) or _is_grid(given))
        return (given if many else [given]), many
    if isinstance(given, Iterator) and not isinstance(given, File):
        return given, True
    return [given], False


def _prepared(image: object) -> PreparedImage:
    """Return an image as it is sent.

    Raises:
        ImageUnusable: it is none of the types in `parts_of`.
        OSError: the file can't be read.

    """
    if isinstance(image, str):
        return _of_text(image)
    if isinstance(image, os.PathLike):
        return _of_bytes(Path(image).read_bytes())
    if isinstance(image, bytes | bytearray | memoryview):
        return _of_bytes(bytes(image))
    if isinstance(image, File):
        return _of_open_file(image)
    if isinstance(image, PillowImage):
        return prepared_picture(image)  # type: ignore[arg-type]  # the protocol's full class
    if _is_array(image):
        return array_images.prepared(array_images.as_array(image))
    if isinstance(image, list | tuple | Mapping):
        return _of_features(image) if isinstance(image, Mapping) else _of_numbers(image)
    raise ImageUnusable(
        f"An image of type {type(image).__name__} can't be sent. Pass a path, bytes, "
        "a Pillow image or an array."
    )


def _of_text(text: str) -> PreparedImage:
    if text.startswith("data:"):
        return _of_data_url(text)
    if text.startswith(("http://", "https://")):
        raise ImageUnusable("The client loads no pictures from the web. Pass the picture's bytes.")
    return _of_bytes(Path(text).read_bytes())


def _of_data_url(text: str) -> PreparedImage:
    head, _, payload = text.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError
        return _of_bytes(base64.b64decode(payload, validate=True))
    except (binascii.Error, ValueError):
        raise ImageUnusable("The data URL is not data:image/…;base64, and base64.") from None


def _of_open_file(file: File) -> PreparedImage:
    data = file.read()
    if not isinstance(data, bytes):
        raise ImageUnusable("The file is open as text. Open it with open(path, 'rb').")
    return _of_bytes(data)


def _of_bytes(data: bytes) -> PreparedImage:
    if data.startswith(MAGIC):
        raise ImageUnusable("An .npy file is not a picture. Pass it to predict_array.")
    return prepared_file(data)


def _of_numbers(image: Sequence[Any]) -> PreparedImage:
    """Return an image of 784 numbers, or of rows of numbers."""
    rows = [_as_list(row) for row in image] if _is_grid(image) else [_as_list(image)]
    if len(rows) == 1 and len(rows[0]) != array_images.SIDE**2:
        raise ImageUnusable(
            "An array must hold 28x28 or 784 numbers, or the rows of a picture, all of equal "
            "length. Send other images as pictures, for example with PIL.Image.fromarray."
        )
    flat = [number for row in rows for number in row]
    if not any(isinstance(number, float) for number in flat):
        field = "pixels"
    elif max(flat) > 1:
        field, rows = "pixels", [[round(number) for number in row] for row in rows]
    else:
        field = "values"
    try:
        numbers = rows if len(rows) > 1 else rows[0]
        return PreparedImage.of_numbers(field, numbers, len(flat))
    except ValueError:
        raise ImageUnusable("The numbers of an image must be finite.") from None


def _of_features(row: Mapping[str, Any]) -> PreparedImage:
    """Return a row of a table, as numbers by the names of its columns."""
    values = dict(zip(map(str, row), _as_list(row.values()), strict=True))
    try:
        if not _is_row(list(values.values())):
            raise TypeError
        return PreparedImage(compact({"features": values}), pixels=len(values))
    except (TypeError, ValueError):  # not finite, or not a number
        raise ImageUnusable(
            f"A row of type {type(row).__name__} must have a finite number for each column."
        ) from None


def _as_list(row: Iterable[Any]) -> list[Any]:
    """Return numbers as Python's own; NumPy's are no JSON."""
    return [it.tolist() if isinstance(it, Array) else it for it in row]


def _is_array(image: object) -> bool:
    is_other = isinstance(image, numbers.Number | memoryview | PillowImage)
    return not is_other and (isinstance(image, Array) or hasattr(image, "__array__"))


def _is_row(item: object) -> bool:
    """Return whether this is a list or a one-dimensional array of numbers."""
    if _is_array(item):
        return getattr(item, "ndim", 0) == 1
    return (
        isinstance(item, list | tuple)
        and len(item) > 0
        and all(isinstance(number, numbers.Number) for number in item)
    )


def _is_grid(image: Sequence[Any]) -> bool:
    """Return whether these are the rows of one picture, and not pictures of 784 numbers each."""
    if not (len(image) > 0 and _is_row(image[0])):
        return False
    width = len(image[0])
    return width != array_images.SIDE**2 and all(
        _is_row(row) and len(row) == width for row in image
    )
