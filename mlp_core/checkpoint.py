"""What a run must carry to go on, bit for bit, after it was stopped anywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.errors import CheckpointError


@dataclass(frozen=True, order=True)
class Cursor:
    """How far a run has come."""

    epochs_done: int = 0
    batches_done: int = 0  # of the next epoch


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Cursor and arrays of a run.

    The arrays are the parameters, `layers.1.weight` and so on; what the optimiser keeps for each of
    them, `momentum.layers.1.weight` or `first.…` and `second.…`; and, while it is evaluated, the
    network of the epoch before, `scored.layers.1.weight`.
    """

    cursor: Cursor
    arrays: dict[str, NDArray[Any]]
    epoch_seconds: float  # since the last epoch's record


def check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that these are the float32 arrays of the given names and shapes.

    Raises:
        CheckpointError: with the first difference.

    """
    check_names(arrays, shapes)
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(name, f"float32 {shape}", f"{array.dtype} {array.shape}")


def check_names(arrays: Iterable[str], names: Iterable[str]) -> None:
    """Check that `arrays` have exactly these names.

    Raises:
        CheckpointError: with both lists of names.

    """
    if set(arrays) != set(names):
        raise CheckpointError("names of arrays", sorted(names), sorted(arrays))
