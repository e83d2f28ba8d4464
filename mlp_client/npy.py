"""NumPy arrays on the wire, as `.npy` files; NumPy is imported only when there is one."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[np.generic]"
"""A NumPy array, or the path or the bytes of an `.npy` file."""
Rows: TypeAlias = "NDArray[np.float32]"
"""(n, 10)."""

MEDIA_TYPE = "application/x-npy"
START = b"\x93NUMPY"
# The server redraws at most 1000 pictures in a request, and a body may have 10 MiB: that is some
# 3300 images as float32, 1600 as float64.
MOST_IMAGES = 1000
MOST_HEADER_BYTES = 500


def in_parts(array: Source) -> Iterator[bytes]:
    """Yield this array as `.npy` files of at most MOST_IMAGES images each, in order.

    The parts are about equal, so that none of several holds one image alone: of that a request
    fails if it can't be read, while among others it has its own problem.

    Raises:
        OSError: the file can't be read.

    """
    import numpy as np

    if isinstance(array, str | os.PathLike):
        array = Path(array).read_bytes()
    images = _images(array) if isinstance(array, bytes) else np.atleast_1d(array)
    parts = -(-len(images) // MOST_IMAGES) if images.ndim > 1 else 1
    if parts <= 1 and isinstance(array, bytes):
        yield array
        return
    for part in np.array_split(images, max(parts, 1)):
        file = io.BytesIO()
        np.save(file, part, allow_pickle=False)
        yield file.getvalue()


def _images(data: bytes) -> "NDArray[np.generic]":
    """Return the array in an `.npy` file, none of what is no such file: the server says why."""
    import numpy as np

    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception:  # NumPy reads the header as Python, so garbage may raise anything
        return np.empty(0, np.float32)


def of_answer(data: bytes) -> Rows:
    """Return the probabilities in an answer; nothing is allocated that it only claims to hold.

    Raises:
        ValueError: it holds none.

    """
    import numpy as np

    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0(file, max_header_size=MOST_HEADER_BYTES)
        (count, digits), by_columns, dtype = header
        rows: Rows = np.frombuffer(data, np.float32, offset=file.tell()).reshape(count, 10)
    except Exception as exc:  # NumPy reads the header as Python, so garbage may raise anything
        raise ValueError("this is no array of probabilities") from exc
    if digits != 10 or by_columns or dtype != np.float32:
        raise ValueError(f"this is no float32 (n, 10) but {dtype} ({count}, {digits})")
    return rows


def joined(parts: list[Rows]) -> Rows:
    import numpy as np

    return np.concatenate(parts)
