"""Runs of the trainer in tests: small recipes' epochs, batches and results, to be compared."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_core import Epoch, Network, Progress, Recipe, Split, Training, scaled

Result: TypeAlias = tuple[dict[str, bytes], list[Epoch]]
"""The final bits of all arrays, and the records of all epochs without their times."""


def epochs_of(training: Iterable[Progress]) -> list[Epoch]:
    """Train to the end; return the records."""
    return [progress.epoch for progress in training if progress.epoch]


def result(training: Training, epochs: Iterable[Epoch] = ()) -> Result:
    """Train to the end; return the result of the whole run, which began with these epochs."""
    records = [*epochs, *epochs_of(training)]
    return bits(training), [replace(epoch, seconds=0.0) for epoch in records]


def bits(training: Training) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in training.make_checkpoint().arrays.items()}


def pairs(network: Network) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Copies of W and b of each layer."""
    return [(W.copy(), b.copy()) for W, b in zip(network.weights, network.biases, strict=True)]


def shuffled_batches(split: Split, recipe: Recipe) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """X and labels of each batch, shuffled as the design says: written down a second time."""
    X = scaled(split.images)
    for epoch in range(1, recipe.epochs + 1):
        sequence = np.random.SeedSequence([recipe.seed, 1, epoch])
        order = np.random.Generator(np.random.PCG64(sequence)).permutation(len(split))
        for rows in np.split(order, range(recipe.batch_size, len(split), recipe.batch_size)):
            yield X[rows], split.labels[rows]
