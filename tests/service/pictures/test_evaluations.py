"""Pictures of evaluations: which colours, numbers and names they have, with 2 to 256 classes."""

import io
import re
from html import unescape

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.inference.calibration import Bin
from service.pictures import (
    confused_pairs,
    confusion,
    drawing,
    misread_sheet,
    reliability,
    typeface,
)
from service.pictures.palette import PAPER, Theme

Pixels = NDArray[np.uint8]


def pixels(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)))


def words(svg: bytes) -> list[str]:
    return [unescape(it) for it in re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())]


def counts(classes: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(classes)
    found: NDArray[np.int64] = rng.poisson(0.7, (classes, classes)) + 90 * np.eye(
        classes, dtype=int
    )
    found[0, 1] = 50
    return found


def cell_colours(svg: bytes) -> list[str]:
    """Return the colours of the cells, row by row, which come after the paper."""
    return re.findall(r'<rect[^>]*fill="(#\w+)"', svg.decode())[1:]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("classes", [2, 10, 30, 256])
def test_a_matrix_of_any_size_is_drawn_in_a_picture_of_usual_size(
    classes: int, theme: Theme
) -> None:
    names = [f"class {k}" for k in range(classes)]
    picture = pixels(confusion.draw(counts(classes), names, "title", theme=theme))
    assert 200 < picture.shape[0] < 1400
    assert 200 < picture.shape[1] < 1400
    assert tuple(picture[0, 0]) == PAPER[theme]
    svg = confusion.draw(counts(classes), names, "title", format="svg", theme=theme)
    assert len(svg) < 400_000
    numbers = [word for word in words(svg) if word.isdecimal()]
    assert (len(numbers) > classes) == (classes <= 30), "only colours if there are too many"
    shown = {word for word in words(svg) if word.startswith("class")}
    assert len(shown) >= min(classes, 50)


def test_mistakes_have_a_logarithmic_scale_without_the_diagonal() -> None:
    matrix = np.array([[9000, 1, 10], [100, 9000, 0], [0, 0, 9000]])
    svg = confusion.draw(matrix, ["a", "b", "c"], "", format="svg")
    colours = cell_colours(svg)[:9]
    assert colours[0] == colours[4] == colours[8]
    one, ten, hundred = ([int(colours[k][at : at + 2], 16) for at in (1, 3, 5)] for k in (1, 2, 3))
    for weak, middle, strong in zip(one, ten, hundred, strict=True):
        assert middle == pytest.approx((weak + strong) / 2, abs=1), "1, 10 and 100 are equally far"
    assert colours[5] == colours[6], "no mistake has no part in the scale"
    assert colours[5] not in colours[1:4]


def test_shares_are_of_rows_or_of_columns() -> None:
    matrix = np.array([[3, 1], [0, 0]])
    assert confusion.shares(matrix, "actual").tolist() == [[0.75, 0.25], [0, 0]]
    assert confusion.shares(matrix, "predicted").tolist() == [[1, 1], [0, 0]]
    assert "25" in words(confusion.draw(matrix, ["a", "b"], "", format="svg", share="actual"))


def test_a_matrix_without_mistakes_has_no_scale() -> None:
    written = words(confusion.draw(np.eye(3, dtype=int) * 5, list("abc"), "", format="svg"))
    assert "mistakes" not in written


@pytest.mark.parametrize(
    ("name", "in_png"),
    [("кошка", "кошка"), ("Ω", "Ω"), ("crème", "crème"), ("中", "2"), ("あ", "2"), ("👩‍🚀", "2")],
)
def test_a_png_shows_the_number_of_a_class_whose_name_it_cannot_write(
    name: str, in_png: str
) -> None:
    names = ["a", "b", name]
    assert drawing.named(names, "png")[2] == in_png
    assert drawing.named(names, "svg")[2] == name
    assert name in words(confusion.draw(counts(3), names, "", format="svg"))


def test_a_name_is_one_line_and_no_markup() -> None:
    names = ["<b>&", "two\nlines\x07", "x" * 300]
    written = words(confusion.draw(counts(3), names, "", format="svg"))
    assert {"<b>&", "two lines"} <= set(written)
    longest = max(written, key=len)
    assert longest.endswith("…")
    assert typeface.width(longest, 15) <= confusion.LONGEST_NAME
    assert b"<b>" not in confusion.draw(counts(3), names, "", format="svg")


def test_a_reliability_diagram_has_a_bar_for_each_interval_with_rows() -> None:
    bins = [Bin(0, 0.5, 0, None, None), Bin(0.5, 1, 40, 0.9, 0.6)]
    svg = reliability.draw(bins, 0.3, format="svg").decode()
    assert {"Expected calibration error 30.00 %", "40 images:"} <= set(words(svg.encode()))
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="(\d+)" height="([\d.]+)"', svg)
    wide = [tuple(map(float, it)) for it in bars if 150 < float(it[2]) < 300]
    side = reliability.SIDE
    accuracy, gap, count = wide
    assert (accuracy[3], gap[3]) == pytest.approx((0.6 * side, 0.3 * side))
    assert accuracy[0] == gap[0] == count[0] == reliability.LEFT + side / 2 + 1
    assert pixels(reliability.draw(bins, 0.3, theme="dark")).shape == (590, 500, 3)


def test_images_stand_above_how_they_are_read() -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    short = pixels(misread_sheet.draw(images, [("4", "9", 0.98)] * 3, columns=2, tile=84))
    long = pixels(
        misread_sheet.draw(images, [("Ankle boot", "Sneaker", 0.98)] * 3, columns=2, tile=84)
    )
    assert long.shape[0] == short.shape[0] + 2 * misread_sheet.LINE, "two lines in two rows"
    enlarged = images[0].repeat(3, axis=0).repeat(3, axis=1)
    assert (short[8 : 8 + 84, 8 : 8 + 84, 0] == enlarged).all()
    coloured = np.stack([images, images // 2, images], axis=-1)
    sheet = pixels(misread_sheet.draw(coloured, [("4", "9", 0.98)] * 3, columns=2, tile=28))
    assert (sheet[8:36, 8:36] == coloured[0]).all()


def test_each_pair_of_classes_has_its_image_in_its_cell() -> None:
    image = np.full((28, 28), 255, np.uint8)
    empty = pixels(confused_pairs.draw({}, ["a", "b", "c"], 28)).astype(int)
    one = pixels(confused_pairs.draw({(0, 2): image}, ["a", "b", "c"], 28)).astype(int)
    rows, columns = np.nonzero((one != empty).any(axis=2))
    assert (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) == (28, 28)
    left = one.shape[1] - confused_pairs.EDGE - 3 * 29
    assert columns.min() == left + 2 * 29
    assert rows.max() < one.shape[0] - 2 * 29
