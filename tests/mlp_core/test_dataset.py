import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Dataset, DatasetError, Split, scaled


def test_pixels_are_scaled_to_between_0_and_1() -> None:
    X = scaled(np.arange(256, dtype=np.uint8).reshape(2, 128))
    assert X.dtype == np.float32
    assert X.min() == 0
    assert X.max() == 1
    np.testing.assert_allclose(X.ravel(), np.arange(256) / 255, rtol=1e-6)


def ones(*shape: int) -> NDArray[np.uint8]:
    return np.ones(shape, np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "complaint"),
    [
        (np.ones((2, 3)), ones(2), "images: .* found float64"),
        (ones(2, 3, 3), ones(2), r"images: expected uint8 \(n, n_in\), not empty, found uint8"),
        (ones(0, 3), ones(0), "images: .* not empty"),
        (ones(2, 3), ones(3), r"labels: expected uint8 \(2,\), found uint8 \(3,\)"),
        (ones(2, 3), np.ones(2, int), "labels: .* found int64"),
    ],
)
def test_a_split_of_arrays_that_do_not_fit_is_refused(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        Split(images, labels)


def test_test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DatasetError, match="columns of test images: expected 3, found 4"):
        Dataset("odd", Split(ones(2, 3), ones(2)), Split(ones(2, 4), ones(2)), 2)


def test_a_label_beyond_the_classes_is_refused() -> None:
    split = Split(ones(2, 3), ones(2))
    with pytest.raises(DatasetError, match="labels: expected at most 0, found 1"):
        Dataset("odd", split, split, 1)


def test_an_image_shape_of_another_number_of_pixels_is_refused() -> None:
    split = Split(ones(2, 12), ones(2))
    with pytest.raises(DatasetError, match="image_shape: expected 12 pixels"):
        Dataset("odd", split, split, 2, (3, 5))
