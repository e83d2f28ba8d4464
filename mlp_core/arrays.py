"""The kinds of arrays the lab works on; everything it computes with is float32."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float32]  # (rows, columns); rows are images or inputs of a layer
Vector: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.integer[Any]]  # (rows,), the class of each row, from 0
Pixels: TypeAlias = NDArray[np.uint8]  # (rows, n_in), 0 to 255
