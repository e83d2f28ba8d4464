"""Takes the steps of a run with a second core when one is idle and using it is faster.

A network that can be split is trained and evaluated by two processes; any other is evaluated in a
thread while the next epoch is trained.
"""

import os
import platform
import threading
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from mlp_core.arrays import Arrays, Indices
from mlp_core.dataset import Dataset
from mlp_core.fast.data_layout import DataLayout
from mlp_core.fast.sparse_input import rare_columns
from mlp_core.gradient_descent import GradientDescent
from mlp_core.network import Network
from mlp_core.parallel.second_process import ProcessPair
from mlp_core.parallel.shared_memory import PeerLost
from mlp_core.parallel.split_steps import split_keeps_bits, split_units
from mlp_core.parallel.two_core_evaluation import TwoCoreEvaluation
from mlp_core.recipe import Recipe
from mlp_core.steps import StepsLost

# The least number of multiplications in a part of the first layer's product. With fewer, splitting
# does not pay, and below a million OpenBLAS computes the part with other bits than the whole.
MIN_PRODUCT = 2**20
# The greatest total size of the first weights and the inputs of a batch, in numbers: two processes
# hold copies of them.
MAX_NUMBERS = 2**23
SAMPLE_ROWS = 512  # more rows only make more blocks of the same kind


class TwoCoreSteps:
    """Takes steps in this process or, in an epoch for which a core is idle, in two.

    The whole network is up to date, or the two halves are some steps ahead of it.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        layout: DataLayout,
        core_is_idle: Callable[[], bool],
    ) -> None:
        """Allocate all buffers.

        Args:
            recipe: what to train.
            dataset: what to train on.
            layout: the layout of the data set.
            core_is_idle: returns whether a second core may be used; called once per epoch.

        Raises:
            DatasetError: the recipe asks for augmentation, but the images' shape is unknown.

        """
        self._given = recipe, dataset, layout
        self._core_is_idle = core_is_idle
        self._whole = GradientDescent(recipe, dataset, layout)
        self._batch_rows = min(recipe.batch_size, len(dataset.train))
        self._can_split = can_split(recipe, layout)
        self._pair: ProcessPair | None = None
        self._splits = False  # whether this epoch's steps are split
        self._steps_ahead: int | None = None  # of the halves; None if they must be loaded first
        self.network = self._whole.network
        self.input_order = layout.order
        self.evaluation = TwoCoreEvaluation(self.network, layout)

    @property
    def second_process_id(self) -> int | None:
        """The process id of the second process, if there is one."""
        return self._pair.process_id if self._pair else None

    def arrays(self) -> Arrays:
        return self._whole.arrays()

    def begin_epoch(self) -> None:
        self._splits = self._can_split and self._core_is_idle()

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        # Halves of a smaller batch may have other bits.
        if not self._splits or len(rows) < self._batch_rows:
            self.synchronize()
            return self._whole.train_batch(rows, learning_rate, number, rng)
        try:
            loss = self._load_pair().train_batch(rows, learning_rate, number)
        except PeerLost:
            self._continue_alone()
        self._steps_ahead = (self._steps_ahead or 0) + 1
        return loss

    def synchronize(self) -> None:
        if self._pair and self._steps_ahead is not None:
            try:
                self._pair.gather(self._whole.arrays())
            except PeerLost:
                self._continue_alone()
            self._steps_ahead = None

    def start_evaluation(self, network: Network) -> None:
        pair = self._pair if self._splits else None
        if pair and self._try_to_share_evaluation(pair):
            self.evaluation.start_shared(network, pair)
        elif not self._can_split and self._core_is_idle():
            self.evaluation.start_in_thread(network)
        else:
            self.evaluation.start(network)

    def _try_to_share_evaluation(self, pair: ProcessPair) -> bool:
        """Let the second process begin its share of the evaluation; return whether it does."""
        try:
            pair.start_evaluation(self._whole.arrays())
        except PeerLost:
            self._can_split = False
            return False
        return True

    def _load_pair(self) -> ProcessPair:
        """Start the second process and load both halves, unless that is done; return the two."""
        if self._pair is None:
            self._pair = _start_pair(*self._given, self._whole.arrays())
        if self._steps_ahead is None:
            self._pair.load(self._whole.arrays())
            self._steps_ahead = 0
        return self._pair

    def _continue_alone(self) -> NoReturn:
        lost = self._steps_ahead or 0
        if self._pair:
            self._pair.close()
        self._can_split = self._splits = False
        self._pair = self._steps_ahead = None
        raise StepsLost(lost) from None


def can_split(recipe: Recipe, layout: DataLayout) -> bool:
    """Return whether two processes would be faster than one process and a thread."""
    if len(recipe.hidden) != 1 or recipe.augmentation is not None:
        return False
    (n_out,) = recipe.hidden
    rows = min(recipe.batch_size, len(layout.labels))
    n_in = len(layout.shares)
    usual = n_in - rare_columns(layout, rows)
    smaller_part = rows * usual * split_units(n_out)[0].stop
    return smaller_part >= MIN_PRODUCT and (rows + n_in) * (n_in + n_out) <= MAX_NUMBERS


def _start_pair(recipe: Recipe, dataset: Dataset, layout: DataLayout, whole: Arrays) -> ProcessPair:
    if platform.machine() != "x86_64" or not hasattr(os, "fork"):
        raise PeerLost("other kinds of processor let processes see memory in another order")
    if threading.active_count() > 1:
        raise PeerLost("other threads would not survive a fork")
    rows = min(recipe.batch_size, len(layout.labels))
    n_in, (n_out,) = len(layout.shares), recipe.hidden
    widths = n_in - rare_columns(layout, rows), n_in
    sample = min(rows, SAMPLE_ROWS)
    try:
        if not all(split_keeps_bits(sample, width, n_out, dataset.classes) for width in widths):
            raise PeerLost("split products have other bits")
        return ProcessPair(recipe, dataset, layout, whole)
    except (OSError, MemoryError) as exc:  # there may still be enough memory for one process
        raise PeerLost(str(exc)) from exc
