"""Pictures for networks of images that are no digits go the way of the set's own pictures."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import Manifest, Resize
from service.domain.errors import BadImage
from service.inference.image_batch import image_batch, source_shape
from service.inference.image_normalization import Normalized
from service.inference.input_batch import MAX_PIXELS, Sample

Pixels = NDArray[np.uint8]


def manifest(shape: tuple[int, ...], **facts: Any) -> Manifest:
    return Manifest("0" * 64, shape, ("a", "b"), {"train": [1, 1], "test": [1, 1]}, **facts)


def encoded(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (105, 105), (7, 31), (256, 256), (12, 10, 3)])
@pytest.mark.parametrize("facts", [{}, {"invert": True}])
def test_a_picture_of_the_sets_size_is_inverted_if_the_set_was(
    shape: tuple[int, ...], facts: dict[str, bool]
) -> None:
    pictures = [noise(*shape), 255 - noise(*shape)]
    expected = [255 - it if facts else it for it in pictures]
    forms: list[Any] = [np.array(pictures), pictures, [encoded(it) for it in pictures]]
    for images in forms:
        batch = image_batch(manifest(shape, **facts), images, "auto")
        assert (batch.pixels == expected).all()
        assert (image_batch(manifest(shape, **facts), images, "never").pixels == pictures).all()


def test_a_picture_of_a_transposed_set_lies_on_its_side() -> None:
    turned = manifest((6, 9), transpose=True, invert=True)
    assert source_shape(turned, "auto") == (9, 6)
    assert source_shape(turned, "never") == (6, 9)
    picture = noise(9, 6)
    for images in (picture[np.newaxis], [picture], [encoded(picture)]):
        assert (image_batch(turned, images, "auto").pixels == 255 - picture.T).all()


def test_a_picture_on_black_paper_is_not_inverted_beside_one_on_white() -> None:
    drawing = np.zeros((16, 16), np.uint8)
    drawing[4:12, 6:9] = 240
    expected = np.array([drawing, drawing])
    for images in (
        np.array([drawing, 255 - drawing]),
        [drawing, 255 - drawing],
        [encoded(drawing), encoded(255 - drawing)],
    ):
        batch = image_batch(manifest((16, 16), invert=True), images, "auto")
        assert (batch.pixels == expected).all()
        assert isinstance(first := batch.others[0], Normalized)
        assert (first.report.unchanged, first.report.inverted) == (True, False)


def test_ink_that_touches_the_border_does_not_hide_the_paper() -> None:
    """The cross covers a quarter of the border and 44 % of the whole, as cropped letters do."""
    cross = np.zeros((16, 16), np.uint8)
    cross[6:10] = cross[:, 6:10] = 255
    form = manifest((16, 16), invert=True)
    for images in (np.array([cross, ~cross]), [cross, ~cross], [encoded(cross), encoded(~cross)]):
        assert (image_batch(form, images, "auto").pixels == cross).all()


def test_a_frame_in_black_does_not_make_white_paper_black() -> None:
    framed = np.full((16, 16), 255, np.uint8)
    framed[[0, -1]] = framed[:, [0, -1]] = 0
    form = manifest((16, 16), invert=True)
    for images in (framed[np.newaxis], [framed], [encoded(framed)]):
        assert (image_batch(form, images, "auto").pixels == ~framed).all()


def test_a_sample_of_a_set_is_taken_as_it_is_stored() -> None:
    stored = noise(6, 9)
    turned = manifest((6, 9), transpose=True, invert=True)
    assert (image_batch(turned, [Sample(stored)], "auto").pixels == stored).all()


def test_another_size_is_fitted_with_its_paper_before_it_is_inverted() -> None:
    wide = np.full((10, 40), 250, np.uint8)
    wide[:, 10:30] = 10
    batch = image_batch(manifest((8, 8), invert=True), [wide], "auto")
    [found] = batch.others.values()
    assert isinstance(found, Normalized)
    assert (found.report.unchanged, found.report.inverted) == (False, True)
    assert found.report.box == (0, 0, 40, 10)
    assert (batch.pixels[0, :3] == 5).all()  # the paper of the picture, inverted
    assert (batch.pixels[0, 3:5, 2:6] == 245).all()
    stretched = manifest((8, 8), resize=Resize.STRETCH)
    assert (image_batch(stretched, [wide], "auto").pixels[0, :, 2:6] == 10).all()


def test_a_set_that_refuses_other_sizes_refuses_them_in_predictions() -> None:
    with pytest.raises(BadImage, match="8x8 are needed"):
        image_batch(manifest((8, 8), resize=Resize.REFUSE), [noise(9, 8)], "auto")


def test_colours_become_grey_where_the_network_sees_grey_and_grey_becomes_colours() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[2:6, 2:6] = (255, 255, 255)
    grey = red[..., 0]
    for image in (red, encoded(red)):
        assert (image_batch(manifest((8, 8)), [image], "auto").pixels == grey).all()
    for image in (grey, encoded(grey)):
        assert (image_batch(manifest((8, 8, 3)), [image], "auto").pixels == red).all()


def test_a_photograph_is_turned_upright() -> None:
    picture, turned = noise(8, 8), Image.Exif()
    turned[0x0112] = 3
    seen = image_batch(manifest((8, 8)), [encoded(picture, exif=turned)], "auto").pixels
    assert (seen == picture[::-1, ::-1]).all()


def test_one_bad_picture_among_several_is_named_and_a_lone_one_raised() -> None:
    good, bad = noise(8, 8), BadImage("undecodable_image", "It is damaged.")
    images: Sequence[Any] = [good, bad, b"no picture", encoded(good)]
    batch = image_batch(manifest((8, 8)), images, "auto")
    assert batch.bad == [1, 2]
    assert (batch.pixels[[0, 3]] == good).all()
    for lone in (bad, b"no picture"):
        with pytest.raises(BadImage):
            image_batch(manifest((8, 8)), [lone], "auto")


def test_pictures_that_are_too_large_together_are_refused_from_there_on() -> None:
    large = np.zeros((2000, 2000), np.uint8)
    count = MAX_PIXELS // large.size + 3
    batch = image_batch(manifest((4, 4)), [large] * count, "auto")
    assert batch.bad[0] == MAX_PIXELS // large.size
    assert len(batch.bad) == 3
