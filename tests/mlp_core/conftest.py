from collections.abc import Iterator

import numpy as np
import pytest

from mlp_core import Dataset, Split


@pytest.fixture(autouse=True)
def strict_arithmetic() -> Iterator[None]:
    """Make arithmetic that overflows or divides by zero fail a test.

    Invalid operations are not among them. OpenBLAS's kernels for AVX-512 read memory that nobody
    has written when they multiply a vector by a narrow matrix. They discard what they computed from
    it, but a signalling NaN there sets the processor's flag, and NumPy would blame the product.
    """
    with np.errstate(over="raise", divide="raise", invalid="ignore"):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2026)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """3 classes of 6 pixels, one brighter than the rest, the last one always black."""
    rng = np.random.default_rng(7)

    def split(rows: int) -> Split:
        labels = rng.integers(0, 3, rows, dtype=np.uint8)
        images = rng.integers(0, 160, (rows, 6), dtype=np.uint8)
        images[np.arange(rows), labels] += 95
        images[:, 5] = 0
        return Split(images, labels)

    return Dataset("made up", split(600), split(47), 3, (2, 3))
