"""Who takes the steps of a run: one process, or two where that is faster and bits stay."""

import os
import platform
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlp_core.dataset import Dataset
from mlp_core.fast.block_evaluation import Helper
from mlp_core.fast.data_layout import Arrangement
from mlp_core.fast.sparse_input import rare_columns
from mlp_core.parallel.second_process import Pair
from mlp_core.parallel.split_steps import NoPartner, cut_of, keeps_bits
from mlp_core.recipe import Recipe
from mlp_core.steps import Steps

# Multiplications in a part of a product of the first layer, at least: with fewer it does not pay,
# and below a million OpenBLAS computes the part in another way, with other bits, than the whole.
WORTH = 2**20
ROOM = 2**23  # numbers in all first weights and inputs of a batch, at most: a pair holds copies
SAMPLE_ROWS = 512  # more only make more blocks of the same kind


class StepsLost(Exception):
    """The last steps have to be taken again: the process that had half of them is gone."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class Crew:
    """Takes steps alone or, in an epoch for which there is a core, together with a second process.

    The network is in one piece, or its halves are `ahead` of that by some steps.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, data: Arrangement) -> None:
        self._given = recipe, dataset, data
        self._whole = Steps(recipe, dataset, data)
        self._batch_rows = min(recipe.batch_size, len(dataset.train))
        self.pairs = suits(recipe, data)  # whether it may take a second process
        self._pair: Pair | None = None
        self._paired = False  # whether it does in this epoch
        self._ahead: int | None = None

    @property
    def steps(self) -> Steps:
        """The network in one piece, which `unite` brings up to date."""
        return self._whole

    def begin(self, core_is_idle: Callable[[], bool]) -> None:
        """Begin an epoch."""
        self._paired = self.pairs and core_is_idle()

    def take(
        self,
        rows: NDArray[np.int64],
        rate: float,
        number: int,
        chance: np.random.Generator | None = None,
    ) -> float:
        """Take a step, as `Steps.take` does.

        Raises:
            StepsLost: this was not taken, and some before it are to be taken again, alone.

        """
        if not self._paired or len(rows) < self._batch_rows:  # halves of fewer may differ in bits
            self.unite()
            return self._whole.take(rows, rate, number, chance)
        try:
            loss = self._halves().take(rows, rate, number)
        except NoPartner:
            self._go_on_alone()
        self._ahead = (self._ahead or 0) + 1
        return loss

    def unite(self) -> None:
        """Put the network together, as it is after the last step.

        Raises:
            StepsLost: it is as it was before the last steps.

        """
        if self._pair and self._ahead is not None:
            try:
                self._pair.gather(self._whole.arrays())
            except NoPartner:
                self._go_on_alone()
            self._ahead = None

    def helper(self) -> Helper | None:
        """The second process, if there is one, which begins to score the network in one piece."""
        if not (self._paired and self._pair):
            return None
        try:
            self._pair.score(self._whole.arrays())
        except NoPartner:
            self.pairs = False
            return None
        return self._pair

    def _halves(self) -> Pair:
        if self._pair is None:
            self._pair = _pair_of(*self._given, self._whole.arrays())
        if self._ahead is None:
            self._pair.load(self._whole.arrays())
            self._ahead = 0
        return self._pair

    def _go_on_alone(self) -> NoReturn:
        lost = self._ahead or 0
        if self._pair:
            self._pair.close()
        self.pairs = self._paired = False
        self._pair = self._ahead = None
        raise StepsLost(lost) from None


def suits(recipe: Recipe, data: Arrangement) -> bool:
    """Whether two processes would be faster than one and a thread."""
    if len(recipe.hidden) != 1 or recipe.augmentation is not None:
        return False
    (n_out,) = recipe.hidden
    rows = min(recipe.batch_size, len(data.labels))
    n_in = len(data.shares)
    usual = n_in - rare_columns(data, rows)
    return rows * usual * cut_of(n_out) >= WORTH and (rows + n_in) * (n_in + n_out) <= ROOM


def _pair_of(
    recipe: Recipe, dataset: Dataset, data: Arrangement, whole: dict[str, NDArray[Any]]
) -> Pair:
    if platform.machine() != "x86_64" or not hasattr(os, "fork"):
        raise NoPartner("processes of other kinds see memory in another order")
    if threading.active_count() > 1:
        raise NoPartner("other threads would not survive a fork")
    rows = min(recipe.batch_size, len(data.labels))
    n_in, (n_out,) = len(data.shares), recipe.hidden
    widths = n_in - rare_columns(data, rows), n_in
    sample = min(rows, SAMPLE_ROWS)
    try:
        if not all(keeps_bits(sample, width, n_out, dataset.classes) for width in widths):
            raise NoPartner("the products of parts have other bits")
        return Pair(recipe, dataset, data, whole)
    except (OSError, MemoryError) as exc:  # there is room for one still
        raise NoPartner(str(exc)) from exc
