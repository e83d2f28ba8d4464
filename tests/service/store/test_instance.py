"""The identifier of a data directory: created once, kept for ever."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store.instance import instance_of


def test_a_directory_keeps_its_identifier_and_another_one_has_another(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    first = instance_of(one)
    assert len(first) == 16
    assert instance_of(one) == first
    assert instance_of(other) != first
    assert [path.name for path in one.iterdir()] == ["instance"]


def test_processes_that_create_it_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: instance_of(tmp_path), range(8)))
    assert set(found) == {(tmp_path / "instance").read_text()}


@pytest.mark.parametrize("content", [b"", b"5d0f", b"\xff" * 16, b"0" * 17])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instance").write_bytes(content)
    with pytest.raises(StoreBroken, match=r"instance is damaged; delete it"):
        instance_of(tmp_path)


def test_a_directory_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="No such file"):
        instance_of(tmp_path / "missing")
