"""Fashion-MNIST of Debian's package dataset-fashion-mnist: pictures that are no digits."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlp_core import read_idx
from tests.support.external_programs import skip_or_fail

FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def fashion_files() -> list[Path]:
    """Return the four IDX files; skip the test where they are missing, or fail it in CI."""
    if not FOLDER.exists():
        skip_or_fail("Fashion-MNIST, of Debian's package dataset-fashion-mnist, is not installed")
    return [FOLDER / name for names in FILES.values() for name in names]


def fashion(split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images uint8 (n, 28, 28), white on black, and labels uint8 (n,) of a split."""
    fashion_files()
    images, labels = (
        read_idx(gzip.decompress((FOLDER / name).read_bytes())) for name in FILES[split]
    )
    return images, labels
