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


def _images(data: bytes) -> Rows:
    """Return the array in an `.npy` file, none of what is no such file: the server says why."""
    import numpy as np

    try:
        return of_npy(data)
    except Exception:  # NumPy reads the header as Python, so garbage may raise anything
        return np.empty(0, np.float32)


def of_npy(data: bytes) -> Rows:
    """Return the array in an `.npy` file.

    Raises:
        ValueError: it is none.

    """
    import numpy as np

    rows: Rows = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return rows


def joined(parts: list[Rows]) -> Rows:
    import numpy as np

    return np.concatenate(parts)
