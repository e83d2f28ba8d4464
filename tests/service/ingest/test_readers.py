"""Readers name files as their senders call them, and not as they are stored."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.readers import reader_for
from service.ingest.refusal import Unusable
from service.ingest.source import UploadedFile


def packed_arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.zeros((10, 4, 4), np.uint8), y=np.arange(10) % 2)
    return file.getvalue()


@pytest.mark.parametrize("name", ["", "letters"])
@pytest.mark.parametrize(
    "content", [packed_arrays()[:-40], gzip.compress(b"label,a\n" * 9000)[:-12]], ids=["npz", "csv"]
)
def test_a_cut_file_is_called_by_no_other_name(tmp_path: Path, name: str, content: bytes) -> None:
    stored = tmp_path / "0"
    stored.write_bytes(content)
    file = UploadedFile(stored, name)
    with pytest.raises(Unusable) as refused:
        reader_for([file])([file], IngestOptions(), Limits())
    assert {flaw.place for flaw in refused.value.flaws} <= {name, ""}
