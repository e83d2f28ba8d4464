"""Writes arrays as `.npy` files."""

import io

import numpy as np
from numpy.typing import NDArray


def npy_file(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
