"""How a contender communicates with `benchmarks.training`: a line in and a line out per epoch.

This file needs only the standard library, NumPy and `mlp_core`, which every environment has.
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

from mlp_core import read_idx

MNIST = Path(__file__).parents[2] / "service" / "store" / "mnist"

Accuracies = tuple[float, float]  # on the training and the test set
Epoch = Callable[[], Accuracies]  # trains and evaluates once


@dataclass(frozen=True)
class Task:
    """The network that all contenders train, each from random weights of its own."""

    sizes: tuple[int, ...]
    activation: str
    batch_size: int
    learning_rate: float
    momentum: float
    threads: int


def images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (n, 784) and labels (n,) of `train` or `t10k`."""
    X, labels = (
        read_idx(gzip.decompress((MNIST / f"{split}-{kind}-ubyte.gz").read_bytes()))
        for kind in ("images-idx3", "labels-idx1")
    )
    return X.reshape(len(X), -1), labels


def scaled_images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the same with pixels as float32 in [0, 1]."""
    X, labels = images(split)
    return X.astype(np.float32) / 255, labels


def take_part(prepare: Callable[[Task], Epoch]) -> None:
    """Train and evaluate an epoch for each line on standard input; answer with a line of JSON."""
    task = Task(**json.loads(sys.argv[1]))
    epoch = prepare(task)
    epoch()  # warms up caches and compiles what is compiled
    for _ in sys.stdin:
        start = time.perf_counter()
        train, test = epoch()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "train": train, "test": test}), flush=True)
    os._exit(0)
