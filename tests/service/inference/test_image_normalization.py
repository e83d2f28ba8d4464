"""Any picture of a digit is brought into MNIST's form or refused as blank."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from service.domain.errors import BadImage
from service.inference import image_decoding, image_normalization
from tests.support.drawn_digits import encoded, likeness, mnist, normalized, outcome, seven


@pytest.fixture(scope="module")
def test_set() -> NDArray[np.uint8]:
    return mnist("t10k")


def assert_mnist_form(pixels: NDArray[np.uint8]) -> None:
    """Check the form in a slow and simple way, in float64."""
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    rows, columns = np.nonzero(pixels)
    assert np.ptp(rows) < 20
    assert np.ptp(columns) < 20
    y, x = np.mgrid[:28, :28]
    mass = pixels.astype(float)
    assert abs((mass * y).sum() / mass.sum() - 14) <= 0.55
    assert abs((mass * x).sum() / mass.sum() - 14) <= 0.55
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    assert np.median(border) == 0


def assert_mnist_form_for_good(result: Any) -> None:
    """Check that a picture has the form, and that normalising it again changes nothing."""
    assert_mnist_form(result.pixels)
    again = image_normalization.normalize(result.pixels)
    assert again.report.unchanged
    assert again.pixels is result.pixels


@pytest.mark.parametrize(("name", "count"), [("train", 60_000), ("t10k", 10_000)])
def test_no_image_of_mnist_changes(name: str, count: int) -> None:
    images = mnist(name)
    changed = [
        k
        for k, image in enumerate(images)
        if not image_normalization.normalize(image).report.unchanged
    ]
    assert (len(images), changed) == (count, [])
    assert all(image_normalization.normalize(image).pixels is image for image in images[:100])


def test_a_batch_of_pictures_gets_the_same_verdicts_as_each_picture_alone(
    test_set: NDArray[np.uint8],
) -> None:
    rng = np.random.default_rng(3)
    odd = [np.roll(image, rng.integers(-5, 6, 2), (0, 1)) for image in test_set[:300]]
    odd += [np.minimum(image, level) for image in test_set[:20] for level in (0, 1, 127, 128)]
    odd += [rng.integers(0, 256, (28, 28), np.uint8), np.full((28, 28), 255, np.uint8)]
    pictures = np.stack([*odd, *test_set[:700]])
    boxes, fits = image_normalization.mnist_boxes(pictures)
    alone = [image_normalization.mnist_box(picture) for picture in pictures]
    assert fits.tolist() == [box is not None for box in alone]
    assert 0 < fits[: len(odd)].sum() < len(odd)
    assert [tuple(box) for box in boxes[fits].tolist()] == [box for box in alone if box]
    turned = np.asfortranarray(pictures)
    assert (image_normalization.mnist_boxes(turned)[0] == boxes).all()


def test_a_negative_of_mnist_is_only_inverted(test_set: NDArray[np.uint8]) -> None:
    for image in test_set[:500]:
        result = image_normalization.normalize(255 - image)
        assert (result.pixels == image).all()
        assert result.report.inverted
        assert not result.report.unchanged


def test_mnist_enlarged_on_a_white_canvas_is_recovered(test_set: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    alike = []
    for image in test_set[:200]:
        canvas = np.full((400, 500), 255, np.uint8)
        top, left = rng.integers(0, 120), rng.integers(0, 220)
        canvas[top : top + 280, left : left + 280] = 255 - image.repeat(10, axis=0).repeat(
            10, axis=1
        )
        pixels = image_normalization.normalize(canvas).pixels
        assert_mnist_form(pixels)
        alike.append(likeness(pixels, image))
    assert np.mean(alike) > 0.97
    assert min(alike) > 0.9


def test_always_redraws_a_picture_that_has_the_form_already(test_set: NDArray[np.uint8]) -> None:
    result = image_normalization.normalize(test_set[0], always=True)
    assert not result.report.unchanged
    assert_mnist_form(result.pixels)
    assert likeness(result.pixels, test_set[0]) > 0.9


def test_polarity_does_not_matter() -> None:
    dark, light = normalized(seven()), normalized(seven(ink=255, paper=0))
    assert dark.report.inverted
    assert not light.report.inverted
    assert np.abs(dark.pixels.astype(int) - light.pixels).max() <= 1
    assert_mnist_form(dark.pixels)


def test_place_and_size_hardly_matter() -> None:
    one = normalized(seven())
    for size, box, pen in [
        ((500, 400), (30, 150, 150, 350), 18),
        ((1000, 1000), (100, 500, 340, 900), 36),
        ((150, 120), (20, 20, 80, 120), 9),
    ]:
        other = normalized(seven(size, box, pen))
        assert_mnist_form(other.pixels)
        assert likeness(one.pixels, other.pixels) > 0.9


def test_the_report_says_where_the_ink_was_and_how_it_was_scaled() -> None:
    picture = Image.new("L", (500, 400), 255)
    ImageDraw.Draw(picture).rectangle((100, 40, 139, 239), 0)  # 40 x 200 pixels
    report = normalized(picture).report
    left, top, width, height = report.box
    assert (left, top) == pytest.approx((100, 40), abs=2)
    assert (width, height) == pytest.approx((40, 200), abs=4)
    assert report.scale == pytest.approx(20 / 200, rel=0.03)
    assert report.contrast == pytest.approx(255, rel=0.1)
    # Index 14 is half a pixel right of and below the middle of 28.
    assert report.shift == pytest.approx((0.5, 0.5), abs=0.5)


def test_the_aspect_ratio_is_kept() -> None:
    picture = Image.new("L", (500, 400), 255)
    ImageDraw.Draw(picture).ellipse((100, 100, 199, 299), 0)  # 100 x 200 pixels
    rows, columns = np.nonzero(normalized(picture).pixels)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == pytest.approx(10, abs=1)


def test_a_digit_heavy_at_one_end_is_made_smaller_so_that_it_fits() -> None:
    picture = Image.new("L", (400, 400), 255)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((40, 40, 120, 120), 0)
    pen.line((100, 100, 360, 110), 0, 4)
    assert_mnist_form(normalized(picture).pixels)


def test_a_photograph_with_shade_blur_noise_and_jpeg_looks_like_the_drawing() -> None:
    clean = seven()
    y, x = np.mgrid[:400, :500]
    ink = np.asarray(clean.filter(ImageFilter.GaussianBlur(2))) / 255
    light = (140 + 0.12 * x - 0.08 * y) * (0.4 + 0.6 * ink)
    noisy = light + np.random.default_rng(0).normal(0, 8, light.shape)
    photo = encoded(noisy.clip(0, 255).astype(np.uint8), "JPEG", quality=60)
    result = image_normalization.normalize(image_decoding.decode(photo))
    assert_mnist_form(result.pixels)
    assert likeness(result.pixels, normalized(clean).pixels) > 0.9
    assert result.report.box == pytest.approx((281, 51, 138, 209), abs=8)


@pytest.mark.parametrize("across", [120, 250, 350, 430])
@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("lean", [0, 0.7])
def test_the_edge_of_a_shadow_is_not_ink(across: int, way: int, lean: float) -> None:
    clean = seven()
    y, x = np.mgrid[:400, :500]
    light = 1 - 0.4 / (1 + np.exp(-0.15 * way * (x + lean * (y - 200) - across)))
    noise = np.random.default_rng(0).normal(0, 5, light.shape)
    photo = np.where(np.asarray(clean), 230, 30) * light + noise
    result = image_normalization.normalize(photo.clip(0, 255).astype(np.uint8))
    assert likeness(result.pixels, normalized(clean).pixels) > 0.9


def test_the_lines_of_squared_paper_are_left_out() -> None:
    paper = seven(ink=40, paper=235)
    pen = ImageDraw.Draw(paper)
    for at in range(15, 500, 40):
        pen.line((at, 0, at, 399), 175, 2)
        pen.line((0, at, 499, at), 175, 2)
    pen.line([(290, 60), (410, 60), (350, 260)], 40, 18, "curve")
    assert likeness(normalized(paper).pixels, normalized(seven()).pixels) > 0.95


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0)])
def test_a_bold_digit_that_fills_the_picture_is_separated_from_its_paper(
    ink: int, paper: int
) -> None:
    def eight(size: tuple[int, int], left: Any, top: Any) -> Any:
        picture = Image.new("L", size, paper)
        pen = ImageDraw.Draw(picture)
        pen.ellipse((left + 12, top, left + 108, top + 88), None, ink, 26)
        pen.ellipse((left, top + 58, left + 120, top + 168), None, ink, 28)
        return picture

    tight = normalized(eight((136, 184), 8, 8))
    assert tight.report.inverted == (ink == 0)
    assert likeness(tight.pixels, normalized(eight((500, 500), 190, 160)).pixels) > 0.97


def test_specks_of_dust_are_left_out() -> None:
    picture = seven()
    pen = ImageDraw.Draw(picture)
    for x, y in [(10, 10), (480, 390), (30, 380), (200, 20)]:
        pen.ellipse((x, y, x + 4, y + 4), 0)
    assert likeness(normalized(picture).pixels, normalized(seven()).pixels) > 0.99


def test_thin_strokes_are_thickened_with_a_warning() -> None:
    thin, thick = normalized(seven(pen=3)), normalized(seven(pen=18))
    assert "thin_strokes" in thin.warnings
    assert "thin_strokes" not in thick.warnings
    assert thin.pixels.sum() > 0.5 * thick.pixels.sum()


def test_faint_ink_is_stretched_with_a_warning() -> None:
    result = normalized(seven(ink=215, paper=250))
    assert result.warnings == ("low_contrast",)
    assert result.pixels.max() == 255


def test_ink_at_the_edge_of_the_picture_is_noticed() -> None:
    assert "touches_border" in normalized(seven(box=(290, 60, 500, 260))).warnings
    assert "touches_border" not in normalized(seven()).warnings


def test_two_digits_side_by_side_are_noticed() -> None:
    picture = seven(box=(60, 60, 180, 260))
    picture.paste(seven((200, 400), (40, 60, 160, 260)), (290, 0))
    assert "several_shapes" in normalized(picture).warnings


@pytest.mark.parametrize(
    "grey",
    [
        np.zeros((28, 28)),
        np.full((28, 28), 255),
        np.full((400, 500), 97),
        np.zeros((1, 1)),
        np.zeros((0, 5)),
        np.tile(np.linspace(60, 200, 500), (400, 1)),
        np.random.default_rng(0).normal(128, 20, (400, 500)).clip(0, 255),
        np.random.default_rng(1).uniform(0, 256, (28, 28)),
        np.where(np.arange(28 * 28).reshape(28, 28) == 406, 9, 0),
    ],
    ids=["black", "white", "grey", "dot", "empty", "shade", "noise", "small-noise", "too-faint"],
)
def test_a_picture_without_ink_is_blank(grey: NDArray[Any]) -> None:
    with pytest.raises(BadImage, match="stands out") as refused:
        image_normalization.normalize(grey.astype(np.uint8))
    assert refused.value.code == "blank_image"


shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(np.uint8, shapes | st.just((28, 28))))
def test_any_array_gives_mnist_form_once_and_for_all_or_is_blank(grey: NDArray[Any]) -> None:
    result = outcome(image_normalization.normalize, grey)
    if result != "blank_image":
        assert_mnist_form_for_good(result)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_scribble_gives_mnist_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(8, 400)), int(rng.integers(8, 400))
    ink, paper = (0, 255) if seed % 2 else (255, 0)
    picture = Image.new("L", size, paper)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 5)):
        ends = [(int(rng.integers(size[0])), int(rng.integers(size[1]))) for _ in range(3)]
        pen.line(ends, ink, int(rng.integers(1, 30)))
    result = outcome(image_normalization.normalize, np.asarray(picture))
    if result != "blank_image":  # covered by ink all over, or hardly touched
        assert_mnist_form_for_good(result)
