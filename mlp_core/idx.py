"""The IDX format, in which MNIST and its relatives are published."""

import math

import numpy as np

from mlp_core.arrays import Pixels
from mlp_core.errors import DatasetError

UNSIGNED_BYTE = 0x08  # the only element type that MNIST and its relatives use


def read_idx(data: bytes) -> Pixels:
    """Return the array of an IDX file of unsigned bytes, read-only.

    The file holds two zero bytes, the element type, the number of axes, the length of each axis as
    four big-endian bytes, and the elements (https://yann.lecun.com/exdb/mnist).

    Raises:
        DatasetError: the magic number is wrong, or the size contradicts the header.

    """
    magic = data[:4]
    if len(magic) < 4 or magic[:3] != bytes((0, 0, UNSIGNED_BYTE)) or magic[3] == 0:
        raise DatasetError("magic number of an IDX file", "00 00 08 axes", magic.hex(" "))
    start = 4 + 4 * magic[3]
    shape = tuple(np.frombuffer(data[4:start].ljust(start - 4, b"\0"), ">u4").tolist())
    if len(data) != start + math.prod(shape):
        raise DatasetError("bytes of an IDX file", start + math.prod(shape), len(data))
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
