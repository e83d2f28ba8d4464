"""Buffers, allocated once and used again for every batch: memory is slower than arithmetic."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from mlp_core.arrays import Matrix, Pixels, Vector


@dataclass(frozen=True, eq=False)
class Workspace:
    """What a pass over some rows needs besides the parameters."""

    pixels: Pixels  # (rows, n_in)
    X: Matrix  # (rows, n_in)
    outputs: tuple[Matrix, ...]  # (rows, n_out) for each layer: H, the last the logits
    d_outputs: tuple[Matrix, ...]  # like `outputs`: dZ, the last d_logits
    losses: Vector  # (rows,)

    @classmethod
    def allocate(cls, sizes: tuple[int, ...], rows: int) -> Self:
        """Buffers for up to `rows` rows in a network of these sizes."""
        return cls(
            np.empty((rows, sizes[0]), np.uint8),
            np.empty((rows, sizes[0]), np.float32),
            layer_buffers(sizes, rows),
            layer_buffers(sizes, rows),
            np.empty(rows, np.float32),
        )

    def head(self, rows: int) -> Self:
        """Views of the first `rows` rows of all buffers."""
        if rows == len(self):
            return self
        return type(self)(
            self.pixels[:rows],
            self.X[:rows],
            tuple(Z[:rows] for Z in self.outputs),
            tuple(dZ[:rows] for dZ in self.d_outputs),
            self.losses[:rows],
        )

    def __len__(self) -> int:
        return len(self.losses)


def layer_buffers(sizes: tuple[int, ...], rows: int) -> tuple[Matrix, ...]:
    """An empty matrix (rows, n_out) for each layer of a network of these sizes."""
    *hidden, classes = sizes[1:]
    # Reductions along so short an axis as the classes are faster if it is the outer one in memory.
    logits = np.empty((classes, rows), np.float32).T
    return (*(np.empty((rows, n_out), np.float32) for n_out in hidden), logits)
