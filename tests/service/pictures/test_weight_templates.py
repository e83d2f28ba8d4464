"""Weight templates: red below zero, blue above, each weight at its place."""

import base64
import io
import tracemalloc
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.pictures import contact_sheet, tile_grid
from service.pictures.weight_templates import draw

SVG = "{http://www.w3.org/2000/svg}"


def pixels(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def one(weights: Any, **options: Any) -> NDArray[Any]:
    """The colours of a single tile with one pixel for each weight, without its margin."""
    weights = np.array(weights, np.float32)
    picture = pixels(draw(weights[None], tile_size=max(weights.shape), **options))
    gap = (picture.shape[0] - weights.shape[0]) // 2
    return picture[gap : gap + weights.shape[0], gap : gap + weights.shape[1]]


def test_colours_are_those_of_matplotlibs_rdbu() -> None:
    weights = np.linspace(-3, 3, 256, dtype=np.float32).reshape(16, 16)
    expected = (
        mpl.colormaps["RdBu"](np.arange(256), bytes=True)[:, :3].reshape(16, 16, 3).astype(int)
    )
    assert np.abs(one(weights) - expected).max() <= 1


def test_zero_is_white_and_the_ends_are_red_and_blue() -> None:
    zero, low, high = one([[0.0, -2.0, 2.0]])[0]
    assert zero.min() > 240
    assert low[0] > 2 * low[2]
    assert high[2] > 2 * high[0]


def test_the_scale_is_symmetric_when_the_weights_are_not() -> None:
    zero, _, faint = one([[0.0, -4.0, 0.04]])[0]
    assert zero.min() > 240
    assert faint.min() > 230


def test_a_shared_scale_makes_tiles_comparable_and_separate_scales_do_not() -> None:
    weights = np.stack([np.full((4, 4), 0.1), np.full((4, 4), 10)]).astype(np.float32)
    options: Any = {"tile_size": 4, "columns": 2}
    shared = pixels(draw(weights, scale="shared", **options))
    each = pixels(draw(weights, scale="each", **options))
    assert shared[4, 3].min() > 230
    assert (each[4, 3] == shared[4, 9]).all()
    assert shared[4, 9].min() < 110


def test_ten_tiles_are_drawn_in_two_rows_of_five_in_order() -> None:
    weights = np.full((10, 28, 28), -1, np.float32)
    for k in range(10):
        weights[k, 0, k] = 1  # tile k has its only blue weight in column k of its first row
    picture = pixels(draw(weights, tile_size=28))
    blue = np.argwhere(picture[..., 2] > picture[..., 0] + 50)
    steps_down, steps_right = (np.unique(np.sort(axis)) for axis in blue.T)
    assert len(blue) == 10
    assert len(steps_down) == 2
    first = blue[:5]
    distances = np.diff(first[:, 1])
    assert (distances == distances[0]).all()
    assert distances[0] > 28
    assert len(steps_right) == 10


def test_ten_templates_are_drawn_at_112_pixels_with_their_titles_above() -> None:
    weights = np.zeros((10, 28, 28), np.float32)
    bare, titled = (
        pixels(draw(weights, titles=titles)).shape
        for titles in (None, [f"Digit {k}" for k in range(10)])
    )
    assert bare[1] == titled[1] > 5 * 112
    assert titled[0] > bare[0] > 2 * 112


def test_a_caption_above_the_tiles_moves_nothing_else() -> None:
    weights = np.random.default_rng(0).normal(size=(40, 28, 28)).astype(np.float32)
    bare, written = (pixels(draw(weights, captions=texts)) for texts in ([], ["40 units"]))
    above = len(written) - len(bare)
    assert above > 10
    assert (written[above:] == bare)[12:].all()
    assert (written[: above + 12] < 128).any()


def test_a_caption_wider_than_the_tiles_is_left_out() -> None:
    weights = np.zeros((1, 28, 28), np.float32)
    options: Any = {"tile_size": 28}
    assert draw(weights, captions=["c" * 40], **options) == draw(weights, **options)


def test_the_first_caption_that_fits_is_written() -> None:
    weights = np.zeros((4, 28, 28), np.float32)
    options: Any = {"tile_size": 28}
    chosen = draw(weights, captions=["c" * 40, "4 units", "4"], **options)
    assert chosen == draw(weights, captions=["4 units"], **options)
    assert chosen != draw(weights, captions=["4"], **options)


def test_a_bar_below_the_tiles_runs_from_the_lowest_weight_to_the_highest() -> None:
    weights = np.random.default_rng(0).normal(size=(10, 28, 28)).astype(np.float32)
    bare, barred = (pixels(draw(weights, colour_bar=bar)) for bar in (False, True))
    gap = 12
    assert (barred[: len(bare) - gap] == bare[:-gap]).all()
    colours = mpl.colormaps["RdBu"](np.arange(256), bytes=True)[:, :3].astype(int)
    [line] = [row for row in barred[len(bare) - gap :] if (row == colours[0]).all(axis=1).any()][:1]
    start = int(np.flatnonzero((line == colours[0]).all(axis=1))[0])
    bar = line[start : start + 128]
    assert np.abs(bar - colours[np.linspace(0, 255, 128).round().astype(int)]).max() <= 1


@pytest.mark.parametrize(("scale", "ends"), [("shared", ["-4", "4"]), ("each", ["-max", "max"])])
def test_the_bar_names_the_weights_at_its_ends_if_they_are_the_same_for_all(
    scale: Literal["shared", "each"], ends: list[str]
) -> None:
    weights = np.zeros((10, 28, 28), np.float32)
    weights[3, 2, 1], weights[4, 0, 0] = -4, 1.25
    found = draw(weights, colour_bar=True, scale=scale, format="svg")
    assert [text.text for text in ElementTree.fromstring(found).iter(f"{SVG}text")] == ends


def test_a_picture_without_room_has_no_bar() -> None:
    weights = np.zeros((2, 28, 28), np.float32)
    options: Any = {"tile_size": 28}
    assert draw(weights, colour_bar=True, **options) == draw(weights, **options)


def test_128_tiles_form_a_grid_twice_as_wide_as_high() -> None:
    height, width, _ = pixels(draw(np.zeros((128, 28, 28), np.float32))).shape
    assert 1.9 < width / height < 2.1


def test_weights_stay_sharp_squares_when_enlarged() -> None:
    weights = np.random.default_rng(0).normal(size=(1, 4, 4)).astype(np.float32)
    picture = pixels(draw(weights, tile_size=40))
    gap = (picture.shape[0] - 40) // 2
    inner = picture[gap : gap + 40, gap : gap + 40].reshape(4, 10, 4, 10, 3)
    assert (inner == inner[:, :1, :, :1]).all()


def test_a_wide_matrix_keeps_its_shape_and_a_pixel_for_each_weight() -> None:
    height, width, _ = pixels(draw(np.zeros((1, 10, 2000), np.float32))).shape
    assert width >= 2000
    assert height < 60


@pytest.mark.parametrize("fill", [0, np.nan, np.inf, -np.inf, 3e38, 1e-45])
@pytest.mark.parametrize("format", ["png", "svg"])
def test_any_weight_can_be_drawn(fill: float, format: Literal["png", "svg"]) -> None:
    assert draw(np.full((3, 28, 28), fill, np.float32), format=format)


def test_weights_that_are_not_finite_are_grey_and_do_not_change_the_scale() -> None:
    nan, inf, low, zero = one([[np.nan, np.inf, -1.0, 0.0]])[0]
    assert (nan == 128).all()
    assert (inf == 128).all()
    assert low[0] > 2 * low[2]
    assert zero.min() > 240


def test_an_empty_array_of_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="no weights"):
        draw(np.zeros((1, 0, 28), np.float32))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_svg_embeds_the_same_picture_and_writes_titles_as_text(
    theme: Literal["light", "dark"],
) -> None:
    weights = np.random.default_rng(0).normal(size=(10, 28, 28)).astype(np.float32)
    titles = [f"<{k}> & co" for k in range(10)]
    root = ElementTree.fromstring(draw(weights, titles=titles, format="svg", theme=theme))
    (image,) = root.iter(f"{SVG}image")
    embedded = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    size = Image.open(io.BytesIO(embedded)).size
    assert size == (int(root.attrib["width"]), int(root.attrib["height"]))
    assert "pixelated" in image.attrib["style"]
    assert [text.text for text in root.iter(f"{SVG}text")] == titles


