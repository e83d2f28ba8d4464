"""Copies of what a bucket holds: they save requests, and nothing ever fails by them."""

import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlp_core import Checkpoint, Cursor
from service.store.artifacts import Artifacts
from service.store.checkpoints import CheckpointStore
from service.store.files.digest_cache import DigestCache
from service.store.files.local import LocalArtifacts

MOST = 10_000


def bytes_number(number: int, size: int = 1000) -> tuple[str, bytes]:
    data = number.to_bytes(8, "big") * (size // 8)
    return hashlib.sha256(data).hexdigest(), data


def kept(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.fixture
def cache(tmp_path: Path) -> DigestCache:
    return DigestCache(tmp_path / "cache", MOST)


def test_what_was_put_is_found_by_its_digest_also_by_another_process(
    cache: DigestCache, tmp_path: Path
) -> None:
    sha256, data = bytes_number(1)
    assert cache.get(sha256) is None
    cache.put(sha256, data)
    assert cache.get(sha256) == DigestCache(tmp_path / "cache", MOST).get(sha256) == data
    assert cache.get(bytes_number(2)[0]) is None


@pytest.mark.parametrize("content", [b"", b"x", bytes_number(2)[1]])
def test_a_damaged_copy_is_none_and_is_deleted(
    cache: DigestCache, tmp_path: Path, content: bytes
) -> None:
    sha256, data = bytes_number(1)
    cache.put(sha256, data)
    [path] = kept(tmp_path / "cache")
    path.write_bytes(content)
    assert cache.get(sha256) is None
    assert kept(tmp_path / "cache") == []
    cache.put(sha256, data)
    assert cache.get(sha256) == data


def test_what_was_used_least_recently_makes_room(cache: DigestCache, tmp_path: Path) -> None:
    for number in range(10):
        cache.put(*bytes_number(number))
    for age, path in enumerate(sorted(kept(tmp_path / "cache"), key=lambda it: it.stat().st_mtime)):
        os.utime(path, (1000 + age, 1000 + age))  # some file systems have coarse times
    assert cache.get(bytes_number(0)[0]) is not None
    cache.put(*bytes_number(10))
    found = [number for number in range(11) if cache.get(bytes_number(number)[0])]
    assert found == [0, 3, 4, 5, 6, 7, 8, 9, 10], "the room, less a tenth"


def test_what_is_larger_than_the_room_is_not_kept(cache: DigestCache, tmp_path: Path) -> None:
    sha256, data = bytes_number(1, MOST + 8)
    cache.put(sha256, data)
    assert cache.get(sha256) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_keeps_nothing_and_fails_nothing(
    cache: DigestCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    sha256, data = bytes_number(1)

    def refuse(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(code, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        cache.put(sha256, data)
    assert (cache.get(sha256), kept(tmp_path / "cache")) == (None, [])
    cache.put(sha256, data)
    assert cache.get(sha256) == data


def test_a_directory_that_cannot_be_made_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    cache = DigestCache(tmp_path / "cache", MOST)
    cache.put(*bytes_number(1))
    assert cache.get(bytes_number(1)[0]) is None


def test_what_a_killed_process_was_writing_is_deleted_after_an_hour(
    cache: DigestCache, tmp_path: Path
) -> None:
    cache.put(*bytes_number(1))
    folder = kept(tmp_path / "cache")[0].parent
    old, new = folder / "old.tmp", folder / "new.tmp"
    old.write_bytes(b"x"), new.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    cache.put(*bytes_number(2))
    assert (old.exists(), new.exists()) == (False, True)


def test_many_at_once_find_whole_bytes_or_none(tmp_path: Path) -> None:
    """Each has a cache of its own, as processes do, with room for half of the files."""
    wrong, ready = list[int](), threading.Barrier(8)

    def use(who: int) -> int:
        cache, hits = DigestCache(tmp_path / "cache", MOST), 0
        ready.wait()
        for turn in range(100):
            sha256, data = bytes_number((turn * (who + 1)) % 20)
            found = cache.get(sha256)
            if found is None:
                cache.put(sha256, data)
            else:
                hits += 1
                if found != data:
                    wrong.append(who)
        return hits

    with ThreadPoolExecutor(8) as pool:
        hits = sum(pool.map(use, range(8)))
    assert wrong == []
    assert hits > 0
    assert sum(path.stat().st_size for path in kept(tmp_path / "cache")) <= 2 * MOST


class CountingArtifacts(LocalArtifacts):
    """Counts what is read."""

    gets = 0

    def get(self, key: str, size: int, sha256: str) -> bytes:
        self.gets += 1
        return super().get(key, size, sha256)


def test_a_checkpoint_is_read_once_from_where_all_hosts_find_it(tmp_path: Path) -> None:
    artifacts = CountingArtifacts(tmp_path / "jobs")
    saved = CheckpointStore(artifacts).save("job_1", 1, Checkpoint(Cursor(1), {}, 0.5))
    for _ in range(3):  # servers that start one after another
        store = CheckpointStore(artifacts, DigestCache(tmp_path / "cache", MOST))
        assert store.load(saved).epoch_seconds == 0.5
    assert artifacts.gets == 1
    plain: Artifacts = artifacts
    assert CheckpointStore(plain).load(saved).epoch_seconds == 0.5
    assert artifacts.gets == 2, "who has no cache reads it again"


def test_a_damaged_copy_that_can_not_be_deleted_is_none(
    cache: DigestCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256, data = bytes_number(1)
    cache.put(sha256, data)
    [path] = kept(tmp_path)
    path.write_bytes(b"x" + data[1:])

    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert cache.get(sha256) is None
