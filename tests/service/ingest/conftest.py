"""Small sets of made-up images, and checks of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.ingest.check import Checked, check
from service.ingest.file_kind import FileKind
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.readers import READERS
from service.ingest.source import Source, UploadedFile
from tests.support.checked_sources import Check
from tests.support.ingest_files import Images


@pytest.fixture
def images() -> Images:
    """Return 12 images of 4x5 pixels, uint8 with all levels up to 255, and a label for each."""
    draw = np.random.default_rng(7)
    pixels = draw.integers(0, 256, (12, 4, 5), np.uint8)
    pixels[0, 0, 0] = 255
    return Images(pixels, np.arange(12, dtype=np.uint8) % 3)


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks a source as if it had been read from a file."""
    (tmp_path / "file.csv").write_text("1,2,3\n")

    def run(source: Source, options: IngestOptions | None = None, **told: Any) -> Checked:
        monkeypatch.setitem(READERS, FileKind.TABLE, lambda *_: source)
        folder = tmp_path / "folder"
        folder.mkdir()
        file = UploadedFile(tmp_path / "file.csv", "file.csv")
        progress = told.get("progress", lambda *_: None)
        return check([file], options or IngestOptions(), folder, Limits(), progress)

    return run
