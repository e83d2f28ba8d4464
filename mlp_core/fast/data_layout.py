"""A data set reordered so that training and evaluation can skip black pixels.

A pixel that is 0 in all rows of a batch adds nothing to X @ W, and its row of X.T @ dZ is 0; 81 %
of MNIST's pixels are 0. So columns are sorted by how rarely they are live (above 0), and rows so
that neighbours have the same black columns. A layout is computed once and stored with the data set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Arrays, Indices, Pixels
from mlp_core.dataset import Dataset, Split
from mlp_core.errors import DatasetError

# Measured: larger blocks do not fit into the cache, and with smaller ones an evaluation in a thread
# competes for the interpreter lock more often. It is not a power of two, because the rows of a
# block's outputs would then start in the same few sets of the cache.
BLOCK_ROWS = 1000

OWN_ARRAYS = ("order", "shares", "images", "labels")
BLOCK_ARRAYS = ("labels", "pixels", "columns", "widths")
SPLITS = ("train", "test")
BYTE_ARRAYS = ("images", "labels", "pixels")  # shares are float64, all other arrays intp


class Block(NamedTuple):
    """Some rows of a split, without the columns that are black in all of them."""

    labels: Pixels  # (rows,)
    pixels: Pixels  # (rows, live columns)
    columns: NDArray[np.int64]  # (live columns,)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A whole split as blocks; all arrays are flat, so that files can hold them."""

    labels: Pixels  # (rows,)
    pixels: Pixels
    columns: NDArray[np.int64]
    widths: NDArray[np.int64]  # (blocks,), the number of live columns of each

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.labels)

    @property
    def count(self) -> int:
        """The number of blocks."""
        return len(self.widths)

    def check(self, n_in: int) -> None:
        """Check that the arrays hold blocks of BLOCK_ROWS rows of images with n_in columns.

        Raises:
            DatasetError: they do not.

        """
        rows = np.diff([*range(0, len(self), BLOCK_ROWS), len(self)])
        if len(rows) != self.count:
            raise DatasetError("blocks", len(rows), self.count)
        sizes = int(self.widths.sum()), int(self.widths @ rows)
        if sizes != (len(self.columns), len(self.pixels)):
            raise DatasetError("columns and pixels", sizes, (len(self.columns), len(self.pixels)))
        if not np.isin(self.columns, np.arange(n_in)).all():
            raise DatasetError("columns", f"0 to {n_in - 1}", self.columns)

    def __iter__(self) -> Iterator[Block]:
        row = column = pixel = 0
        for width in self.widths.tolist():
            labels = self.labels[row : row + BLOCK_ROWS]
            size = len(labels) * width
            pixels = self.pixels[pixel : pixel + size].reshape(len(labels), width)
            yield Block(labels, pixels, self.columns[column : column + width])
            row, column, pixel = row + BLOCK_ROWS, column + width, pixel + size


