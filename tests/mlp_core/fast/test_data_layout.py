"""What is kept of an arrangement is taken only if its arrays belong together."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Arrangement, Dataset, Split, arrange
from mlp_core.errors import DatasetError


def arrays() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 6), np.uint8)
    split = Split(images, rng.integers(0, 3, 12, np.uint8))
    return {
        name: array.copy()
        for name, array in arrange(Dataset("d", split, split, 3)).arrays().items()
    }


def test_its_own_arrays_make_an_arrangement() -> None:
    made = arrays()
    again = Arrangement.from_arrays(made).arrays()
    assert all(np.array_equal(again[name], array) for name, array in made.items())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("images", lambda array: array[:-1]),
        ("images", lambda array: array[:, :-1]),
        ("images", lambda array: array.astype(np.int8)),
        ("shares", lambda array: array.astype(np.float32)),
        ("train.columns", lambda array: array + 6),
        ("test.columns", lambda array: array - 6),
        ("test.widths", lambda array: array.astype(np.float64)),
        ("labels", lambda array: array[:-1]),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(name: str, change: Any) -> None:
    made = arrays()
    with pytest.raises(DatasetError):
        Arrangement.from_arrays(made | {name: change(made[name])})
