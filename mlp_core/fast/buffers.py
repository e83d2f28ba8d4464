"""Buffers that are allocated once and reused for every batch."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from mlp_core.arrays import Matrix, Pixels, Vector, aligned_empty
from mlp_core.network import empty_outputs


@dataclass(frozen=True, eq=False)
class Workspace:
    """The arrays, besides the parameters, of a forward and a backward pass over some rows."""

    pixels: Pixels  # (rows, n_in)
    outputs: tuple[Matrix, ...]  # (rows, n_out) of each layer: H, and the logits of the last layer
    d_outputs: tuple[Matrix, ...]  # the same shapes: dZ, and d_logits of the last layer
    losses: Vector  # (rows,)

    @classmethod
    def allocate(cls, sizes: tuple[int, ...], rows: int) -> Self:
        """Allocate buffers for up to `rows` rows in a network of these sizes."""
        return cls(
            np.empty((rows, sizes[0]), np.uint8),
            empty_outputs(sizes, rows),
            empty_outputs(sizes, rows),
            aligned_empty(rows),
        )

    def head(self, rows: int) -> Self:
        """Return views of the first `rows` rows of all buffers."""
        if rows == len(self):
            return self
        return type(self)(
            self.pixels[:rows],
            tuple(Z[:rows] for Z in self.outputs),
            tuple(dZ[:rows] for dZ in self.d_outputs),
            self.losses[:rows],
        )

    def __len__(self) -> int:
        return len(self.losses)
