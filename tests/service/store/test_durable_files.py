"""Files that are created once, whoever dies or races meanwhile."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from service.store.durable_files import create_once


@pytest.fixture(params=["links", "no links"])
def _file_systems(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on a file system with hard links and on one without."""

    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # as FAT answers

    if request.param == "no links":
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("_file_systems")
def test_the_first_of_many_creates_the_file_and_all_read_the_same(tmp_path: Path) -> None:
    path, numbers = tmp_path / "secret", count()

    def create(_: int) -> bytes:
        create_once(path, lambda: b"%d" % next(numbers))
        return path.read_bytes()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(create, range(40)))) == 1
    assert [found.name for found in tmp_path.iterdir()] == ["secret"]


@pytest.mark.usefixtures("_file_systems")
def test_a_file_that_another_process_creates_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def overtaken() -> bytes:
        path.write_bytes(b"first")
        return b"second"

    create_once(path, overtaken)
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["secret"]


@pytest.mark.usefixtures("_file_systems")
def test_only_its_owner_may_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_once(tmp_path / "secret", lambda: b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("_file_systems")
def test_what_a_killed_process_left_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".secret.0123456789abcdef.tmp").write_bytes(b"half of")
    create_once(tmp_path / "secret", lambda: b"whole")
    assert (tmp_path / "secret").read_bytes() == b"whole"


@pytest.mark.usefixtures("_file_systems")
def test_the_file_never_appears_before_it_is_complete(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("no randomness")

    with pytest.raises(OSError, match="no randomness"):
        create_once(tmp_path / "secret", fail)
    assert list(tmp_path.iterdir()) == []
