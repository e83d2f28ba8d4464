"""Buffers that are plainly not grey bytes are recognised, and no grey picture is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.api.pixel_plausibility import other_reading
from tests.support.drawn_digits import mnist, seven

Grey = NDArray[np.uint8]


def transparent(ink: Grey, colour: tuple[int, int, int]) -> Grey:
    """Return pixels as a canvas has them: a pen of one colour on nothing."""
    pixels = np.zeros((*ink.shape, 4), np.uint8)
    pixels[ink > 0, :3] = colour
    pixels[..., 3] = ink
    return pixels


def pen(ink: Grey, colour: tuple[int, int, int]) -> Grey:
    share = ink[..., None] / 255
    return np.rint(255 * (1 - share) + np.array(colour) * share).astype(np.uint8)


def opaque(colours: Grey) -> Grey:
    return np.concatenate([colours, np.full((*colours.shape[:-1], 1), 255, np.uint8)], -1)


def rgb(ink: Grey) -> Grey:
    return np.repeat(ink[..., None], 3, -1)


def red(ink: Grey) -> Grey:
    return np.stack([np.full_like(ink, 255), 255 - ink, 255 - ink], -1)


BUFFERS: dict[str, tuple[Callable[[Grey], Any], str]] = {
    "float32": (lambda ink: (ink / 255).astype("<f4"), "float32; declare it with ?dtype=float32"),
    "float32 of 0 and 1": (lambda ink: (ink > 127).astype("<f4"), "?dtype=float32"),
    "float32 0-255": (lambda ink: ink.astype("<f4"), "?dtype=float32"),
    "float32 inverted": (lambda ink: (1 - ink / 255).astype("<f4"), "?dtype=float32"),
    "float32 standardised": (
        lambda ink: ((ink / 255 - 0.1307) / 0.3081).astype("<f4"),
        "?dtype=float32",
    ),
    "float32, big-endian": (lambda ink: (ink / 255).astype(">f4"), "?dtype=>f4"),
    "float64": (lambda ink: ink / 255, "?dtype=float64"),
    "float64 of 0 and 1": (lambda ink: (ink > 127).astype("<f8"), "?dtype=float64"),
    "float64, big-endian": (lambda ink: (ink / 255).astype(">f8"), "?dtype=>f8"),
    "float16": (lambda ink: (ink / 255).astype("<f2"), "?dtype=float16"),
    "int64": (lambda ink: ink.astype("<i8"), "?dtype=int64"),
    "int64, big-endian": (lambda ink: ink.astype(">i8"), "?dtype=>i8"),
    "int32": (lambda ink: ink.astype("<i4"), "?dtype=int32"),
    "int32 of 0 and 1": (lambda ink: (ink > 127).astype("<i4"), "?dtype=int32"),
    "int16": (lambda ink: ink.astype("<i2"), "?dtype=int16"),
    "uint16, big-endian": (lambda ink: ink.astype(">u2"), "?dtype=>i2"),
    "RGB": (rgb, "?shape=28,28,3"),
    "RGB, dark on light": (lambda ink: 255 - rgb(ink), "?shape=28,28,3"),
    "RGB, red on white": (red, "?shape=28,28,3"),
    "RGB, blue on white": (lambda ink: pen(ink, (30, 40, 120)), "?shape=28,28,3"),
    "RGBA": (lambda ink: opaque(rgb(ink)), "?shape=28,28,4"),
    "RGBA, red on white": (lambda ink: opaque(red(ink)), "?shape=28,28,4"),
    "RGBA, black on nothing": (lambda ink: transparent(ink, (0, 0, 0)), "?shape=28,28,4"),
    "RGBA, white on nothing": (lambda ink: transparent(ink, (255, 255, 255)), "?shape=28,28,4"),
    "RGBA, blue on nothing": (lambda ink: transparent(ink, (30, 40, 120)), "?shape=28,28,4"),
}


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_of_another_kind_is_recognised_with_what_to_declare(name: str, count: int) -> None:
    make, remedy = BUFFERS[name]
    ink = mnist("t10k")[[0, 1, 2, 3, 5, 18, 61]][:count]  # these have pixels of 255
    found = other_reading(np.ascontiguousarray(make(ink)).tobytes())
    assert found is not None
    assert remedy in found


@pytest.mark.parametrize(
    ("size", "make", "remedy"),
    [
        (280, lambda grey: grey, "one picture of 280x280; declare it with ?shape=280,280"),
        (280, rgb, "?shape=280,280,3"),
        (280, lambda grey: (grey / 255).astype("<f4"), "?dtype=float32&shape=280,280"),
        (300, lambda grey: opaque(rgb(grey)), "?shape=300,300,4"),
    ],
)
def test_one_large_picture_is_recognised(
    size: int, make: Callable[[Grey], Any], remedy: str
) -> None:
    page = np.asarray(seven((size, size), (size * 0.5, 30, size * 0.8, size - 40), size // 12))
    found = other_reading(make(page).tobytes())
    assert found is not None
    assert found.endswith(remedy)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda ink: opaque(pen(ink, (0, 0, 0))), "?shape=560,560,4"),
        (lambda ink: opaque(pen(ink, (200, 0, 60))), "?shape=560,560,4"),
        (lambda ink: transparent(ink, (0, 0, 0)), "?shape=560,560,4"),
        (rgb, "?shape=560,560,3"),
        (lambda ink: pen(ink, (30, 40, 120)), "?shape=560,560,3"),
        (lambda ink: (ink / 255).astype("<f4"), "?dtype=float32&shape=560,560"),
        (lambda ink: (1 - ink / 255).astype("<f4"), "?dtype=float32&shape=560,560"),
        (lambda ink: ink, "one picture of 560x560; declare it with ?shape=560,560"),
        (lambda ink: 255 - ink, "one picture of 560x560; declare it with ?shape=560,560"),
    ],
)
def test_a_large_canvas_is_recognised_although_it_begins_with_a_blank_margin(
    make: Callable[[Grey], Any], remedy: str
) -> None:
    canvas = np.asarray(seven((560, 560), (200, 200, 360, 400), 36))
    found = other_reading(make(canvas).tobytes())
    assert found is not None
    assert found.endswith(remedy)


@pytest.mark.parametrize("shape", [(56, 84), (84, 56), (98, 80), (420, 560), (640, 392)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_grey_canvas_that_is_not_square_is_recognised(
    shape: tuple[int, int], inverted: bool
) -> None:
    height, width = shape
    box = (width * 0.3, height * 0.2, width * 0.7, height * 0.8)
    canvas = np.asarray(seven((width, height), box, max(3, width // 14)))
    found = other_reading((255 - canvas if inverted else canvas).tobytes())
    assert found == f"one picture of {height}x{width}; declare it with ?shape={height},{width}"


def test_the_same_digit_many_times_is_not_taken_for_one_picture() -> None:
    for digit in mnist("t10k")[:200]:
        for count in (2, 3, 6, 24, 96):
            assert other_reading(digit.tobytes() * count) is None


def test_several_pictures_may_also_be_one_that_is_not_square() -> None:
    canvas = np.asarray(seven((560, 420), (200, 100, 360, 300), 36))
    for pixels, remedy in (
        (opaque(pen(canvas, (0, 0, 0))), "or with ?shape=HEIGHT,WIDTH,4"),
        ((canvas / 255).astype("<f4"), "or with ?dtype=float32&shape=HEIGHT,WIDTH"),
    ):
        assert str(other_reading(pixels.tobytes())).endswith(remedy)


@pytest.mark.parametrize("count", [96, 10_000])
def test_no_batch_of_mnist_is_taken_for_anything_else(count: int) -> None:
    """All 70 000 images, as they are and inverted."""
    images = np.concatenate([mnist("train"), mnist("t10k")])
    for start in range(0, len(images), count):
        batch = images[start : start + count]
        assert other_reading(batch.tobytes()) is None, start
        assert other_reading((255 - batch).tobytes()) is None, start


@pytest.mark.parametrize("count", [2, 3, 4, 8, 9, 16])
def test_no_small_batch_of_mnist_is_taken_for_anything_else(count: int) -> None:
    images = mnist("t10k")
    for start in range(0, len(images), 4 * count):
        assert other_reading(images[start : start + count].tobytes()) is None, start


@pytest.mark.parametrize("count", [2, 3, 4, 8, 12, 16, 36])
def test_no_noise_is_taken_for_anything_else(count: int) -> None:
    random = np.random.default_rng(count)
    shape = (count, 28, 28)
    for _ in range(40):
        blocks = random.integers(0, 256, (count, 7, 7)).repeat(4, 1).repeat(4, 2)
        for noise in (
            random.integers(0, 256, shape),
            random.integers(0, 2, shape) * 255,
            random.integers(0, 2, shape) * 130 + 60,
            random.integers(40, 100, shape),
            random.normal(128, 10, shape).clip(0, 255),
            blocks,
        ):
            assert other_reading(noise.astype(np.uint8).tobytes()) is None


def test_blank_pictures_are_taken_for_nothing_else() -> None:
    for level in range(0, 256, 5):
        assert other_reading(bytes([level]) * 784 * 24) is None


@pytest.mark.parametrize("count", [5, 100, 4000])
@pytest.mark.parametrize("period", [28, 56, 112, 196, 392, 784])
def test_equal_pictures_with_stripes_are_not_one_large_picture(count: int, period: int) -> None:
    stripe = np.random.default_rng(period).integers(0, 256, period, np.uint8).tobytes()
    assert other_reading(stripe * (784 // period * count)) is None


@pytest.mark.parametrize(("height", "width"), [(280, 280), (392, 392), (560, 420), (280, 196)])
def test_a_canvas_with_a_straight_bar_is_one_picture(height: int, width: int) -> None:
    canvas = np.zeros((height, width), np.uint8)
    canvas[height // 5 : -height // 5, width // 2 - 10 : width // 2 + 10] = 255
    found = other_reading(canvas.tobytes())
    assert found is not None
    assert f"one picture of {height}x{width}" in found
