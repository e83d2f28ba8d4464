"""Checks of sources that are not read from files, for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.check import Checked
from service.ingest.source import Source
from tests.support.sources import source_of

RNG = np.random.default_rng(2)
Check = Callable[..., Checked]


def noise(rows: int, side: int = 8) -> NDArray[np.uint8]:
    return RNG.integers(0, 200, (rows, side, side), np.uint8)


def codes(checked: Checked) -> dict[str, int]:
    return {warning["code"]: warning["count"] for warning in checked.report["warnings"]}


def arrays(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def two_splits(train: int, test: int, **images: Any) -> Source:
    labels = [str(row % 2) for row in range(train + test)]
    return source_of(noise(train + test, **images), labels, ["train"] * train + ["test"] * test)
