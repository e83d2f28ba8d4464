"""Tests that one set of images is one data set, in whichever format it comes."""

from pathlib import Path

import numpy as np
import pytest

from service.domain.dataset_manifest import ContentDigest, InputForm
from service.ingest.check import Checked, check
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import UploadedFile
from service.store.shipped_mnist import MANIFEST, PACKED
from tests.support.drawn_digits import mnist, mnist_labels
from tests.support.image_formats import FORMATS, SplitImages

SPLITS = (
    SplitImages("train", mnist("train")[:300], mnist_labels("train")[:300].astype(np.uint8)),
    SplitImages("test", mnist("t10k")[:100], mnist_labels("t10k")[:100].astype(np.uint8)),
)


def checked(paths: list[Path], folder: Path) -> Checked:
    files = [UploadedFile(path, path.name) for path in paths]
    folder.mkdir()
    return check(files, IngestOptions(), folder, Limits(), lambda *_: None)


@pytest.mark.parametrize("form", FORMATS)
def test_digits_of_mnist_have_one_digest_in_all_formats(form: str, tmp_path: Path) -> None:
    result = checked(FORMATS[form](tmp_path, SPLITS), tmp_path / "folder")

    digest = ContentDigest((28, 28), map(str, range(10)), {"train": 300, "test": 100})
    for split in SPLITS:
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    assert result.manifest.sha256 == digest.hexdigest()
    assert result.manifest.input is InputForm.DIGIT
    assert result.options["split"] == "given"


def test_the_files_of_mnist_are_the_set_that_is_shipped(tmp_path: Path) -> None:
    result = checked(sorted(PACKED.glob("*.gz")), tmp_path / "folder")

    assert result.manifest == MANIFEST
