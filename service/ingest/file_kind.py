"""Tells by the first bytes of a file what it is, and what to do with one that is no data set.

The name of a file says little: web pages, pointers to other files and downloads that were cut off
all keep the name of what they should have been.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum

from service.ingest.refusal import unusable

HEAD_BYTES = 512
"""How much of a file is looked at; a tar file says what it is at byte 257."""


class FileKind(StrEnum):
    """The kinds of files that can become a data set, or a part of one."""

    IDX = "idx"
    NPY = "npy"
    NPZ = "npz"
    """A zip file of arrays: of npy files, or of IDX files, which may be packed with gzip."""
    ZIP = "zip"
    """Pictures, most likely in folders."""
    TAR = "tar"
    PARQUET = "parquet"
    JSON_LINES = "json_lines"
    TABLE = "table"
    """Text in columns: CSV, or the same with tabs or semicolons."""


MAKE_NPZ = 'numpy.savez("data.npz", x_train=images, y_train=labels)'
FROM_HDF5 = (
    "import h5py, numpy; found = {}; "
    'h5py.File("data.h5").visititems(lambda name, it: found.update({name.replace("/", "_"): it[()]}'
    ') if isinstance(it, h5py.Dataset) else None); numpy.savez("data.npz", **found)'
)
"""All arrays keep their names; one in the group `train` gets its name in front."""
FROM_PICKLE = (
    'import pickle, numpy; batch = pickle.load(open("data_batch_1", "rb"), encoding="latin1"); '
    'numpy.savez("data.npz", images=batch["data"].reshape(-1, 3, 32, 32), '
    'labels=batch.get("labels", batch.get("fine_labels")))'
)
"""The line for batches of CIFAR, which are dictionaries."""
FOREIGN = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", FROM_HDF5),
    b"MATLAB 7.3": ("a MATLAB file of version 7.3, which is HDF5", FROM_HDF5),
    b"MATLAB 5.0": (
        "a MATLAB file",
        'import scipy.io, numpy; found = scipy.io.loadmat("data.mat"); '
        'numpy.savez("data.npz", **{name: it for name, it in found.items() if name[0] != "_"})',
    ),
    b"7z\xbc\xaf\x27\x1c": (
        "a 7-Zip archive",
        'import py7zr, shutil; py7zr.unpack_7zarchive("data.7z", "data"); '
        'shutil.make_archive("data", "zip", "data")',
    ),
    b"ARROW1": (
        "an Arrow file",
        'import pandas; pandas.read_feather("data.arrow").to_csv("data.csv", index=False)',
    ),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an Excel workbook",
        'import pandas; pandas.read_excel("data.xls").to_csv("data.csv", index=False)',
    ),
}
"""Formats that are not read, by their first bytes: what they are, and the Python that helps."""
R_LINE = "write.csv(readRDS('data.rds'), 'data.csv', row.names = FALSE) in R."
# These read files of strangers, so each of them can match a text in one way only: a pattern with
# more would try them all, which takes years for a few lines.
FOREIGN_TEXTS = {
    re.compile(rb"(\s|%[^\n]*\n)*@relation\b", re.IGNORECASE): (
        "an ARFF file of Weka",
        'import pathlib, re; text = pathlib.Path("data.arff").read_text(); names = '
        "re.findall(r\"(?im)^\\s*@attribute\\s+('[^']*'|\\S+)\", text); rows = "
        're.split(r"(?im)^\\s*@data\\s*", text)[1]; '
        'pathlib.Path("data.csv").write_text(",".join(names) + "\\n" + rows)',
    ),
    re.compile(rb"[-+]?\d[\d.]*( +\d+:[-+\d.eE]+){2,}"): (
        "a file of LIBSVM",
        "import numpy, sklearn.datasets; rows, labels = "
        'sklearn.datasets.load_svmlight_file("data.libsvm"); '
        'numpy.savez("data.npz", images=rows.toarray(), labels=labels)',
    ),
    re.compile(rb"X\n\0|RDX[23]\n"): ("a file of R", R_LINE),
}
"""The same by patterns of their first lines."""
OFFICE = re.compile(r"\[Content_Types\]\.xml$|_rels/\.rels$|docProps/|xl/|mimetype$")
FROM_OFFICE = 'import pandas; pandas.read_excel("data.xlsx").to_csv("data.csv", index=False)'
"""What the first file in documents of office programs is called, and what helps."""
PACKED = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xfd7zXZ\x00": "a file packed with xz",
    b"BZh": "a file packed with bzip2",
    b"\x28\xb5\x2f\xfd": "a file packed with zstd",
}
PICTURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%PDF": "a PDF document",
}
BMP = re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)
GZIP, ZIP, EMPTY_ZIP, NPY = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY"
ZIP_NAME, ZIP_NAME_LENGTH = 30, 26
"""Where a zip file has the name of its first member, and the length of that name."""
ARRAY_NAME = re.compile(r"\.npy$|[-.]idx\d-(ubyte|byte|short|int|float|double)(\.gz)?$")
TORCH_PICKLE = re.compile(r"(^|/)data\.pkl$")
PARQUET, TAR, TAR_AT = b"PAR1", b"ustar", 257
LFS = b"version https://git-lfs.github.com/spec/"
ANNEX = re.compile(rb"[./\w-]*/annex/objects/")
WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?(\s|(?><!--.*?-->)|(?><\?xml.*?>))*(<!doctype html|<html|<head)",
    re.IGNORECASE | re.DOTALL,
)
NOT_FOUND = re.compile(rb"\s*(40[34][: ]+[a-z]|not found|access denied)", re.IGNORECASE)
PICKLE = re.compile(
    rb"\x80[\x02-\x05]|\(([dl]p|c)\w+\n|c(numpy|builtins|__builtin__|copy_reg)[\w.]*\n"
)
CIFAR = re.compile(rb"batch_label|label_names|fine_labels|num_cases_per_batch")
TEXT_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-8 and UTF-16."""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""NumPy's names of the numbers in an IDX file, by the third byte."""
MAX_IDX_AXES = 4


