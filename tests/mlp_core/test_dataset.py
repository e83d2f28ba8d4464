import struct

import numpy as np
import pytest

from mlp_core import Dataset, DatasetError, Split, read_idx, scaled


def idx(*shape, data=None):
    count = int(np.prod(shape))
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return header + (bytes(range(count)) if data is None else data)


def test_an_idx_file_becomes_an_array():
    assert read_idx(idx(5)).tolist() == [0, 1, 2, 3, 4]
    images = read_idx(idx(2, 2, 3))
    assert images.dtype == np.uint8
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\x08", b"\x1f\x8b\x08\x01zip", b"\0\0\x0d\x01" + bytes(4), b"\0\0\x08\0"]
)
def test_another_magic_number_is_refused(data):
    with pytest.raises(DatasetError, match="magic number of an IDX file: expected 00 00 08"):
        read_idx(data)


@pytest.mark.parametrize(
    ("data", "expected", "found"),
    [
        (idx(2, 3)[:-1], 18, 17),
        (idx(2, 3) + b"\0", 18, 19),
        (idx(2, 3)[:4], 12, 4),
        (idx(2, 3)[:9], 12, 9),
        (idx(60000, data=bytes(5)), 60008, 13),
    ],
)
def test_an_idx_file_of_the_wrong_size_is_refused_with_both_sizes(data, expected, found):
    with pytest.raises(DatasetError) as refusal:
        read_idx(data)
    assert refusal.value.found == found
    if len(data) >= 12:
        assert refusal.value.expected == expected


def test_pixels_are_scaled_to_0_and_1():
    X = scaled(np.arange(256, dtype=np.uint8).reshape(2, 128))
    assert X.dtype == np.float32
    assert X.min() == 0
    assert X.max() == 1
    np.testing.assert_allclose(X.ravel(), np.arange(256) / 255, rtol=1e-6)


def ones(*shape):
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
def test_a_split_of_arrays_that_do_not_fit_is_refused(images, labels, complaint):
    with pytest.raises(DatasetError, match=complaint):
        Split(images, labels)


def test_test_images_of_another_size_are_refused():
    with pytest.raises(DatasetError, match="columns of test images: expected 3, found 4"):
        Dataset("odd", Split(ones(2, 3), ones(2)), Split(ones(2, 4), ones(2)), 2)


def test_a_label_beyond_the_classes_is_refused():
    split = Split(ones(2, 3), ones(2))
    with pytest.raises(DatasetError, match="labels: expected at most 0, found 1"):
        Dataset("odd", split, split, 1)
