"""What `backup` copies, as it lies in the directory of a test."""

from pathlib import Path

from service.store.artifacts import Artifacts
from service.store.backup import Original
from service.store.dataset_files import DatasetFiles
from service.store.uploads import Uploads


def original_of(url: str, artifacts: Artifacts, place: Path) -> Original:
    return Original(url, artifacts, DatasetFiles(place / "datasets"), Uploads(place / "uploads"))
