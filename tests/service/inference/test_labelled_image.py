"""A labelled image is kept as it was sent."""

import numpy as np
import pytest

from service.domain.errors import BadImage
from service.inference.input_batch import Sample
from service.inference.labelled_image import LabelledImage, decoded


def test_a_file_is_kept_byte_by_byte() -> None:
    found = decoded(LabelledImage("7\n ж", b"\x89PNG\n\r\n\x00").encoded())
    assert (found.label, found.image) == ("7\n ж", b"\x89PNG\n\r\n\x00")


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 3)])
def test_pixels_keep_their_shape(shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    image = decoded(LabelledImage("a", pixels.swapaxes(0, 1)).encoded()).image
    assert isinstance(image, np.ndarray)
    assert np.array_equal(image, pixels.swapaxes(0, 1))


def test_a_row_of_a_data_set_stays_one() -> None:
    pixels = np.full((4, 4), 9, np.uint8)
    image = decoded(LabelledImage("a", Sample(pixels)).encoded()).image
    assert isinstance(image, Sample)
    assert np.array_equal(image.pixels, pixels)


def test_an_error_is_not_kept() -> None:
    with pytest.raises(BadImage, match="nothing"):
        LabelledImage("a", BadImage("blank_image", "nothing is there")).encoded()
