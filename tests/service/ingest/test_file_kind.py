"""Tests that a file is told by its first bytes, and that what is no data set is named."""

import contextlib
import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from service.ingest.file_kind import HEAD_BYTES, FileKind, kind_of
from service.ingest.refusal import Unusable


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a/1.png"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (struct.pack(">IIII", 0x803, 1, 2, 2) + bytes(4), FileKind.IDX),
        (struct.pack("<IIII", 0x803, 1, 2, 2) + bytes(4), FileKind.IDX),
        (npy(), FileKind.NPY),
        (npz(), FileKind.NPZ),
        (zipped("train-images-idx3-ubyte.gz"), FileKind.NPZ),
        (zipped("data/train-labels.idx1-ubyte"), FileKind.NPZ),
        (zipped("cats/1.png"), FileKind.ZIP),
        (zipped(), FileKind.ZIP),
        (tar(), FileKind.TAR),
        (b"PAR1" + bytes(20), FileKind.PARQUET),
        (b'{"label": 1}', FileKind.JSON_LINES),
        (b'\xef\xbb\xbf [{"label": 1}]', FileKind.JSON_LINES),
        (b"label,pixel0\n1,2\n", FileKind.TABLE),
        ("label;é\n".encode("latin-1"), FileKind.TABLE),
        ("label,p\n".encode("utf-16"), FileKind.TABLE),
        (b"404 12 13 0\n", FileKind.TABLE),
    ],
)
def test_a_file_is_told_by_its_first_bytes_also_through_gzip(data: bytes, kind: FileKind) -> None:
    assert kind_of(data[:HEAD_BYTES]) is kind
    assert kind_of(gzip.compress(data)[:HEAD_BYTES]) is kind


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "empty", "empty"),
        (b" \n ", "empty", "empty"),
        (b"\n<!DOCTYPE html><html>", "web_page", "web page"),
        (b"<!-- saved -->\n<?xml version='1.0'?><html>", "web_page", "web page"),
        (b"404: Not Found", "web_page", "'404: Not Found'"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "lfs_pointer", "git lfs pull"),
        (b"../.git/annex/objects/aa/bb", "annex_link", "git annex get"),
        (b"\x89HDF\r\n\x1a\n", "not_read", "numpy.savez"),
        (b"MATLAB 5.0 MAT-file", "not_read", "scipy.io.loadmat"),
        (b"MATLAB 7.3 MAT-file", "not_read", "h5py"),
        (b"7z\xbc\xaf\x27\x1c", "not_read", "py7zr"),
        (b"ARROW1\0\0", "not_read", "read_feather"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not_read", "read_excel"),
        (zipped("[Content_Types].xml"), "not_read", "Excel"),
        (b"Rar!\x1a\x07", "not_read", "RAR"),
        (b"\xfd7zXZ\0", "not_read", "xz"),
        (b"\x89PNG\r\n", "one_picture", "folder of pictures for each class"),
        (b"BM\x36\0\0\0\0\0\0\0\x36", "one_picture", "BMP"),
        (b"\x80\x04\x95", "pickle", "numpy.savez"),
        (b"cnumpy.core.multiarray\n_reconstruct", "pickle", "any program"),
        (zipped("model/data.pkl"), "pickle", "any program"),
        (bytes(range(1, 40)), "unknown_format", "CSV"),
        (gzip.compress(gzip.compress(b"1,2")), "packed_twice", "once"),
        (b"\x1f\x8bnot gzip at all", "damaged", "again"),
    ],
)
def test_what_is_no_data_set_is_named_with_the_way_out(data: bytes, code: str, words: str) -> None:
    with pytest.raises(Unusable) as caught:
        kind_of(data[:HEAD_BYTES])

    (flaw,) = caught.value.flaws
    assert flaw.code == code
    assert words in str(flaw)


def test_a_table_that_begins_with_the_letters_of_a_picture_is_a_table() -> None:
    assert kind_of(b"BMI,age,label\n23,40,1\n") is FileKind.TABLE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"% by hand\n\n@RELATION iris\n@attribute a real\n", "ARFF"),
        (b"-1 1:0.25 7:-1 256:3e-2\n", "LIBSVM"),
        (gzip.compress(b"X\n\0\0\0\3" + bytes(99)), "file of R"),
        (gzip.compress(b"RDX3\nX\n\0\0" + bytes(99)), "file of R"),
        (zipped("docProps/app.xml", "xl/workbook.xml"), "Excel"),
        (zipped("_rels/.rels", "[Content_Types].xml"), "Excel"),
        (b"(dp0\nVimages\np1\n", "pickle"),
    ],
)
def test_files_of_other_programs_are_named(data: bytes, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        kind_of(data[:HEAD_BYTES])


@pytest.mark.parametrize("text", [b"A\nB\nA\n", b"X\n1\n0\n", b"label,time\n1,10:30\n"])
def test_tables_that_begin_alike_are_tables(text: bytes) -> None:
    assert kind_of(text) is FileKind.TABLE


def test_a_batch_of_cifar_is_a_pickle_with_a_line_of_its_own() -> None:
    with pytest.raises(Unusable) as caught:
        kind_of(b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U")

    (flaw,) = caught.value.flaws
    assert flaw.code == "pickle"
    assert "reshape(-1, 3, 32, 32)" in flaw.hint


def test_the_line_for_arff_makes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "@relation x\n@attribute 'a b' real\n@attribute class {u,v}\n@data\n1,u\n2,v\n"
    (tmp_path / "data.arff").write_text(text)
    with pytest.raises(Unusable) as caught:
        kind_of(text.encode())

    monkeypatch.chdir(tmp_path)
    exec(caught.value.flaws[0].hint.partition("first: ")[2])

    assert (tmp_path / "data.csv").read_text() == "'a b',class\n1,u\n2,v\n"


@pytest.mark.parametrize(
    "part", [b"\n", b" \n", b"%\n", b"<!-- -->", b"<?xml?> ", b"1 1:1 ", b"./", b"\t"]
)
def test_no_repetition_keeps_the_patterns_busy(part: bytes) -> None:
    """With patterns that can match these in many ways, this would not end."""
    head = (part * HEAD_BYTES)[: HEAD_BYTES - 1] + b"x"
    with contextlib.suppress(Unusable):
        assert kind_of(head) is FileKind.TABLE
