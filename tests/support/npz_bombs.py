"""NumPy's files with hostile headers, directories and contents."""

import io
import struct
import zipfile
from collections.abc import Iterator

MEGABYTE = 1_000_000


def npy(
    header: str | bytes, data: bytes = b"", version: int = 1, length: int | None = None
) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version == 1 else "<I", length if length is not None else len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def described(shape: str, kind: str = "'|u1'", order: str = "False") -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}\n"


def npz_files() -> Iterator[tuple[str, bytes]]:
    """Yield what each archive holds, and the archive."""
    for title, name, content in (
        ("60 MB", "a.npy", npy(described("(76530, 784)"), bytes(60 * MEGABYTE))),
        ("objects", "a.npy", npy(described("(1, 28, 28)", "'|O'"), b"cos\nsystem\n(S'id'\ntR.")),
        ("another name", "a.txt", bytes(30 * MEGABYTE)),
    ):
        one = io.BytesIO()
        with zipfile.ZipFile(one, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        yield title, one.getvalue()
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.npy", b"")
    yield "20000 files", many.getvalue()
    yield "half a million entries", _directory(500_000)
    yield "200 MB packed by bzip2", zeros_in_npz(zipfile.ZIP_BZIP2, 200)
    yield "200 MB packed by lzma", zeros_in_npz(zipfile.ZIP_LZMA, 200)


def zeros_in_npz(method: int, megabytes: int) -> bytes:
    """Return an archive with one array of zeros, packed by this method of ZIP."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, archive.open("a.npy", "w") as array:
        for _ in range(megabytes):
            array.write(bytes(MEGABYTE))
    return file.getvalue()


def _directory(entries: int) -> bytes:
    """Return an archive with a long directory and nothing else."""
    directory = (b"PK\1\2" + bytes(42)) * entries
    number = entries & 0xFFFF
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), 4, 0)
    return b"PK\3\4" + directory + end
