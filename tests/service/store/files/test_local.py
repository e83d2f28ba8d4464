"""Durable writes, and artifacts as files in a directory."""

import errno
import hashlib
import os
import secrets
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken, StoreFull
from service.store import durable_files
from service.store.artifacts import Artifacts
from service.store.durable_files import make_directory, write_atomic
from service.store.files import local
from service.store.files.local import PROBE, LocalArtifacts

DATA = b"the weights" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Recorder:
    """Records the system calls of a write in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        fsync, replace = os.fsync, Path.replace

        def record_fsync(descriptor: int) -> None:
            self.calls.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
            fsync(descriptor)

        def record_replace(path: Path, target: Path) -> Path:
            assert path.read_bytes() == DATA, "all bytes have left Python's buffer"
            self.calls.append(f"rename {path.name} {target.name}")
            return replace(path, target)

        monkeypatch.setattr(os, "fsync", record_fsync)
        monkeypatch.setattr(Path, "replace", record_replace)


# --- Writing ---


def test_a_write_syncs_the_file_renames_it_and_syncs_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "77")
    write_atomic(tmp_path / "file", DATA)
    temporary = ".file.77.tmp"
    assert recorder.calls == [
        f"fsync {temporary}",
        f"rename {temporary} file",
        f"fsync {tmp_path.name}",
    ]


def test_new_folders_are_synced_from_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert recorder.calls == [f"fsync {tmp_path.parent.name}", f"fsync {tmp_path.name}", "fsync a"]
    make_directory(tmp_path / "a" / "b")
    assert recorder.calls[3:] == ["fsync a"], (
        "the process that made it may have died before it synced"
    )


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace"), (Path, "open")])
def test_a_failed_write_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, refuse)
        with pytest.raises(StoreBroken, match="can't write file: No space left"):
            write_atomic(tmp_path / "file", DATA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["write", "flush"])
def test_a_disk_that_is_full_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """/dev/full takes no byte, as a full disk does."""
    path = tmp_path / "file"
    monkeypatch.setattr(secrets, "token_hex", lambda _: "77")
    (tmp_path / ".file.77.tmp").symlink_to("/dev/full")
    with pytest.raises(StoreBroken, match="No space left"):
        write_atomic(path, DATA * (1 if name == "flush" else 1000))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_files, "sync", refuse)
    with pytest.raises(StoreBroken, match="can't write file"):
        write_atomic(tmp_path / "file", DATA)
    assert (tmp_path / "file").read_bytes() == DATA, "whole, or not there"
    with pytest.raises(StoreBroken, match="can't create the directory"):
        make_directory(tmp_path / "new")


def test_a_folder_above_that_may_not_be_read_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(path: Path) -> None:
        if path == tmp_path.parent:
            raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(durable_files, "sync", forbid)
    make_directory(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


def test_bytes_that_may_not_be_durable_are_deleted(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts.put("job/1/a", DATA)

    def fail_at_the_end(path: Path, data: bytes) -> None:
        path.write_bytes(data)
        raise StoreFull("the disk is full")

    monkeypatch.setattr(local, "write_atomic", fail_at_the_end)
    with pytest.raises(StoreFull):
        artifacts.put("job/1/b", DATA)
    assert [path.name for path in (tmp_path / "jobs" / "job" / "1").iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "file", b"old")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreBroken):
        write_atomic(tmp_path / "file", DATA)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_disk_that_refuses_even_to_clean_up_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was remounted read-only does this."""
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreBroken, match="can't write file"):
        write_atomic(tmp_path / "file", DATA)


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreBroken, match="can't create the directory"):
        make_directory(tmp_path / "file" / "folder")
    with pytest.raises(StoreBroken, match="can't write"):
        write_atomic(tmp_path / "file" / "new", DATA)


# --- Keys ---


def test_stored_bytes_are_read_back(artifacts: Artifacts) -> None:
    assert artifacts.put("job/1/0-5.x", DATA) == SHA256
    assert artifacts.get("job/1/0-5.x", len(DATA), SHA256) == DATA


def test_a_key_without_a_file_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(FileNotFoundError):
        artifacts.get("job/1/x", 1, SHA256)
    artifacts.put("job/1/x", DATA)
    artifacts.delete("job/1/x")
    artifacts.delete("job/1/x")
    with pytest.raises(FileNotFoundError):
        artifacts.get("job/1/x", 1, SHA256)


