"""NumPy arrays in requests and responses, as `.npy` files.

NumPy is imported only when an array is used, because the client does not depend on it.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ArraySource: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[np.generic]"
"""A NumPy array, or the path or the bytes of an `.npy` file."""
Probabilities: TypeAlias = "NDArray[np.float32]"
"""(n, 10): for each image the probabilities of the digits 0 to 9."""

FloatArray: TypeAlias = "NDArray[np.float32]"
ByteArray: TypeAlias = "NDArray[np.uint8]"

MEDIA_TYPE = "application/x-npy"
MAGIC = b"\x93NUMPY"
"""The first bytes of every `.npy` file."""
# In one request the server normalises at most 1000 images and accepts at most 10 MiB, which is
# about 3300 images as float32 or 1600 as float64.
IMAGES_PER_REQUEST = 1000
MAX_HEADER_BYTES = 500


def split(array: ArraySource) -> Iterator[bytes]:
    """Yield an array as `.npy` files of at most IMAGES_PER_REQUEST images each, in order.

    The files have about the same size, so that none of several holds a single image: a request
    with one unreadable image fails, while among several only that image has a problem.

    Raises:
        OSError: the file can't be read.
        ModuleNotFoundError: NumPy is not installed.

    """
    try:
        import numpy as np
    except ModuleNotFoundError:
        message = "Arrays need NumPy, which is not installed: pip install numpy"
        raise ModuleNotFoundError(message, name="numpy") from None

    if isinstance(array, str | os.PathLike):
        array = Path(array).read_bytes()
    images = _read(array) if isinstance(array, bytes) else np.atleast_1d(array)
    parts = -(-len(images) // IMAGES_PER_REQUEST) if images.ndim > 1 else 1
    if parts <= 1 and isinstance(array, bytes):
        yield array
        return
    for part in np.array_split(images, max(parts, 1)):
        file = io.BytesIO()
        np.save(file, part, allow_pickle=False)
        yield file.getvalue()


def _read(data: bytes) -> "NDArray[np.generic]":
    """Return the array in an `.npy` file, or an empty array if the file is invalid.

    `split` passes an invalid file on unchanged, and the server says what is wrong with it.
    """
    import numpy as np

    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception:  # NumPy parses the header as Python, so garbage may raise anything
        return np.empty(0, np.float32)


def read_probabilities(data: bytes) -> Probabilities:
    """Return the probabilities in an `.npy` response.

    No memory is allocated for data that the header claims and the response does not contain.

    Raises:
        ValueError: the response is not a float32 array of shape (n, 10).

    """
    import numpy as np

    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER_BYTES)
        (count, digits), by_columns, dtype = header
        rows: Probabilities = np.frombuffer(data, np.float32, offset=file.tell())
        rows = rows.reshape(count, 10)
    except Exception as exc:  # NumPy parses the header as Python, so garbage may raise anything
        raise ValueError("the response is not an array of probabilities") from exc
    if digits != 10 or by_columns or dtype != np.float32:
        raise ValueError(f"expected a float32 array (n, 10), got {dtype} ({count}, {digits})")
    return rows


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
