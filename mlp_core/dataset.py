"""Images and their labels, as bytes; pixels become float32 in [0, 1] only when they are used."""

import math
from dataclasses import dataclass

import numpy as np

from mlp_core.arrays import Matrix, Pixels
from mlp_core.errors import DatasetError

UNSIGNED_BYTE = 0x08  # the only IDX element type MNIST and its relatives use


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (n, n_in), possibly memory-mapped, and their labels uint8 (n,).

    Raises:
        DatasetError: of another type or shape, empty, or not one label for each image.

    """

    images: Pixels
    labels: Pixels

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 2 or not self.images.size:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DatasetError("images", "uint8 (n, n_in), not empty", found)
        if self.labels.dtype != np.uint8 or self.labels.shape != self.images.shape[:1]:
            found = f"{self.labels.dtype} {self.labels.shape}"
            raise DatasetError("labels", f"uint8 ({len(self.images)},)", found)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A split to train on and one to test on, with labels below `classes`.

    Raises:
        DatasetError: the two do not belong together, or a label is too large.

    """

    name: str
    train: Split
    test: Split
    classes: int
    image_shape: tuple[int, int] | None = None  # rows and columns; None: not known

    def __post_init__(self) -> None:
        if self.image_shape is not None and math.prod(self.image_shape) != self.n_in:
            raise DatasetError("image_shape", f"{self.n_in} pixels", self.image_shape)
        if self.test.images.shape[1] != self.n_in:
            raise DatasetError("columns of test images", self.n_in, self.test.images.shape[1])
        largest = max(int(split.labels.max()) for split in (self.train, self.test))
        if largest >= self.classes:
            raise DatasetError("labels", f"at most {self.classes - 1}", largest)

    @property
    def n_in(self) -> int:
        """The number of pixels of an image."""
        n_in: int = self.train.images.shape[1]
        return n_in


def scale(images: Pixels, X: Matrix) -> None:
    """Fill X (n, n_in), in place, with the pixels of `images` (n, n_in) scaled to [0, 1]."""
    np.copyto(X, images)  # to convert first is faster than to multiply mixed types
    X *= 1 / 255


def scaled(images: Pixels) -> Matrix:
    """The pixels of `images`, of any shape, as float32 in [0, 1], exactly as in training."""
    X = np.empty(images.shape, np.float32)
    scale(images, X)
    return X


def read_idx(data: bytes) -> Pixels:
    """The array in an IDX file of unsigned bytes (https://yann.lecun.com/exdb/mnist), read-only.

    The file: 0, 0, element type, number of axes; each axis' length as big-endian 4 bytes; data.

    Raises:
        DatasetError: another magic number, or more or fewer bytes than the header says.

    """
    magic = data[:4]
    if len(magic) < 4 or magic[:3] != bytes((0, 0, UNSIGNED_BYTE)) or magic[3] == 0:
        raise DatasetError("magic number of an IDX file", "00 00 08 axes", magic.hex(" "))
    start = 4 + 4 * magic[3]
    shape = tuple(np.frombuffer(data[4:start].ljust(start - 4, b"\0"), ">u4").tolist())
    if len(data) != start + math.prod(shape):
        raise DatasetError("bytes of an IDX file", start + math.prod(shape), len(data))
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
