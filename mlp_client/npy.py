"""NumPy arrays in requests and responses, as `.npy` files.

NumPy is imported only when an array is used, because the client does not depend on it.
"""

import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from mlp_client.errors import DatasetUnusable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ArraySource: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[np.generic]"
"""A NumPy array, or the path or the bytes of an `.npy` file."""
Probabilities: TypeAlias = "NDArray[np.float32]"
"""(n, classes): for each image the probabilities of all classes, in their order."""

FloatArray: TypeAlias = "NDArray[np.float32]"
ByteArray: TypeAlias = "NDArray[np.uint8]"

MEDIA_TYPE = "application/x-npy"
MAGIC = b"\x93NUMPY"
"""The first bytes of every `.npy` file."""
# In one request the server normalises at most 1000 images and accepts at most 10 MiB, which is
# about 3300 images as float32 or 1600 as float64.
IMAGES_PER_REQUEST = 1000
BYTES_PER_REQUEST = 10 * 1024**2
NUMBERS_PER_REQUEST = 15_000_000
"""The limit for all images together; the server takes 16 million."""
MAX_HEADER_BYTES = 500
MAX_CLASSES = 256


def split(array: ArraySource) -> Iterator[bytes]:
    """Yield an array as `.npy` files of at most IMAGES_PER_REQUEST images each, in order.

    A file holds as many large images as the server's limits allow.

    The files have about the same size, so that none of several holds a single image: a request
    with one unreadable image fails, while among several only that image has a problem.

    Raises:
        OSError: the file can't be read.
        ModuleNotFoundError: NumPy is not installed.

    """
    _check_numpy()
    import numpy as np

    if isinstance(array, str | os.PathLike):
        array = Path(array).read_bytes()
    images = _read(array) if isinstance(array, bytes) else np.atleast_1d(array)
    parts = -(-len(images) // _images_per_request(images)) if images.ndim > 1 else 1
    if parts <= 1 and isinstance(array, bytes):
        yield array
        return
    for part in np.array_split(images, max(parts, 1)):
        file = io.BytesIO()
        np.save(file, part, allow_pickle=False)
        yield file.getvalue()


def save_named(arrays: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write arrays into an `.npz` file, by their names.

    Raises:
        DatasetUnusable: an array has neither numbers nor texts.
        ModuleNotFoundError: NumPy is not installed.

    """
    _check_numpy()
    import numpy as np

    made: dict[str, Any] = {name: _plain_array(name, value) for name, value in arrays.items()}
    np.savez(file, **made)


def _check_numpy() -> None:
    try:
        import numpy  # noqa: F401  (only whether it is there)
    except ModuleNotFoundError:
        message = "Arrays need NumPy, which is not installed: pip install numpy"
        raise ModuleNotFoundError(message, name="numpy") from None


def _plain_array(name: str, value: Any) -> "NDArray[np.generic]":
    """Return an array, or what NumPy makes one of: lists, tensors."""
    import numpy as np

    tensor = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        array: NDArray[np.generic] = np.asarray(tensor)
    except ValueError as error:  # rows of different lengths
        raise DatasetUnusable(f"{name} is no array: {error}") from None
    if array.dtype.hasobject:
        raise DatasetUnusable(
            f"{name} is an array of objects. Make it an array of numbers, with numpy.stack(…) for "
            "a list of images, or of texts, with .astype(str)."
        )
    return array


def _images_per_request(images: "NDArray[np.generic]") -> int:
    one = images[:1]
    by_size = min(BYTES_PER_REQUEST // max(1, one.nbytes), NUMBERS_PER_REQUEST // max(1, one.size))
    return max(1, min(IMAGES_PER_REQUEST, by_size))


def _read(data: bytes) -> "NDArray[np.generic]":
    """Return the array in an `.npy` file, or an empty array if the file is invalid.

    `split` passes an invalid file on unchanged, and the server says what is wrong with it.
    """
    import numpy as np

    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception:  # NumPy parses the header as Python, so garbage may raise anything
        return np.empty(0, np.float32)


def read_probabilities(data: bytes, named: str | None = None) -> Probabilities:
    """Return the probabilities in an `.npy` response.

    No memory is allocated for data that the header claims and the response does not contain.

    Args:
        data: the response.
        named: its header `Classes`, if it has one: a JSON list of the names of the columns.

    Raises:
        ValueError: the response is not a float32 array of shape (n, classes).

    """
    import numpy as np

    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER_BYTES)
        (count, classes), by_columns, dtype = header
        rows: Probabilities = np.frombuffer(data, np.float32, offset=file.tell())
        rows = rows.reshape(count, classes)
    except Exception as exc:  # NumPy parses the header as Python, so garbage may raise anything
        raise ValueError("the response is not an array of probabilities") from exc
    known = _length(named) == classes if named else 2 <= classes <= MAX_CLASSES
    if not known or by_columns or dtype != np.float32:
        raise ValueError(f"expected float32 (n, classes), got {dtype} ({count}, {classes})")
    return rows


def _length(named: str) -> int:
    """Return how many classes a header names; ValueError if it is no JSON list."""
    names = json.loads(named)
    return len(names) if isinstance(names, list) else 0


def read_floats(data: bytes) -> FloatArray:
    """Return the float32 array in an `.npy` response.

    Raises:
        ValueError: the response is not such an array.

    """
    import numpy as np

    found = _read(data)
    if found.dtype != np.float32 or not found.size:
        raise ValueError("the response is not a float32 array")
    return found.astype(np.float32, copy=False)


def read_bytes(data: bytes) -> ByteArray:
    """Return the uint8 array in an `.npy` response.

    Raises:
        ValueError: the response is not such an array.

    """
    import numpy as np

    found = _read(data)
    if found.dtype != np.uint8 or not found.size:
        raise ValueError("the response is not a uint8 array")
    return found.astype(np.uint8, copy=False)


def concatenate(parts: list[Probabilities]) -> Probabilities:
    """Return the rows of several arrays in one."""
    import numpy as np

    return np.concatenate(parts)
