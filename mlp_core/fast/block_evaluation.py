"""Loss and accuracy of a network on whole splits, in blocks of rows."""

import contextvars
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from itertools import islice
from threading import Thread
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Matrix
from mlp_core.dataset import Split
from mlp_core.errors import ShapeError
from mlp_core.fast.buffers import Workspace, buffer
from mlp_core.fast.data_layout import BLOCK_ROWS, Arrangement, Block, blocks
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, forward


class Score(NamedTuple):
    """How good a network is on a split."""

    loss: float  # mean cross-entropy in nats
    accuracy: float  # share of the rows whose largest logit is that of their label, in [0, 1]


Parts: TypeAlias = NDArray[np.float64]
"""(blocks, 2), of each block the sum of its losses in nats, and how many rows are read rightly."""


class Evaluator:
    """Scores networks of one shape, a block at a time, in buffers of its own.

    New arrays of this size would go back to the kernel every time: it would take 1.3 times as long.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        n_in, n_out, *_ = sizes
        self._work = Workspace.allocate(sizes, BLOCK_ROWS)
        self._X = buffer(BLOCK_ROWS * n_in)
        self._W = buffer(n_in, n_out)

    def fill(self, parts: Parts, network: Network, blocks: Iterable[Block]) -> Iterator[None]:
        """Fill a row of `parts` for each of the blocks; yield after each."""
        for part, block in zip(parts, blocks, strict=True):
            part[:] = self._part(network, block)
            yield

    def _part(self, network: Network, block: Block) -> tuple[float, int]:
        work = self._work.head(len(block.labels))
        logits = work.outputs[-1]
        forward(self._narrow(network, block), self._inputs(block), work.outputs)
        cross_entropy(logits, block.labels, work.losses, work.d_outputs[-1])
        loss = float(work.losses.sum(dtype="float64"))  # a sum over a set is long
        return loss, int((logits.argmax(axis=1) == block.labels).sum())

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


def score_of(parts: Parts, rows: int) -> Score:
    """The score of a split of so many rows."""
    loss, correct = 0.0, 0
    for part_loss, part_correct in parts.tolist():
        loss += part_loss
        correct += int(part_correct)
    return Score(loss / rows, correct / rows)


class Helper(Protocol):
    """Another process that fills every second part."""

    parts: Parts
    """Filled by both, each its own."""

    def finish(self) -> bool:
        """Wait until all its parts are filled; return whether it did so."""
        ...


class Evaluation:
    """Scores a copy of the network, in a thread if a core is idle, else a part at each `done`.

    NumPy lets go of the interpreter while it computes, so the thread works beside the next epoch.
    Without an idle core it would only push that epoch out of the cache. The scores are the same.
    """

    def __init__(self, network: Network, data: Arrangement) -> None:
        self._data = data
        self._evaluator = Evaluator(network.sizes)
        self._parts = np.empty((len(data.train.widths) + len(data.test.widths), 2))
        self._scores: Future[tuple[Score, Score]] | None = None
        self.network = network.copy()  # what is scored
        self.aside = False  # whether a thread does it

    @property
    def pending(self) -> bool:
        """Whether scores are still to be taken."""
        return self._scores is not None

    def start_with(
        self, network: Network, *, aside: bool = False, helper: Helper | None = None
    ) -> None:
        """Begin to score a copy of this network; the scores of the last one must be taken.

        A helper has begun already.
        """
        for own, array in zip(self.network.flat, network.flat, strict=True):
            np.copyto(own, array)
        self.start(aside=aside, helper=helper)

    def start(self, *, aside: bool = False, helper: Helper | None = None) -> None:
        """Begin to score `network`, which must stay as it is until `take`; `aside`: in a thread."""
        self._scores = Future()
        self.aside = aside
        self._work = self._score(self._scores, helper)
        if aside:
            # A thread begins without NumPy's error state; and none may keep a process from ending.
            run = contextvars.copy_context().run
            try:
                Thread(target=run, args=(deque, self._work, 0), daemon=True).start()
            except RuntimeError:  # no room for one more
                self.aside = False

    def done(self, patience: float = 0.0) -> bool:
        """Do a part of the work, or wait so many seconds at most; return whether all is done."""
        if self._scores is None:
            return False
        if not self.aside:
            next(self._work, None)
        elif patience:
            wait([self._scores], patience)
        return self._scores.done()

    def take(self) -> tuple[Score, Score]:
        """The scores on the training and on the test set; the next network may come."""
        assert self._scores  # noqa: S101
        scores, self._scores = self._scores, None
        return scores.result()

    def _score(self, scores: Future[tuple[Score, Score]], helper: Helper | None) -> Iterator[None]:
        parts = helper.parts if helper else self._parts
        try:
            yield from self._fill(parts, 0, 2 if helper else 1)
            if helper and not helper.finish():
                yield from self._fill(parts, 1, 2)
            train, test = self._data.train, self._data.test
            ends = len(train.widths)
            scores.set_result(
                (score_of(parts[:ends], len(train)), score_of(parts[ends:], len(test)))
            )
        except BaseException as exc:
            scores.set_exception(exc)

    def _fill(self, parts: Parts, start: int, step: int) -> Iterator[None]:
        """Fill every part, or every second one."""
        blocks = islice(self._data.blocks(), start, None, step)
        yield from self._evaluator.fill(parts[start::step], self.network, blocks)


def evaluate(network: Network, split: Split) -> Score:
    """Mean loss in nats and accuracy in [0, 1] of a network on a split.

    Raises:
        ShapeError: the images have other columns than the network has inputs.

    """
    n_in, *_ = network.sizes
    if split.images.shape[1] != n_in:
        raise ShapeError("images", f"(n, {n_in})", split.images.shape)
    arranged = blocks(split)
    parts = np.empty((len(arranged.widths), 2))
    deque(Evaluator(network.sizes).fill(parts, network, arranged), 0)
    return score_of(parts, len(split))
