"""The arrays of a run as a checkpoint carries them: their names and the order of their rows.

In a run, the rows of the first layer's arrays are in the order of the run's inputs, which puts
rarely used pixels first (fast/data_layout.py). In a checkpoint they are in the order of the images'
pixels, as everyone who loads the weights expects.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Arrays, Indices
from mlp_core.network import Network, weight_name

FIRST_WEIGHT = weight_name(1)  # the names of its moments end with it, too
EVALUATED = "scored."  # precedes the names of a network that is still being evaluated


def with_evaluated(arrays: Arrays, network: Network) -> Arrays:
    """Return `arrays` and those of the network that is being evaluated, not copied."""
    return arrays | {f"{EVALUATED}{name}": array for name, array in network.arrays().items()}


def has_evaluated(names: Iterable[str]) -> bool:
    """Return whether there are arrays of a network that was still being evaluated."""
    return any(name.startswith(EVALUATED) for name in names)


def evaluated_network(arrays: Arrays, activation: str) -> Network:
    """Return the network that was still being evaluated."""
    own = {
        name.removeprefix(EVALUATED): array
        for name, array in arrays.items()
        if name.startswith(EVALUATED)
    }
    return Network.from_arrays(own, activation)


def in_pixel_order(arrays: Mapping[str, NDArray[Any]], input_order: Indices) -> Arrays:
    """Return copies of a run's arrays, with rows in the order of a checkpoint."""
    places = np.argsort(input_order)
    return {
        name: array[places] if name.endswith(FIRST_WEIGHT) else array.copy()
        for name, array in arrays.items()
    }


def in_input_order(arrays: Mapping[str, NDArray[Any]], input_order: Indices) -> Arrays:
    """Return a checkpoint's arrays with rows in the order of a run; others are not copied."""
    return {
        name: array[input_order] if name.endswith(FIRST_WEIGHT) else array
        for name, array in arrays.items()
    }
