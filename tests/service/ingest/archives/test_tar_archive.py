"""Tar files are read forwards in one pass, and refused as soon as they are too much."""

import gzip
import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from service.ingest.archives.archive_contents import open_archive
from service.ingest.limits import Limits
from service.ingest.refusal import Unusable
from tests.support.packed_pictures import packed, picture

ENDINGS = ("tar", "tar.gz")


def contents(path: Path) -> dict[str, bytes]:
    archive = open_archive(path, Limits())
    paths = {member.number: member.path for member in archive.listing.members}
    return {paths[number]: data for number, data in archive.read(paths.keys())}


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar_of(
    path: Path, entries: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.GNU_FORMAT
) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return path


def refusal(path: Path, limits: Limits | None = None) -> str:
    """Return how an archive is refused, which takes less than a second and 50 MB."""
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(Unusable) as caught:
        open_archive(path, limits or Limits())
    spent, memory = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 1
    assert memory < 50e6
    return str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_have_the_bytes_that_were_packed(tmp_path: Path, ending: str) -> None:
    files = {"a/1.png": picture(1), "a/2.png": b"", "b/long.bin": bytes(range(256)) * 4000}
    path = packed(tmp_path / f"data.{ending}", files)
    assert contents(path) == files
    archive = open_archive(path, Limits())
    for member in archive.listing.members:
        assert b"".join(archive.pieces(member.number)) == files[member.path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_some_of_the_files_can_be_read(tmp_path: Path, ending: str) -> None:
    files = {f"{n}.png": picture(n) for n in range(5)}
    archive = open_archive(packed(tmp_path / f"data.{ending}", files), Limits())
    assert dict(archive.read({1, 3})) == {1: files["1.png"], 3: files["3.png"]}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_all_forms_are_read(tmp_path: Path, form: int) -> None:
    long = "/".join(["a long folder"] * 10) + "/世界.png"
    assert contents(tar_of(tmp_path / "a.tar", [entry(long, b"x")], form)) == {long: b"x"}


def test_of_two_files_of_one_name_the_later_counts(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [entry("a", b"old"), entry("b"), entry("a", b"new")])
    assert contents(path) == {"b": b"", "a": b"new"}


def test_folders_are_listed_and_other_links_counted(tmp_path: Path) -> None:
    folder = entry("data/empty", type=tarfile.DIRTYPE)
    link = entry("docs", type=tarfile.SYMTYPE, linkname="../docs")
    archive = open_archive(tar_of(tmp_path / "a.tar", [folder, link]), Limits())
    assert archive.listing.members == []
    assert archive.listing.folders == {"data/empty"}
    assert archive.listing.links == 1


# --- Hostile and damaged ---


@pytest.mark.parametrize("name", ["../up/1.png", "/etc/1.png", "a/../../1.png"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    assert refusal(tar_of(tmp_path / "a.tar", [entry(name)])).startswith(f"{name}: Its name leads")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_the_place_of_pictures_are_refused(
    tmp_path: Path, kind: bytes, what: str
) -> None:
    path = tar_of(tmp_path / "a.tar", [entry("a/1.png", type=kind, linkname="/etc/passwd")])
    assert refusal(path).startswith(f"a/1.png: It is {what}")


def test_a_bomb_is_refused_before_all_of_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    info = tarfile.TarInfo("a/1.png")
    info.size = 2 * 2**30
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(200):
            file.write(bytes(2**20))
    assert "no data set is packed so tightly" in refusal(path)


def test_all_files_together_may_have_so_many_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", {"a": bytes(60_000), "b": bytes(60_000)})
    assert "more than 100,000 bytes" in refusal(path, Limits(unpacked_bytes=100_000))


def test_a_file_that_says_it_has_more_bytes_than_there_are_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a/1.png")
    info.size = 2**33 - 1
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf() + bytes(2048))
    assert refusal(path)


def test_a_header_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a/1.png")
    info.pax_headers = {"comment": "x" * 60_000_000}
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.PAX_FORMAT))
    assert "a header is too long" in refusal(path)


def test_an_endless_chain_of_headers_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 10
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write((info.tobuf() + b"a/long.png".ljust(512, b"\0")) * 20_000)
    assert "header" in refusal(path)


def test_fields_that_headers_set_for_all_files_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    common = [
        tarfile.TarInfo.create_pax_global_header({f"{n}-{k}": "v" for k in range(90)})
        for n in range(12)
    ]
    body = b"".join(each + tarfile.TarInfo(f"{n}.png").tobuf() for n, each in enumerate(common))
    path.write_bytes(tarfile.TarInfo("first").tobuf() + body + bytes(1024))
    assert "set too many fields" in refusal(path)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [entry("a/" * 2000 + "1.png")])
    assert "a name has 4,005 bytes" in refusal(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_that_was_cut_off_is_refused_wherever_it_was(
    tmp_path: Path, ending: str
) -> None:
    whole = packed(tmp_path / f"whole.{ending}", {f"{n}/1.png": picture(n) for n in range(5)})
    end = len(whole.read_bytes()) if ending == "tar.gz" else 5 * 1536
    cut = tmp_path / f"cut.{ending}"
    for length in range(512, end, 211):
        cut.write_bytes(whole.read_bytes()[:length])
        assert "Fetch" in refusal(cut), length
