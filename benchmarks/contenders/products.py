"""Only the matrix products of an epoch, with all pixels.

They are a lower bound for the time of dense arithmetic: no trainer on this BLAS can be faster
unless it skips black pixels.
"""

from itertools import pairwise

import numpy as np

from benchmarks.contenders.race import Accuracies, Epoch, Task, take_part
from mlp_core.arrays import aligned_empty

TRAIN, TEST, BLOCK = 60_000, 10_000, 500
Pass = tuple[np.ndarray, np.ndarray, np.ndarray]


def matrix(*shape: int) -> np.ndarray:
    array = aligned_empty(*shape)
    array[:] = np.random.default_rng(1).random(shape, dtype=np.float32)
    return array


def products(sizes: tuple[int, ...], rows: int, *, backward: bool) -> list[Pass]:
    outputs = [matrix(rows, n) for n in sizes]
    passes: list[Pass] = []
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        W = matrix(n_in, n_out)
        passes.append((outputs[k], W, outputs[k + 1]))
        if backward:
            passes.append((outputs[k].T, outputs[k + 1], np.empty_like(W)))
        if backward and k > 0:
            passes.append((outputs[k + 1], W.T, outputs[k]))
    return passes


def prepare(task: Task) -> Epoch:
    work = [
        (TRAIN // task.batch_size, products(task.sizes, task.batch_size, backward=True)),
        ((TRAIN + TEST) // BLOCK, products(task.sizes, BLOCK, backward=False)),
    ]

    def epoch() -> Accuracies:
        for count, passes in work:
            for _ in range(count):
                for A, B, C in passes:
                    np.matmul(A, B, out=C)
        return 0.0, 0.0

    return epoch


if __name__ == "__main__":
    take_part(prepare)
