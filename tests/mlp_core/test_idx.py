import struct

import numpy as np
import pytest

from mlp_core import DatasetError, read_idx


def idx(*shape: int, data: bytes | None = None) -> bytes:
    count = int(np.prod(shape))
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return header + (bytes(range(count)) if data is None else data)


def test_an_idx_file_becomes_an_array() -> None:
    assert read_idx(idx(5)).tolist() == [0, 1, 2, 3, 4]
    images = read_idx(idx(2, 2, 3))
    assert images.dtype == np.uint8
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\x08", b"\x1f\x8b\x08\x01zip", b"\0\0\x0d\x01" + bytes(4), b"\0\0\x08\0"]
)
def test_another_magic_number_is_refused(data: bytes) -> None:
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
def test_an_idx_file_of_the_wrong_size_is_refused_with_both_sizes(
    data: bytes, expected: int, found: int
) -> None:
    with pytest.raises(DatasetError) as refusal:
        read_idx(data)
    assert refusal.value.found == found
    assert refusal.value.expected == expected
