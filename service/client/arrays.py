"""NumPy arrays on the wire, as `.npy` files; NumPy is imported only when there is one."""

import io
import os
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


def as_npy(array: Source) -> bytes:
    """Return the `.npy` file that this is, names or makes.

    Raises:
        OSError: the file can't be read.

    """
    if isinstance(array, str | os.PathLike):
        return Path(array).read_bytes()
    if isinstance(array, bytes):
        return array
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def of_npy(data: bytes) -> Rows:
    """Return the array in an `.npy` file.

    Raises:
        ValueError: it is none.

    """
    import numpy as np

    rows: Rows = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return rows
