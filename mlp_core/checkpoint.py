"""Checkpoints: the state from which a run that was stopped anywhere continues bit for bit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Arrays
from mlp_core.errors import CheckpointError


class Cursor(NamedTuple):
    """A position in a run; cursors are ordered by progress."""

    epochs_done: int = 0
    batches_done: int = 0  # in the epoch that follows


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The cursor and the arrays of a run.

    The arrays are the parameters, `layers.1.weight` and so on; the state of the optimizer for each
    parameter, `momentum.layers.1.weight` or `first.…` and `second.…`; and, while the network of the
    last finished epoch is still being evaluated, its parameters, `scored.layers.1.weight` and so on
    (see checkpoint_arrays.py).
    """

    cursor: Cursor
    arrays: Arrays
    epoch_seconds: float  # training time since the last epoch's record


def check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that `arrays` are float32 and have exactly these names and shapes.

    Raises:
        CheckpointError: they differ; the message names the first difference.

    """
    check_names(arrays, shapes)
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(name, f"float32 {shape}", f"{array.dtype} {array.shape}")


def check_names(arrays: Iterable[str], names: Iterable[str]) -> None:
    """Check that `arrays` have exactly these names.

    Raises:
        CheckpointError: they differ; the message lists both.

    """
    if set(arrays) != set(names):
        raise CheckpointError("names of arrays", sorted(names), sorted(arrays))
