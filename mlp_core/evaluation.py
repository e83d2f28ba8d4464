"""Loss and accuracy of a network on whole splits, in blocks of rows."""

import contextvars
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, wait
from threading import Thread
from typing import NamedTuple

import numpy as np

from mlp_core.arrangement import BLOCK_ROWS, Arrangement, Block, Blocks, blocks
from mlp_core.arrays import Matrix
from mlp_core.dataset import Split
from mlp_core.errors import ShapeError
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, forward
from mlp_core.workspace import Workspace, buffer


class Score(NamedTuple):
    """How good a network is on a split."""

    loss: float  # mean cross-entropy in nats
    accuracy: float  # share of the rows whose largest logit is that of their label, in [0, 1]


class Evaluator:
    """Scores networks of one shape, a block at a time, in buffers of its own.

    New arrays of this size would go back to the kernel every time: it would take 1.3 times as long.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        n_in, n_out, *_ = sizes
        self._work = Workspace.allocate(sizes, BLOCK_ROWS)
        self._X = buffer(BLOCK_ROWS * n_in)
        self._W = buffer(n_in, n_out)

    def score(self, network: Network, blocks: Blocks) -> Generator[None, None, Score]:
        """Yield after each block; return the score."""
        loss_sum, correct = 0.0, 0  # float64: a sum over a set is long
        for block in blocks:
            work = self._work.head(len(block.labels))
            logits = work.outputs[-1]
            forward(self._narrow(network, block), self._inputs(block), work.outputs)
            cross_entropy(logits, block.labels, work.losses, work.d_outputs[-1])
            loss_sum += float(work.losses.sum(dtype="float64"))
            correct += int((logits.argmax(axis=1) == block.labels).sum())
            yield
        return Score(loss_sum / len(blocks), correct / len(blocks))

    def _inputs(self, block: Block) -> Matrix:
        X = self._X[: block.pixels.size].reshape(block.pixels.shape)
        np.copyto(X, block.pixels)
        return X

    def _narrow(self, network: Network, block: Block) -> Network:
        """The network of the block's pixels only, not scaled: its weights are fewer to scale."""
        W, *others = network.weights
        narrow_W = self._W[: len(block.columns)]
        np.take(W, block.columns, axis=0, out=narrow_W, mode="clip")
        narrow_W *= 1 / 255
        return Network((narrow_W, *others), network.biases, network.activation)


class Evaluation:
    """Scores a copy of the network, in a thread if a core is idle, else a part at each `done`.

    NumPy lets go of the interpreter while it computes, so the thread works beside the next epoch.
    Without an idle core it would only push that epoch out of the cache. The scores are the same.
    """

    def __init__(self, network: Network, data: Arrangement) -> None:
        self._data = data
        self._evaluator = Evaluator(network.sizes)
        self._scores: Future[tuple[Score, Score]] | None = None
        self.network = network.copy()  # what is scored
        self.aside = False  # whether a thread does it

    @property
    def pending(self) -> bool:
        """Whether scores are still to be taken."""
        return self._scores is not None

    def start_with(self, network: Network, *, aside: bool) -> None:
        """Begin to score a copy of this network; the scores of the last one must be taken."""
        for own, array in zip(self.network.flat, network.flat, strict=True):
            np.copyto(own, array)
        self.start(aside=aside)

    def start(self, *, aside: bool) -> None:
        """Begin to score `network`, which must stay as it is until `take`; `aside`: in a thread."""
        self._scores = Future()
        self.aside = aside
        self._parts = self._score(self._scores)
        if aside:
            # A thread begins without NumPy's error state; and none may keep a process from ending.
            run = contextvars.copy_context().run
            try:
                Thread(target=run, args=(deque, self._parts, 0), daemon=True).start()
            except RuntimeError:  # no room for one more
                self.aside = False

    def done(self, patience: float = 0.0) -> bool:
        """Do a part of the work, or wait so many seconds at most; return whether all is done."""
        if self._scores is None:
            return False
        if not self.aside:
            next(self._parts, None)
        elif patience:
            wait([self._scores], patience)
        return self._scores.done()

    def take(self) -> tuple[Score, Score]:
        """The scores on the training and on the test set; the next network may come."""
        assert self._scores  # noqa: S101
        scores, self._scores = self._scores, None
        return scores.result()

    def _score(self, scores: Future[tuple[Score, Score]]) -> Iterator[None]:
        try:
            train = yield from self._evaluator.score(self.network, self._data.train)
            test = yield from self._evaluator.score(self.network, self._data.test)
            scores.set_result((train, test))
        except BaseException as exc:
            scores.set_exception(exc)


def evaluate(network: Network, split: Split) -> Score:
    """Mean loss in nats and accuracy in [0, 1] of a network on a split.

    Raises:
        ShapeError: the images have other columns than the network has inputs.

    """
    n_in, *_ = network.sizes
    if split.images.shape[1] != n_in:
        raise ShapeError("images", f"(n, {n_in})", split.images.shape)
    parts = Evaluator(network.sizes).score(network, blocks(split))
    while True:
        try:
            next(parts)
        except StopIteration as end:
            score: Score = end.value
            return score
