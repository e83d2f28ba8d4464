"""Archives may hold files of other formats in place of pictures."""

import gc
import gzip
import io
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.ingest.refusal import Unusable
from tests.support.packed_pictures import (
    Entry,
    labels_of,
    packed,
    pixels,
    rows_of,
    source_of,
    zip_bytes,
    zipped,
)

IMAGES, LABELS = pixels(1, 12, 28, 28), np.arange(12, dtype=np.uint8) % 3
EXPECTED = [str(label) for label in LABELS]
ENDINGS = ("zip", "tar", "tar.gz")


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert list(folder.iterdir()) == []


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, images=IMAGES, labels=LABELS)
    return file.getvalue()


def table() -> bytes:
    names = ",".join(["label", *(f"pixel{n}" for n in range(784))])
    lines = [
        ",".join(map(str, [label, *image.flat]))
        for label, image in zip(LABELS, IMAGES, strict=True)
    ]
    return "\n".join([names, *lines, ""]).encode()


def assert_rows(path: Path) -> None:
    source = source_of(path)
    for _ in range(2):
        rows = list(rows_of(source))
        assert [label for *_, label, _ in rows] == EXPECTED
        assert (np.stack([image for _, image, *_ in rows])[..., 0] == IMAGES).all()


FORMS = {
    "idx": {"set/images-idx3-ubyte": idx(IMAGES), "set/labels-idx1-ubyte": idx(LABELS)},
    "idx.gz": {
        "set/images-idx3-ubyte.gz": gzip.compress(idx(IMAGES)),
        "set/labels-idx1-ubyte.gz": gzip.compress(idx(LABELS)),
    },
    "npz": {"set/data.npz": npz()},
    "csv": {"set/data.csv": table()},
    "csv.gz": {"set/data.csv.gz": gzip.compress(table())},
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", FORMS)
def test_files_of_other_formats_are_read_from_archives(
    tmp_path: Path, ending: str, form: str
) -> None:
    others = {"README.txt": b"my data\n", "LICENSE": b"free\n", "__MACOSX/._data": b"x"}
    path = packed(tmp_path / f"data.{ending}", others | FORMS[form])
    assert_rows(path)
    source = source_of(path)
    assert (
        source.found["format"]
        == f"{form.removesuffix('.gz').replace('csv', 'table')} in {ending[:3]}"
    )
    assert source.ignored == {"system files": 1, "other files": 2}


def test_tables_are_splits_by_their_names(tmp_path: Path) -> None:
    files = {"mnist_train.csv": table(), "mnist_test.csv": table()}
    assert labels_of(zipped(tmp_path / "data.zip", files)) == [
        (split, label) for split in ("train", "test") for label in EXPECTED
    ]


def test_an_archive_within_an_archive_is_refused(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a/1.txt": b"x"}).read_bytes()
    with pytest.raises(Unusable, match=r"set/inner\.zip: It is an archive within an archive\."):
        source_of(zipped(tmp_path / "data.zip", {"set/inner.zip": inner}))


def test_what_is_wrong_with_the_files_is_told_with_their_names(tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><html><body>404</body></html>"
    with pytest.raises(Unusable, match=r"set/data\.npz: This is a web page"):
        source_of(zipped(tmp_path / "data.zip", {"set/data.npz": page}))


def test_a_damaged_file_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    entry = Entry(b"data.npz", FORMS["npz"]["set/data.npz"], crc=1)
    path = tmp_path / "data.zip"
    path.write_bytes(zip_bytes([entry]))
    with pytest.raises(Unusable, match=r"data\.npz: .*not the bytes"):
        source_of(path)


def test_an_archive_of_nothing_that_is_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no pictures, arrays or tables"):
        source_of(zipped(tmp_path / "data.zip", {"README.txt": b"words\n"}))
    with pytest.raises(Unusable, match="no pictures, arrays or tables"):
        source_of(zipped(tmp_path / "empty.zip", {}))