@pytest.mark.parametrize("key", ["../x", "job/../../x", "/etc/passwd", "job/1/../../../x"])
def test_no_key_leads_out_of_the_root(artifacts: Artifacts, tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_bytes(DATA)
    for use in (
        lambda: artifacts.put(key, b"overwritten"),
        lambda: artifacts.get(key, len(DATA), SHA256),
        lambda: artifacts.delete(key),
    ):
        with pytest.raises(ValueError, match="points outside the directory"):
            use()
    assert (tmp_path / "x").read_bytes() == DATA


def test_no_link_leads_out_of_the_root(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.put("job/1/x", DATA)
    (tmp_path / "jobs" / "job" / "2").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="points outside the directory"):
        artifacts.put("job/2/x", DATA)


@pytest.mark.parametrize("root", ["link", "folder/../real", "link/below"])
def test_the_root_may_be_reached_by_a_link_or_by_dots(tmp_path: Path, root: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    artifacts = LocalArtifacts(tmp_path / root)
    artifacts.put("job/1/x", DATA)
    assert artifacts.get("job/1/x", len(DATA), SHA256) == DATA
    assert list(artifacts.keys("job")) == ["job/1/x"]


# --- Damage ---


@pytest.mark.parametrize(
    "damage",
    [DATA[:-1], b"", DATA + b"x", b"X" + DATA[1:], DATA[:500] + b"\0" + DATA[501:], DATA[::-1]],
    ids=["short", "empty", "long", "first byte", "middle", "swapped"],
)
def test_bytes_that_are_not_those_stored_are_broken(
    artifacts: Artifacts, tmp_path: Path, damage: bytes
) -> None:
    artifacts.put("job/1/x", DATA)
    (tmp_path / "jobs" / "job" / "1" / "x").write_bytes(damage)
    with pytest.raises(StoreBroken, match="job/1/x is damaged"):
        artifacts.get("job/1/x", len(DATA), SHA256)


def test_every_single_flipped_bit_is_noticed(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.put("job/1/x", DATA)
    path = tmp_path / "jobs" / "job" / "1" / "x"
    for bit in range(0, 8 * len(DATA), 97):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(StoreBroken):
            artifacts.get("job/1/x", len(DATA), SHA256)


def test_the_file_of_another_key_is_noticed(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.put("job/1/x", DATA)
    artifacts.put("job/1/y", DATA[::-1])
    (tmp_path / "jobs/job/1/y").replace(tmp_path / "jobs/job/1/x")
    with pytest.raises(StoreBroken):
        artifacts.get("job/1/x", len(DATA), SHA256)


def test_a_file_that_cannot_be_read_or_removed_is_broken(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    (tmp_path / "jobs" / "job" / "1" / "x").mkdir(parents=True)
    with pytest.raises(StoreBroken, match="job/1/x"):
        artifacts.get("job/1/x", len(DATA), SHA256)
    with pytest.raises(StoreBroken, match="job/1/x"):
        artifacts.delete("job/1/x")


# --- Folders ---


def test_folders_and_keys_are_listed_with_unfinished_writes(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    assert artifacts.folders() == []
    artifacts.put("job_b/2/y", DATA)
    artifacts.put("job_a/1/x", DATA)
    (tmp_path / "jobs/job_a/1/.x.77.tmp").touch()
    assert artifacts.folders() == ["job_a", "job_b"]
    assert sorted(artifacts.keys("job_a")) == ["job_a/1/.x.77.tmp", "job_a/1/x"]
    assert list(artifacts.keys("job_none")) == []


def test_only_artifacts_are_listed(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.put("job_a/1/x", DATA)
    for name in ("job_a/worker.log", "job_a/notes/x", "lost+found/1/x"):
        make_directory((tmp_path / "jobs" / name).parent)
        (tmp_path / "jobs" / name).touch()
    assert artifacts.folders() == ["job_a"]
    assert list(artifacts.keys("job_a")) == ["job_a/1/x"]


def test_a_folder_is_deleted_whole(artifacts: Artifacts) -> None:
    artifacts.put("job_a/1/x", DATA)
    artifacts.put("job_b/1/x", DATA)
    artifacts.delete_folder("job_a")
    artifacts.delete_folder("job_a")
    assert artifacts.folders() == ["job_b"]


@pytest.mark.parametrize("is_there", [False, True])
def test_nothing_is_written_to_a_shared_directory_that_is_not_mounted_any_more(
    tmp_path: Path, is_there: bool
) -> None:
    shared = tmp_path / "shared"
    LocalArtifacts(shared).put(PROBE, b"what each start writes")
    artifacts = LocalArtifacts(shared)
    artifacts.put("job_1/1/a", b"a")
    shared.rename(tmp_path / "away")
    if is_there:
        shared.mkdir()
    with pytest.raises(StoreBroken, match="mount it again"):
        artifacts.put("job_1/1/b", b"b")
    assert not (shared / "job_1").exists()
    if is_there:
        shared.rmdir()
    (tmp_path / "away").rename(shared)
    artifacts.put("job_1/1/b", b"b")