def is_gzip(head: bytes) -> bool:
    return head.startswith(GZIP)


def unpacked_head(head: bytes) -> bytes:
    """Return the first bytes of what a gzip file holds, as far as `head` reaches."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error as exc:
        raise unusable(
            "damaged", "The gzip file is damaged at its beginning.", hint="Fetch it again."
        ) from exc


def kind_of(head: bytes) -> FileKind:
    """Return what a file is, by its first `HEAD_BYTES`; gzip is looked through.

    Raises:
        Unusable: it is no data set, and what it is instead.

    """
    if is_gzip(head):
        head = unpacked_head(head)
        if is_gzip(head):
            raise unusable("packed_twice", "It is packed with gzip twice.", hint="Unpack it once.")
    _refuse_no_data(head)
    _refuse_foreign(head)
    for recognises, kind in RECOGNISED:
        if recognises(head):
            return kind
    raise unusable(
        "unknown_format",
        "The service does not know the format of this file.",
        hint="Send a zip file of pictures in a folder for each class, an .npz file, the files of "
        "MNIST's format (IDX), or a CSV file of labels and pixels.",
    )


def _refuse_no_data(head: bytes) -> None:
    """Refuse what was saved in place of the data.

    Raises:
        Unusable: the file is empty, a web page, or names another file.

    """
    again = "Open the address in a browser, and save the file itself."
    if not head.strip():
        raise unusable("empty", "The file is empty.")
    if WEB_PAGE.match(head):
        raise unusable(
            "web_page",
            "This is a web page, and not the file that was to be downloaded.",
            hint=again,
        )
    if NOT_FOUND.match(head):
        said = head[:60].decode("ascii", "replace").strip()
        raise unusable("web_page", f"This is a server's answer, {said!r}.", hint=again)
    if head.startswith(LFS):
        raise unusable(
            "lfs_pointer",
            "This is a Git LFS pointer, which only names the file.",
            hint="Fetch the file itself with `git lfs pull`.",
        )
    if ANNEX.match(head):
        raise unusable(
            "annex_link",
            "This is a link of git-annex, which only names the file.",
            hint="Fetch the file itself with `git annex get`.",
        )


def _refuse_foreign(head: bytes) -> None:
    """Refuse formats that are known and not read.

    Raises:
        Unusable: with the line of Python that converts it, where there is one.

    """
    first = first_member(head)
    for what, line in _converted(head, first):
        raise unusable("not_read", f"This is {what}.", hint=f"Convert it first: {line}")
    for magic, what in PACKED.items():
        if head.startswith(magic):
            raise unusable("not_read", f"This is {what}.", hint="Pack it with zip or gzip instead.")
    if PICKLE.match(head) or TORCH_PICKLE.search(first):
        raise unusable(
            "pickle",
            "This is a pickle, which can run any program when it is read.",
            hint=f"Save its arrays instead: {FROM_PICKLE if CIFAR.search(head) else MAKE_NPZ}",
        )
    _refuse_picture(head)


def _converted(head: bytes, first: str) -> Iterator[tuple[str, str]]:
    """Yield what a file is that a line converts, and this line."""
    yield from (told for magic, told in FOREIGN.items() if head.startswith(magic))
    yield from (told for pattern, told in FOREIGN_TEXTS.items() if pattern.match(head))
    if OFFICE.match(first):
        yield "an Excel workbook or another document of an office program", FROM_OFFICE


def _refuse_picture(head: bytes) -> None:
    what = next((it for magic, it in PICTURES.items() if head.startswith(magic)), "")
    if BMP.match(head):
        what = "a BMP picture"
    if what:
        raise unusable(
            "one_picture",
            f"This is {what}.",
            hint="Send a zip file with a folder of pictures for each class.",
        )


def first_member(head: bytes) -> str:
    """Return the name of the first file in a zip file; empty if it is none."""
    if not head.startswith(ZIP):
        return ""
    length = int.from_bytes(head[ZIP_NAME_LENGTH : ZIP_NAME_LENGTH + 2], "little")
    return head[ZIP_NAME : ZIP_NAME + length].decode("utf-8", "replace")


def is_idx(head: bytes) -> bool:
    """Return whether the first four bytes are those of an IDX file."""
    return (
        len(head) >= 4
        and head[:2] == b"\0\0"
        and head[2] in IDX_TYPES
        and 1 <= head[3] <= MAX_IDX_AXES
    )


def _is_idx_of_any_order(head: bytes) -> bool:
    """Return whether this is IDX, also if its first four bytes are in the order of a PC."""
    return len(head) >= 8 and (is_idx(head) or is_idx(head[3::-1]))


def _is_npz(head: bytes) -> bool:
    return bool(ARRAY_NAME.search(first_member(head)))


def _is_json(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))


def _is_text(head: bytes) -> bool:
    return head.startswith(TEXT_MARKS) or not CONTROL.search(head)


RECOGNISED: list[tuple[Callable[[bytes], bool], FileKind]] = [
    (_is_npz, FileKind.NPZ),
    (lambda head: head.startswith((ZIP, EMPTY_ZIP)), FileKind.ZIP),
    (lambda head: head.startswith(NPY), FileKind.NPY),
    (lambda head: head.startswith(PARQUET), FileKind.PARQUET),
    (lambda head: head[TAR_AT : TAR_AT + 5] == TAR, FileKind.TAR),
    (_is_idx_of_any_order, FileKind.IDX),  # the reader says what is wrong with the order
    (_is_json, FileKind.JSON_LINES),
    (_is_text, FileKind.TABLE),
]
"""How each kind is recognised, the surest first."""
