"""Connected shapes of ink are found, and those that are no digit are left out."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.inference import ink_shapes

Ink = NDArray[np.float32]


def filled(ink: Ink) -> set[frozenset[tuple[int, int]]]:
    """Find the shapes of inked cells by filling one after the other."""
    left, shapes = {(int(row), int(column)) for row, column in np.argwhere(ink > 0)}, set()
    while left:
        shape, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            shape.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        shapes.add(frozenset(shape))
    return shapes


def cells(shape: ink_shapes.Shape) -> frozenset[tuple[int, int]]:
    rows, columns = shape.cells
    return frozenset(zip(rows.tolist(), columns.tolist(), strict=True))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 1.0])
@pytest.mark.parametrize("size", [(1, 12), (9, 1), (12, 12), (64, 48)])
def test_cells_that_touch_even_at_a_corner_are_one_shape(
    size: tuple[int, int], share: float
) -> None:
    ink = (np.random.default_rng(size).random(size) < share).astype(np.float32)
    ink[0, 0] = 1
    expected = filled(ink)
    heaviest = max(map(len, expected))
    found = ink_shapes.find(ink, 0.5)
    assert {cells(shape) for shape in found} == {s for s in expected if len(s) >= 0.05 * heaviest}
    assert [shape.mass for shape in found] == sorted(map(len, map(cells, found)), reverse=True)


def test_a_spiral_is_one_shape() -> None:
    picture = Image.new("F", (41, 41))
    draw = ImageDraw.Draw(picture)
    for ring in range(0, 18, 4):  # each ring is open at the top right, where it meets the next
        low, high = ring, 40 - ring
        path = [(low, low), (low, high), (high, high), (high, low + 4), (low + 4, low + 4)]
        draw.line(path, 1.0)
    (shape,) = ink_shapes.find(np.asarray(picture), 0.5)
    assert shape.mass == np.asarray(picture).sum()


def test_frames_specks_and_faint_shapes_are_left_out() -> None:
    picture = Image.new("F", (60, 60))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((2, 2, 57, 57), outline=200.0, width=2)
    draw.rectangle((20, 20, 24, 40), 200.0)
    draw.rectangle((30, 10, 36, 40), 50.0)
    draw.rectangle((45, 45, 46, 46), 200.0)
    (shape,) = ink_shapes.find(np.asarray(picture), 20)
    assert cells(shape) == {(row, column) for row in range(20, 41) for column in range(20, 25)}


def test_a_frame_alone_is_kept() -> None:
    picture = Image.new("F", (60, 60))
    ImageDraw.Draw(picture).rectangle((2, 2, 57, 57), outline=200.0)
    assert [shape.size for shape in ink_shapes.find(np.asarray(picture), 20)] == [4 * 55]


@pytest.mark.parametrize(("second", "beside"), [((30, 10, 40, 40), True), ((5, 50, 30, 55), False)])
def test_only_shapes_that_share_no_column_are_side_by_side(
    second: tuple[int, int, int, int], beside: bool
) -> None:
    picture = Image.new("F", (60, 60))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10, 10, 20, 40), 200.0)
    draw.rectangle(second, 200.0)
    shapes = ink_shapes.find(np.asarray(picture), 20)
    assert len(shapes) == 2
    assert ink_shapes.side_by_side(shapes) == beside