@dataclass(frozen=True, eq=False)
class DataLayout:
    """The arrays of a data set that a run reads; all of them may be memory-mapped.

    A place is a column's position in the layout; rarely live columns have the first places.
    """

    ARRAY_NAMES: ClassVar = (*OWN_ARRAYS, *(f"{s}.{name}" for s in SPLITS for name in BLOCK_ARRAYS))
    """The names that `arrays` gives; files of stored layouts carry them."""

    order: Indices  # (n_in,), which column of the images is at each place
    shares: NDArray[np.float64]  # (n_in,), fraction of training images in which a place is live
    images: Pixels  # (n, n_in), the training images with columns at their places
    labels: Pixels  # (n,)
    train: Blocks
    test: Blocks

    @property
    def block_count(self) -> int:
        return self.train.count + self.test.count

    def blocks(self) -> Iterator[Block]:
        """The blocks of the training split, then those of the test split."""
        return chain(self.train, self.test)

    def arrays(self) -> Arrays:
        """All arrays by name, not copied."""
        own = {name: getattr(self, name) for name in OWN_ARRAYS}
        return own | {
            f"{split}.{name}": getattr(getattr(self, split), name)
            for split in SPLITS
            for name in BLOCK_ARRAYS
        }

    def row_order(self, split: Split) -> Indices:
        """Return which row of a split, whose blocks are `train` or `test`, is at each place."""
        return similar_rows(Split(_reordered(split.images, self.order), split.labels))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the layout that these arrays, named as in ARRAY_NAMES, hold; not copied.

        Raises:
            DatasetError: they do not belong together, or have blocks of another size.

        """
        # Indexing a memory-mapped array takes five times as long as indexing a plain one.
        plain = {name: np.asarray(array) for name, array in arrays.items()}
        _check_types(plain)
        n_in = len(plain["shares"])
        if not np.array_equal(np.sort(plain["order"]), np.arange(n_in)):
            raise DatasetError("order", "each column once", plain["order"])
        train, test = (
            Blocks(*(plain[f"{split}.{name}"] for name in BLOCK_ARRAYS)) for split in SPLITS
        )
        train.check(n_in)
        test.check(n_in)
        if not plain["images"].shape == (len(plain["labels"]), n_in) == (len(train), n_in):
            raise DatasetError("images", f"({len(train)}, {n_in})", plain["images"].shape)
        return cls(**{name: plain[name] for name in OWN_ARRAYS}, train=train, test=test)


def _check_types(arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        *_, kind = name.split(".")
        expected = np.uint8 if kind in BYTE_ARRAYS else np.float64 if kind == "shares" else np.intp
        if array.dtype != expected:
            raise DatasetError(name, np.dtype(expected), array.dtype)


def lay_out(dataset: Dataset) -> DataLayout:
    """Return the layout of a data set: 0.5 s for MNIST, and copies of 1.5 times its size."""
    train, test = dataset.train, dataset.test
    shares = _live_counts(train.images) / len(train)
    order = np.argsort(shares, kind="stable")
    images = _reordered(train.images, order)
    return DataLayout(
        order,
        shares[order],
        images,
        train.labels,
        in_blocks(Split(images, train.labels)),
        in_blocks(Split(_reordered(test.images, order), test.labels)),
    )


def _reordered(images: Pixels, order: Indices) -> Pixels:
    return np.concatenate([np.take(chunk, order, axis=1) for chunk in _chunks(images)])


def in_blocks(split: Split) -> Blocks:
    """Return a split with similar rows next to each other, in blocks with few live columns."""
    order = similar_rows(split)
    pixels, columns = [], []
    for start in range(0, len(split), BLOCK_ROWS):
        rows = split.images[order[start : start + BLOCK_ROWS]]
        live = np.flatnonzero(np.bitwise_or.reduce(rows, axis=0))
        pixels.append(np.take(rows, live, axis=1).reshape(-1))
        columns.append(live)
    widths = np.array([len(live) for live in columns])
    return Blocks(split.labels[order], np.concatenate(pixels), np.concatenate(columns), widths)


def similar_rows(split: Split) -> Indices:
    """Return an order of the rows in which neighbours together have few live columns.

    A single row makes a column live, so rows with the same unusual pixel belong together: rows are
    sorted by label, then by the rarest of their live columns. A block of 1000 rows of MNIST has 388
    live columns then; it has 520 if sorted by label alone, and 604 in the order of the file.
    """
    groups = [np.flatnonzero(split.labels == label) for label in np.unique(split.labels)]
    return np.concatenate([rows[_by_rarest_column(split.images[rows])] for rows in groups])


def _by_rarest_column(images: Pixels) -> Indices:
    rarity = np.empty(images.shape[1], np.uint16)
    rarity[np.argsort(-_live_counts(images), kind="stable")] = np.arange(len(rarity)) + 1
    rarest = [np.multiply(chunk != 0, rarity).max(axis=1) for chunk in _chunks(images)]
    return np.argsort(np.concatenate(rarest), kind="stable")


def _live_counts(images: Pixels) -> Indices:
    """Return the number of rows in which each column is above 0."""
    counts = [np.add.reduce(chunk != 0, axis=0, dtype=np.intp) for chunk in _chunks(images)]
    total: Indices = np.sum(counts, axis=0)
    return total


def _chunks(images: Pixels) -> list[Pixels]:
    """Split the rows into parts that fit into the cache."""
    return np.split(images, range(256, len(images), 256))