@pytest.mark.parametrize("title", ["数字 🙂", "x" * 500, "a\nb\x00", "", "\ud800"])
@pytest.mark.parametrize("format", ["png", "svg"])
def test_any_title_can_be_drawn(title: str, format: Literal["png", "svg"]) -> None:
    data = draw(np.zeros((2, 28, 28), np.float32), titles=[title] * 2, format=format)
    if format == "svg":
        ElementTree.fromstring(data)


def test_the_same_weights_give_the_same_bytes() -> None:
    weights = np.ones((10, 28, 28), np.float32)
    titles = [str(k) for k in range(10)]
    assert draw(weights, titles=titles) == draw(weights, titles=titles)


def test_a_contact_sheet_shows_each_image_white_on_black_over_its_label() -> None:
    images = np.zeros((7, 28, 28), np.uint8)
    images[3] = 255
    labelled = pixels(contact_sheet.draw(images, labels=list("0123456"), columns=3, tile_size=28))
    bare = pixels(contact_sheet.draw(images, columns=3, tile_size=28))
    assert labelled.shape[0] > bare.shape[0]
    white = np.argwhere((bare == 255).all(axis=-1))
    top, left = white.min(axis=0)
    assert len(white) == 28 * 28
    assert 28 < top < 56  # fourth of three columns: first in the second row
    assert left < 28


def test_a_single_image_is_encoded_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(contact_sheet.single(image)))) == image).all()
    assert Image.open(io.BytesIO(contact_sheet.single(image, tile_size=280))).size == (280, 280)


@pytest.mark.parametrize("weights", [(1, 40, 50), (3, 28, 28)])
def test_bands_of_any_height_give_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, weights: NDArray[np.float32]
) -> None:
    values = np.random.default_rng(0).normal(size=weights).astype(np.float32)
    values[0, 3, 3] = np.nan
    options: Any = {"tile_size": max(weights[1:])}
    whole = draw(values, **options)
    monkeypatch.setattr(tile_grid, "BAND", 110)
    assert draw(values, **options) == whole


def test_a_large_matrix_is_drawn_without_a_large_copy() -> None:
    weights = np.random.default_rng(0).random((1, 1000, 4000), np.float32)
    draw(weights[:, :2, :2])
    tracemalloc.start()
    try:
        draw(weights)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What Pillow holds is not counted; the coloured matrix alone would be 12 MB.
    assert most < 60_000_000
