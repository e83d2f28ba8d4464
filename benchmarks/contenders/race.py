"""How a contender talks with `benchmarks.training`: one line of JSON each way for each epoch.

Only the standard library, NumPy and `mlp_core.dataset` are used here: every environment has them.
"""

import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlp_core.dataset import read_idx

MNIST = Path(__file__).parents[2] / "service" / "store" / "mnist"

Accuracies = tuple[float, float]  # of the training and the test set


@dataclass(frozen=True)
class Task:
    """What all contenders train in the same way, from random weights of their own."""

    sizes: tuple[int, ...]
    activation: str
    batch_size: int
    learning_rate: float
    momentum: float
    threads: int


def images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 784) and labels (n,) of `train` or `t10k`."""
    X, labels = (
        read_idx(gzip.decompress((MNIST / f"{split}-{kind}-ubyte.gz").read_bytes()))
        for kind in ("images-idx3", "labels-idx1")
    )
    return X.reshape(len(X), -1), labels


def scaled_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The same with pixels as float32 in [0, 1]."""
    X, labels = images(split)
    return X.astype(np.float32) / 255, labels


def take_part(prepare: Callable[[Task], Callable[[], Accuracies]]) -> None:
    """Run an epoch, its evaluation of both sets included, for each line that comes in."""
    task = Task(**json.loads(sys.argv[1]))
    epoch = prepare(task)
    epoch()  # to warm up, and to compile what is compiled
    for _ in sys.stdin:
        start = time.perf_counter()
        train, test = epoch()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "train": train, "test": test}), flush=True)
    os._exit(0)
