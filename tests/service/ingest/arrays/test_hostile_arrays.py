"""Tests that arrays that are damaged, or made to do harm, are refused."""

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.ingest.arrays.array_source import read
from service.ingest.limits import Limits
from tests.support.ingest_files import Images, flaws_of, npz, write_idx

refusal = partial(flaws_of, read)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((2, 2)), np.zeros((3, 3))]
    path = tmp_path / "a.npz"
    np.savez(path, images=ragged, labels=[0, 1])

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == ("pickle", "images")
    assert "numpy.stack" in flaw.hint


@pytest.mark.parametrize(
    "written",
    [
        np.zeros(3, np.complex64),
        np.zeros(3, "datetime64[s]"),
        np.zeros(3, [("a", "u1"), ("b", "u1")]),
    ],
)
def test_elements_that_are_neither_numbers_nor_texts_are_refused(
    tmp_path: Path, written: np.ndarray[Any, Any]
) -> None:
    np.save(tmp_path / "x.npy", written)

    assert refusal(tmp_path / "x.npy")[0].code == "not_an_array"


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 4)}",
        b"{'descr': '|u1', 'fortran_order': False}",
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (3,)}",
        b"[" * 900,
        b"'" + b"x" * 3000,
    ],
)
def test_headers_that_describe_no_array_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.npy"
    length = len(header).to_bytes(2, "little")
    path.write_bytes(b"\x93NUMPY\x01\x00" + length + header + bytes(99))

    assert refusal(path)[0].code in ("damaged", "not_an_array")


def test_a_header_that_claims_to_be_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\xff" + bytes(99))

    assert refusal(path)[0].code == "damaged"


@pytest.mark.parametrize("lengths", [(7, 0, 4_000_000_000), (4_000_000_000, 5, 0), (3, 0, 0)])
def test_rows_without_pixels_are_refused(tmp_path: Path, lengths: tuple[int, int, int]) -> None:
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + np.array(lengths, ">u4").tobytes())
    labels = write_idx(tmp_path / "labels", np.zeros(lengths[0] % 100, np.uint8))

    assert refusal(path)[0].code == "no_counterpart"
    assert refusal(path, labels)[0].code in ("not_images", "rows_differ")


def test_an_array_that_would_unpack_a_thousandfold_is_refused_by_the_directory(
    tmp_path: Path,
) -> None:
    path = npz(tmp_path / "a.npz", x=np.zeros((100_000, 784), np.uint8), y=np.zeros(100_000))

    (flaw,) = refusal(path)

    assert flaw.code == "too_large"
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(rows=11), "12 rows; at most 11"),
        (Limits(pixel_bytes=239), "240 pixels; at most 239"),
        (Limits(unpacked_bytes=300), "at most 300"),
    ],
)
def test_what_exceeds_the_limits_is_refused_by_the_header(
    tmp_path: Path, images: Images, limits: Limits, words: str
) -> None:
    path = npz(tmp_path / "a.npz", x=images.pixels, y=images.labels)

    (flaw,) = refusal(path, limits=limits)

    assert flaw.code == "too_large"
    assert words in flaw.detail


def test_a_packed_header_that_names_more_rows_than_the_limit_is_refused_without_reading_them(
    tmp_path: Path, images: Images
) -> None:
    data = b"\0\0\x08\x03" + np.array([4_000_000_000, 4, 5], ">u4").tobytes()
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
    labels = b"\0\0\x08\x01" + np.array([4_000_000_000], ">u4").tobytes()
    (tmp_path / "labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    (flaw,) = refusal(tmp_path / "images-idx3-ubyte.gz", tmp_path / "labels-idx1-ubyte.gz")

    assert flaw.code == "too_large"


def test_a_packed_file_that_is_damaged_in_the_middle_is_refused(
    tmp_path: Path, images: Images
) -> None:
    path = npz(tmp_path / "a.npz", x=images.pixels, y=images.labels)
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)

    assert refusal(path)[0].code in ("damaged", "cut_off")
