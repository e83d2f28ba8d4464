"""The weights between two layers as a matrix with numbered rows and columns."""

import io
import tracemalloc
from itertools import pairwise
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.pictures.weight_matrix import draw

SVG = "{http://www.w3.org/2000/svg}"
OPTIONS: Any = {"title": "Layer 2", "inputs": "units of layer 1"}


def pixels(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def texts(W: NDArray[np.float32], **options: Any) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(draw(W, **(OPTIONS | options), format="svg"))
    return list(root.iter(f"{SVG}text"))


def test_a_weight_is_drawn_where_its_row_and_column_are_numbered() -> None:
    W = np.zeros((10, 64), np.float32)
    W[7, 20] = 3
    picture = pixels(draw(W, **OPTIONS))
    blue = mpl.colormaps["RdBu"](255, bytes=True)[:3]
    rows, columns = np.nonzero((np.abs(picture - blue) <= 1).all(axis=2))
    in_matrix = rows < picture.shape[0] - 50  # below lie the numbers and the bar
    row, column = rows[in_matrix].mean(), columns[in_matrix].mean()
    found = texts(W)
    [seven] = [it for it in found if it.text == "7" and it.attrib["text-anchor"] == "end"]
    [twenty] = [it for it in found if it.text == "20" and it.attrib["text-anchor"] == "middle"]
    assert float(seven.attrib["y"]) == pytest.approx(row, abs=5)
    assert float(twenty.attrib["x"]) == pytest.approx(column, abs=2)


@pytest.mark.parametrize(("shape", "first"), [((10, 128), 0), ((300, 40), 100), ((7, 2000), 33)])
def test_round_numbers_stand_far_enough_apart_to_be_read(
    shape: tuple[int, int], first: int
) -> None:
    found = texts(np.ones(shape, np.float32), first=first)
    rows = [it for it in found if it.attrib["text-anchor"] == "end" and it.text != "-1"]
    columns = [it for it in found if it.attrib["text-anchor"] == "middle"][:-1]
    assert first <= int(rows[0].text or "") < int(rows[-1].text or "") < first + shape[0]
    for labels, axis, room in ((rows, "y", 10), (columns, "x", 20)):
        places = [float(it.attrib[axis]) for it in labels]
        assert min(after - before for before, after in pairwise(places)) >= room
        steps = {int(b.text or "") - int(a.text or "") for a, b in pairwise(labels)}
        assert len(steps) == 1


def test_a_narrow_matrix_has_no_numbers_and_a_title_that_fits() -> None:
    found = texts(np.ones((3, 4), np.float32), longer_side=60, title="Layer 2: 3 units")
    assert [it.text for it in found] == ["Layer 2: …"]


@pytest.mark.parametrize("fill", [0, np.nan, np.inf, 3e38, 1e-45])
@pytest.mark.parametrize("format", ["png", "svg"])
@pytest.mark.parametrize("side", [None, 8, 512])
def test_any_weight_can_be_drawn(
    fill: float, format: Literal["png", "svg"], side: int | None
) -> None:
    W = np.full((3, 28), fill, np.float32)
    assert draw(W, **OPTIONS, longer_side=side, format=format)
    assert draw(W.T, **OPTIONS, longer_side=side, format=format, theme="dark")


def test_a_matrix_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="no weights"):
        draw(np.zeros((0, 4), np.float32), **OPTIONS)


def test_a_large_matrix_is_drawn_without_a_large_copy() -> None:
    W = np.random.default_rng(0).random((1000, 4000), np.float32)
    draw(W[:2, :2], **OPTIONS)
    tracemalloc.start()
    try:
        draw(W, **OPTIONS)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What Pillow holds is not counted; the coloured matrix alone would be 12 MB.
    assert most < 60_000_000


def words(shape: tuple[int, int] = (3, 4), **options: Any) -> list[str | None]:
    return [it.text for it in texts(np.zeros(shape, np.float32), **options)]


def test_rows_and_columns_that_have_names_are_named() -> None:
    rows, columns = ["setosa", "中文", "virginica"], ["length", "width", "depth", "age"]
    named = words(row_names=rows, column_names=columns)
    assert named[1:9] == [*rows, *columns, "units of layer 1"]
    assert words()[1:9] == ["0", "1", "2", "0", "1", "2", "3", "units of layer 1"]


def test_names_without_room_give_way_to_numbers() -> None:
    small = words(row_names=["a", "b", "c"], column_names=["d", "e", "f", "g"], longer_side=100)
    assert {"a", "b", "c"} <= set(small)
    assert not {"d", "e", "f", "g"} & set(small)
    low = words((200, 90), row_names=[f"row {k}" for k in range(200)], longer_side=400)
    assert "row 1" not in low
    assert "100" in low
