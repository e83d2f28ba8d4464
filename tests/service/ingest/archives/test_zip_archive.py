"""Zip files are read by their directory, and refused by it if they are hostile."""

import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.ingest.archives.archive_contents import open_archive
from service.ingest.limits import Limits
from service.ingest.refusal import Unusable
from tests.support.packed_pictures import Entry, picture, zip_bytes, zipped

SYMLINK, CHARACTER_DEVICE, PIPE = 0o120777 << 16, 0o020666 << 16, 0o010666 << 16
MANY = 2**32 - 1


@contextmanager
def cheaply() -> Iterator[None]:
    """Assert that what is done takes less than a second and 50 MB."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        spent, memory = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent < 1
    assert memory < 50e6


def contents(path: Path) -> dict[str, bytes]:
    archive = open_archive(path, Limits())
    paths = {member.number: member.path for member in archive.listing.members}
    return {paths[number]: data for number, data in archive.read(paths.keys())}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "data.zip"
    path.write_bytes(data)
    return path


def refusal(tmp_path: Path, data: bytes) -> str:
    path = written(tmp_path, data)
    with cheaply(), pytest.raises(Unusable) as caught:
        contents(path)
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_have_the_bytes_that_were_packed(tmp_path: Path, method: int) -> None:
    files = {"a/1.png": picture(1), "a/2.png": b"", "b/long.bin": bytes(range(256)) * 4000}
    assert contents(zipped(tmp_path / "data.zip", files, method=method)) == files


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_comes_in_pieces_too(tmp_path: Path, method: int) -> None:
    files = {"a": b"x", "big": bytes(range(256)) * 8000, "zeros": bytes(3_000_000), "none": b""}
    archive = open_archive(zipped(tmp_path / "data.zip", files, method=method), Limits())
    for member in archive.listing.members:
        assert b"".join(archive.pieces(member.number)) == files[member.path]


def test_something_may_stand_behind_the_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {"a": b"x"})
    assert contents(written(tmp_path, path.read_bytes() + b"\n" * 40)) == {"a": b"x"}
    assert contents(written(tmp_path, zip_bytes([Entry(b"a", b"x")], comment=b"by me"))) == {
        "a": b"x"
    }


def test_large_archives_have_another_end(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"x" * 1000)
    assert contents(written(tmp_path, file.getvalue())) == {"a": b"x" * 1000}


def test_sizes_in_the_field_of_zip64_are_read(tmp_path: Path) -> None:
    field = struct.pack("<HHQQ", 1, 16, 5, 5)
    entry = Entry(b"a", b"hello", size=MANY, packed=MANY, extra=field)
    assert contents(written(tmp_path, zip_bytes([entry]))) == {"a": b"hello"}


@pytest.mark.parametrize("flags", [0, 0x800])
def test_names_in_utf8_are_read_with_and_without_the_flag(tmp_path: Path, flags: int) -> None:
    entry = Entry("世界/1.png".encode(), b"x", flags=flags)
    assert contents(written(tmp_path, zip_bytes([entry]))) == {"世界/1.png": b"x"}


def test_other_names_are_of_dos_unless_a_field_has_them_in_unicode(tmp_path: Path) -> None:
    name = "größe".encode("cp437")
    assert contents(written(tmp_path, zip_bytes([Entry(name, b"x")]))) == {"größe": b"x"}
    real = struct.pack("<BL", 1, zlib.crc32(name)) + "размер".encode()
    field = struct.pack("<HH", 0x7075, len(real)) + real
    assert contents(written(tmp_path, zip_bytes([Entry(name, b"x", extra=field)]))) == {
        "размер": b"x"
    }


def test_of_two_files_of_one_name_the_later_counts(tmp_path: Path) -> None:
    path = written(tmp_path, zip_bytes([Entry(b"a", b"old"), Entry(b"b"), Entry(b"a", b"new")]))
    archive = open_archive(path, Limits())
    assert contents(path) == {"b": b"", "a": b"new"}
    assert archive.listing.replaced == 1


def test_a_pipe_that_was_packed_is_a_file(tmp_path: Path) -> None:
    assert contents(written(tmp_path, zip_bytes([Entry(b"-", b"x", attributes=PIPE)]))) == {
        "-": b"x"
    }


# --- Hostile and damaged ---


@pytest.mark.parametrize("name", [b"../up/1.png", b"/etc/1.png", b"C:\\data\\1.png", b"a/../../b",
                                  b"..\\up\\1.png", b"a/1.png\0.txt"])  # fmt: skip
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: bytes) -> None:
    said = refusal(tmp_path, zip_bytes([Entry(name, b"x")]))
    assert said.startswith(name.decode().replace("\0", "?") + ": Its name leads out")


def test_links_and_devices_in_the_place_of_pictures_are_refused(tmp_path: Path) -> None:
    for attributes, what in ((SYMLINK, "a link"), (CHARACTER_DEVICE, "a device")):
        said = refusal(tmp_path, zip_bytes([Entry(b"a/1.png", b"/etc", attributes=attributes)]))
        assert said.startswith(f"a/1.png: It is {what}, which is not followed.")


def test_other_links_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, zip_bytes([Entry(b"docs", b"../docs", attributes=SYMLINK)]))
    assert contents(path) == {}
    assert open_archive(path, Limits()).listing.links == 1


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, zip_bytes([Entry(b"a/1.png", b"x", flags=1)]))
    assert said.startswith("a/1.png: It is encrypted. Pack it without a password.")


@pytest.mark.parametrize(("method", "name"), [(14, "LZMA"), (12, "bzip2"), (77, "method 77")])
def test_unusual_packing_is_refused_by_its_name(tmp_path: Path, method: int, name: str) -> None:
    said = refusal(tmp_path, zip_bytes([Entry(b"a/1.png", b"x", method=method)]))
    assert said.startswith(f"a/1.png: It is packed with {name}.")


def test_a_bomb_is_refused_by_its_directory(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(16):
            archive.writestr(f"a/{number}.png", bytes(5_000_000))
    assert "no data set is packed so tightly" in refusal(tmp_path, file.getvalue())


def test_files_that_lie_over_one_another_are_refused(tmp_path: Path) -> None:
    data = b"x" * 1000
    entries = [Entry(f"{n}.png".encode(), data if not n else b"", start=0) for n in range(1000)]
    for entry in entries[1:]:
        entry.size = entry.packed = 1000
    assert "this file lies over what follows it" in refusal(tmp_path, zip_bytes(entries))


@pytest.mark.parametrize("size", [10**9, 2**62, 2**64 - 1])
def test_sizes_of_zip64_that_lie_are_refused(tmp_path: Path, size: int) -> None:
    field = struct.pack("<HHQQ", 1, 16, size, size)
    entry = Entry(b"a/1.png", b"x", size=MANY, packed=MANY, extra=field)
    assert refusal(tmp_path, zip_bytes([entry]))


def test_a_size_of_zip64_that_is_missing_is_noticed(tmp_path: Path) -> None:
    entry = Entry(b"a/1.png", b"x", size=MANY, packed=MANY)
    assert "a size is missing" in refusal(tmp_path, zip_bytes([entry]))


def test_all_files_together_may_have_so_many_bytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {"a": bytes(600), "b": bytes(600)})
    with pytest.raises(Unusable, match="more than 1,000 bytes once they are unpacked"):
        open_archive(path, Limits(unpacked_bytes=1000))


@pytest.mark.parametrize(("size", "data"), [(3, b"hello"), (7, b"hello"), (5, b"jello")])
def test_a_file_with_other_bytes_than_its_entry_says_is_refused(
    tmp_path: Path, size: int, data: bytes
) -> None:
    packed = zlib.compress(data)[2:-4]
    entry = Entry(b"a/1.png", packed, size=size, method=8, crc=zlib.crc32(b"hello"))
    path = written(tmp_path, zip_bytes([entry]))
    archive = open_archive(path, Limits())
    with pytest.raises(Unusable, match=r"a/1\.png: .*not the bytes"):
        list(archive.read({0}))
    with pytest.raises(Unusable, match=r"a/1\.png: .*not the bytes"):
        list(archive.pieces(0))


def test_a_file_that_unpacks_to_more_than_its_entry_says_is_not_unpacked(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(200_000_000), 9)[2:-4]
    entry = Entry(b"a/1.png", packed, size=len(packed), method=8)
    path = written(tmp_path, zip_bytes([entry]))
    archive = open_archive(path, Limits())
    with cheaply(), pytest.raises(Unusable):
        list(archive.read({0}))
    with cheaply(), pytest.raises(Unusable):
        list(archive.pieces(0))


def test_a_directory_of_too_many_files_is_refused(tmp_path: Path) -> None:
    assert "ends after 1" in refusal(tmp_path, zip_bytes([Entry()], count=65_000))
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 20, 20, 0, 0, 10**7, 10**7, 47, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 47, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, MANY, MANY, 0)
    data = b"PK\3\4" + bytes(43) + end + locator + last
    assert "more than 200,000 files" in refusal(tmp_path, data)


def test_names_that_are_too_long_are_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, zip_bytes([Entry(b"a/" * 20_000 + b"1.png", b"x")]))
    assert "Its name has 40,005 bytes." in said


def test_a_directory_of_nothing_but_names_is_refused(tmp_path: Path) -> None:
    entries = [Entry(str(n).zfill(1000).encode()) for n in range(49_000)]
    assert "Its directory alone has" in refusal(tmp_path, zip_bytes(entries))


def test_an_archive_that_was_cut_off_is_refused_wherever_it_was(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", {f"{n}/1.png": picture(n) for n in range(5)})
    data = whole.read_bytes()
    for end in range(10, len(data) - 1, 97):
        assert "Fetch" in refusal(tmp_path, data[:end])


def test_parts_of_several_archives_are_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([Entry()]))
    data[-18:-16] = b"\1\0"
    assert "one part of several" in refusal(tmp_path, bytes(data))
