"""Evaluation of a network on both splits of a data layout, block by block."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Indices, Matrix, aligned_empty
from mlp_core.fast.buffers import Workspace
from mlp_core.fast.data_layout import BLOCK_ROWS, Block, Blocks, DataLayout
from mlp_core.loss import cross_entropy
from mlp_core.metrics import Score, Scores, Totals, score, totals
from mlp_core.network import Network, forward

BlockTotals: TypeAlias = NDArray[np.float64]
"""(blocks, 2): for each block the sum of the losses in nats and the number of correct rows."""


class Evaluator:
    """Evaluates networks of one shape, a block at a time, in buffers that are reused.

    New arrays of this size would return to the kernel after each block, which takes 1.3 times as
    long.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        n_in, n_out, *_ = sizes
        self._work = Workspace.allocate(sizes, BLOCK_ROWS)
        self._X = aligned_empty(BLOCK_ROWS * n_in)
        self._W = aligned_empty(n_in, n_out)

    def fill(
        self, block_totals: BlockTotals, network: Network, blocks: Iterable[Block]
    ) -> Iterator[None]:
        """Fill a row of `block_totals` for each of the blocks; yield after each."""
        for row, block in zip(block_totals, blocks, strict=True):
            row[:] = self.evaluate(network, block)[1]
            yield

    def evaluate(self, network: Network, block: Block) -> tuple[Matrix, Totals]:
        """Return the logits (rows, classes) of a block, until the next one comes, and totals."""
        work = self._work.head(len(block.labels))
        logits = work.outputs[-1]
        forward(self._gather_network(network, block), self._convert(block), work.outputs)
        cross_entropy(logits, block.labels, work.losses, work.d_outputs[-1])
        return logits, totals(logits, block.labels, work.losses)

    def _convert(self, block: Block) -> Matrix:
        X = self._X[: block.pixels.size].reshape(block.pixels.shape)
        np.copyto(X, block.pixels)
        return X

    def _gather_network(self, network: Network, block: Block) -> Network:
        """Return the network of the block's columns only, for pixels from 0 to 255.

        The weights are scaled instead of the pixels because there are fewer of them.
        """
        W, *others = network.weights
        narrow_W = self._W[: len(block.columns)]
        np.take(W, block.columns, axis=0, out=narrow_W, mode="clip")
        narrow_W *= 1 / 255
        return Network((narrow_W, *others), network.biases, network.activation)


def evaluate_rows(
    network: Network,
    blocks: Blocks,
    order: Indices | None = None,
    note: Callable[[int], object] = lambda _: None,
) -> tuple[Matrix, Score]:
    """Return the logits (rows, classes) in the order of the blocks, and the score of the split.

    With the blocks of a layout, both have the same bits as in an evaluation during training.

    Args:
        network: not changed; its inputs are in the order of the data set's columns.
        blocks: a split.
        order: which column is at each place of the layout; by default they are in their order.
        note: called with the number of rows that are done, after each block.

    """
    if order is not None:
        W, *others = network.weights
        network = Network((W[order], *others), network.biases, network.activation)
    evaluator, at = Evaluator(network.sizes), 0
    logits = aligned_empty(network.sizes[-1], len(blocks)).T  # as in `empty_outputs`
    parts = []
    for block in blocks:
        own, part = evaluator.evaluate(network, block)
        logits[at : at + len(own)] = own
        at += len(own)
        parts.append(part)
        note(at)
    return logits, score(parts, len(blocks))


class BlockEvaluation:
    """Evaluates a copy of a network, a block each time it is advanced (see steps.Evaluation)."""

    def __init__(self, network: Network, layout: DataLayout) -> None:
        self._layout = layout
        self._evaluator = Evaluator(network.sizes)
        self._totals = np.empty((layout.block_count, 2))
        self._slices: Iterator[Scores | None] | None = None
        self.network = network.copy()

    @property
    def in_thread(self) -> bool:
        return False

    @property
    def pending(self) -> bool:
        return self._slices is not None

    def start(self, network: Network) -> None:
        """Begin to evaluate a copy of `network`; the scores of the last one must be collected."""
        for own, array in zip(self.network.flat, network.flat, strict=True):
            np.copyto(own, array)
        self._slices = self._evaluate()

    def advance(self, patience: float = 0.0) -> Scores | None:
        del patience  # there is always a block to evaluate
        if self._slices is None:
            return None
        scores = next(self._slices)
        if scores is not None:
            self._slices = None
        return scores

    def _evaluate(self) -> Iterator[Scores | None]:
        """Yield None after each block, and the scores at the end."""
        yield from self._fill(self._totals)
        yield self._scores(self._totals)

    def _fill(self, block_totals: BlockTotals, start: int = 0, step: int = 1) -> Iterator[None]:
        """Fill every `step`-th row, beginning at `start`; yield after each."""
        blocks = islice(self._layout.blocks(), start, None, step)
        yield from self._evaluator.fill(block_totals[start::step], self.network, blocks)

    def _scores(self, block_totals: BlockTotals) -> Scores:
        train, test = self._layout.train, self._layout.test
        parts = block_totals.tolist()
        return (
            score(parts[: train.count], len(train)),
            score(parts[train.count :], len(test)),
        )
