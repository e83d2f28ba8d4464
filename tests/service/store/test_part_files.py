"""Files that are being received."""

import hashlib
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store.part_files import DigestOnly, PartFile


def test_a_file_has_the_bytes_that_were_sent_and_their_digest(tmp_path: Path) -> None:
    for file in (PartFile(tmp_path / "0"), DigestOnly()):
        for piece in (b"one", b"", bytearray(b"two")):
            file.write(piece)
        assert file.finish() == hashlib.sha256(b"onetwo").hexdigest()
        assert file.size == 6
    assert (tmp_path / "0").read_bytes() == b"onetwo"


def test_nothing_is_written_to_a_file_after_it_is_closed(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "0")
    file.close()
    with pytest.raises(StoreBroken, match="closed"):
        file.write(b"late")


def test_a_file_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="create"):
        PartFile(tmp_path / "none" / "0")
