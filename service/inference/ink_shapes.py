"""Finds the connected shapes of ink on a coarse grid, and which of them are a digit."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

LARGE = 32
"""A frame has more rows and columns of cells than this."""


@dataclass(frozen=True)
class Shape:
    """One connected shape."""

    cells: tuple[Indices, Indices]
    """The row and the column of each cell."""
    mass: float
    """The sum of its ink."""

    @property
    def size(self) -> int:
        return len(self.cells[0])


def find(ink: Floats, threshold: float) -> list[Shape]:
    """Return the shapes of ink (h, w) above a threshold, heaviest first.

    Specks and frames are left out, and so is what is faint compared with the digit: a shadow, or a
    ruled line.
    """
    found = list(_connected(ink, ink > threshold))
    inside = [shape for shape in found if not _is_frame(shape)]
    shapes = sorted(inside or found, key=lambda shape: -shape.mass)
    mass = shapes[0].mass
    faintest = 0.6 * mass / shapes[0].size
    return [s for s in shapes if s.mass >= max(0.05 * mass, faintest * s.size)]


def side_by_side(shapes: list[Shape]) -> bool:
    """Return whether two heavy shapes, of those sorted by mass, share no column.

    The separate bar of a 5 is above the rest of it; a second digit is to the left or right.
    """
    columns = [s.cells[1] for s in shapes if s.mass >= 0.3 * shapes[0].mass]
    spans = sorted((int(each.min()), int(each.max())) for each in columns)
    return any(a[1] < b[0] for a, b in itertools.pairwise(spans))


def _is_frame(shape: Shape) -> bool:
    """Return whether a shape fills all four corners of its large box, but little of the box."""
    if shape.size <= LARGE:
        return False
    rows, columns = shape.cells
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    height, width = len(set(rows.tolist())), len(set(columns.tolist()))
    if min(height, width) <= LARGE or shape.size >= 0.3 * height * width:
        return False
    corners = ((rows == top) | (rows == bottom)) & ((columns == left) | (columns == right))
    return int(corners.sum()) == 4


def _connected(ink: Floats, mask: NDArray[np.bool_]) -> Iterator[Shape]:
    """Yield the shapes of the cells that are true, each joined to its eight neighbours."""
    rows, columns = np.nonzero(mask)
    labels = _labels(mask)
    order = np.argsort(labels, kind="stable")
    for cells in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        here = rows[cells], columns[cells]
        yield Shape(here, float(ink[here].sum()))


def _labels(mask: NDArray[np.bool_]) -> Indices:
    """Return the number of the shape to which each true cell belongs, row by row.

    Horizontal runs of cells are joined to those that they touch in the row above.
    """
    stride = mask.shape[1] + 1
    edges = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (1, 1))), axis=1))
    starts, ends = edges[::2], edges[1::2]
    first = np.searchsorted(ends, starts - stride).tolist()
    last = np.searchsorted(starts, ends - stride, side="right").tolist()
    parents = list(range(len(starts)))
    for run, above in enumerate(map(range, first, last)):
        for other in above:
            parents[_root(parents, other)] = _root(parents, run)
    roots = [_root(parents, run) for run in range(len(parents))]
    return np.repeat(roots, ends - starts)


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]  # a shortcut for the next time
        run = parents[run]
    return run
