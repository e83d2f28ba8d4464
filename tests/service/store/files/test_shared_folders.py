"""Folders that hosts share, in a real bucket and in a directory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import from_url

from service.domain.errors import Damaged, StoreBroken
from service.store.files import shared_folders
from service.store.files.shared_folders import SharedFolders

CONTENT = {"a.npy": b"", "b.npy": b"x" * 31, "images.npy": bytes(range(256)) * 40_000, "z": b"last"}


@pytest.fixture(params=["directory", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return str(tmp_path / "shared")
    return str(request.getfixturevalue("bucket_url"))


@pytest.fixture
def folders(url: str) -> SharedFolders:
    return SharedFolders(url, "datasets")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    (folder / ".verified").write_bytes(b"of this copy")
    return folder


def store_at(url: str) -> Any:
    return from_url(url if "://" in url else Path(url).as_uri())


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_another_host_gets_a_folder_byte_for_byte(
    folders: SharedFolders, source: Path, tmp_path: Path
) -> None:
    folders.share("set", source, "z")
    assert folders.fetch("set", tmp_path / "copy", "z")
    assert content_of(tmp_path / "copy") == CONTENT


def test_a_folder_counts_once_its_last_file_is_there(
    folders: SharedFolders, source: Path, tmp_path: Path
) -> None:
    folders.share_file("set", source / "a.npy")
    assert not folders.fetch("set", tmp_path / "copy", "z")
    assert not folders.fetch("other", tmp_path / "copy")


def test_a_file_that_comes_again_replaces_the_earlier_one(
    folders: SharedFolders, source: Path, tmp_path: Path
) -> None:
    for content in (b"a longer one than the second", b"short"):
        (source / "0").write_bytes(content)
        folders.share_file("set", source / "0")
    folders.fetch_file("set", tmp_path / "copy" / "0")
    assert content_of(tmp_path / "copy") == {"0": b"short"}


def test_a_folder_is_deleted_with_all_files_and_without_its_neighbours(
    folders: SharedFolders, source: Path, tmp_path: Path
) -> None:
    folders.share("set", source)
    folders.share("set-2", source)
    folders.delete("set")
    folders.delete("set")
    assert not folders.fetch("set", tmp_path / "copy")
    assert folders.fetch("set-2", tmp_path / "copy")


DAMAGES = {
    "cut by a byte": lambda sent: sent[:-1],
    "cut": lambda sent: sent[:1000],
    "empty": lambda _: b"",
    "a byte changed": lambda sent: sent[:500] + b"\xff" + sent[501:],
    "longer": lambda sent: sent + b"x",
    "without its digest": lambda sent: sent[:-32],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bytes_that_were_changed_or_cut_are_no_file(
    folders: SharedFolders, source: Path, url: str, tmp_path: Path, damage: Any
) -> None:
    folders.share("set", source, "z")
    store, key = store_at(url), "datasets/set/images.npy"
    sent = obstore.get(store, key).bytes().to_bytes()
    obstore.put(store, key, damage(sent))
    assert not folders.fetch("set", tmp_path / "copy", "z")
    with pytest.raises(Damaged, match=r"images\.npy is damaged"):
        folders.fetch_file("set", tmp_path / "file" / "images.npy")
    assert content_of(tmp_path / "file") == {}


def test_bytes_that_changed_on_the_way_only_are_fetched_again(
    folders: SharedFolders, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.share("set", source, "z")
    get, asked = obstore.get, []

    class Changed:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield b"other bytes"

    def get_badly_once(store: Any, key: str) -> Any:
        asked.append(key)
        return Changed() if len(asked) == 1 else get(store, key)

    monkeypatch.setattr("service.store.files.shared_folders.obstore.get", get_badly_once)
    assert folders.fetch("set", tmp_path / "copy", "z")
    assert content_of(tmp_path / "copy") == CONTENT


def test_a_file_that_is_not_there_is_broken(folders: SharedFolders, tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="can't fetch set"):
        folders.fetch_file("set", tmp_path / "copy" / "0")


def test_one_file_that_changed_on_the_way_is_fetched_again(
    folders: SharedFolders, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.share_file("set", source / "b.npy")
    write_whole, asked = shared_folders._write_whole, []

    def write_badly_once(file: Any, pieces: Any, key: str) -> None:
        asked.append(key)
        write_whole(file, [b"other bytes"] if len(asked) == 1 else pieces, key)

    monkeypatch.setattr(shared_folders, "_write_whole", write_badly_once)
    folders.fetch_file("set", tmp_path / "copy" / "b.npy")
    assert content_of(tmp_path / "copy") == {"b.npy": CONTENT["b.npy"]}


def test_a_file_is_on_the_disk_of_a_shared_directory_before_it_counts(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[str]()
    monkeypatch.setattr(shared_folders, "sync", lambda path: synced.append(path.name))
    SharedFolders(str(tmp_path / "shared"), "datasets").share_file("set", source / "z")
    temporary, folder = synced
    assert temporary.startswith(".z.")
    assert folder == "set"


def test_what_a_killed_host_was_writing_is_no_file_and_is_deleted_with_the_others(
    source: Path, tmp_path: Path
) -> None:
    folders = SharedFolders(str(tmp_path / "shared"), "datasets")
    folders.share("set", source, "z")
    half = tmp_path / "shared" / "datasets" / "set" / ".b.npy.0123.tmp"
    half.write_bytes(b"half")
    assert folders.fetch("set", tmp_path / "copy", "z")
    assert content_of(tmp_path / "copy") == CONTENT
    folders.delete("set")
    assert not half.exists()
