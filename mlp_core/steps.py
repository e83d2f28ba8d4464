"""The interface through which `Training` takes the steps of a run, implemented in one process.

A second implementation of `Steps` is `parallel.step_runner.TwoCoreSteps`.
"""

from typing import Protocol

import numpy as np

from mlp_core.arrays import Arrays, Indices
from mlp_core.dataset import Dataset
from mlp_core.fast.block_evaluation import BlockEvaluation  # skips black pixels
from mlp_core.fast.data_layout import DataLayout, lay_out
from mlp_core.gradient_descent import GradientDescent
from mlp_core.metrics import Scores
from mlp_core.network import Network
from mlp_core.recipe import Recipe


class StepsLost(Exception):
    """The last `count` steps are undone and must be taken again."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class Evaluation(Protocol):
    """Evaluates a copy of the network on both splits, between epochs or during the next one."""

    @property
    def network(self) -> Network:
        """The copy. While an evaluation is pending, checkpoints carry it."""
        ...

    @property
    def pending(self) -> bool:
        """Whether there are scores that `advance` has not returned yet."""
        ...

    @property
    def in_thread(self) -> bool:
        """Whether the evaluation proceeds by itself while batches are trained."""
        ...

    def advance(self, patience: float = 0.0) -> Scores | None:
        """Evaluate another block of rows; return the scores when all blocks are done.

        If the evaluation proceeds by itself, wait for its end for up to `patience` seconds instead.
        """
        ...


class Steps(Protocol):
    """Takes the steps of a run and evaluates the networks that they lead to."""

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation of the last finished epoch's network."""
        ...

    @property
    def network(self) -> Network:
        """The network in training, not copied; complete after `synchronize`."""
        ...

    @property
    def input_order(self) -> Indices:
        """(n_in,), which column of the images each input of the network is."""
        ...

    def arrays(self) -> Arrays:
        """The network and the optimizer's state by name, not copied; see `network`."""
        ...

    def begin_epoch(self) -> None:
        """Decide how the steps of the next epoch are taken."""
        ...

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        """Take a step, as `GradientDescent.train_batch` does.

        Raises:
            StepsLost: this step was not taken, and steps before it are undone.

        """
        ...

    def synchronize(self) -> None:
        """Bring `network` and `arrays` to the state after the last step.

        Raises:
            StepsLost: that state is lost; they are in the state before the lost steps.

        """
        ...

    def start_evaluation(self, network: Network) -> None:
        """Begin to evaluate a copy of a network; no evaluation may be pending."""
        ...


class SingleProcessSteps:
    """Takes every step in this process, and evaluates between two epochs."""

    def __init__(self, recipe: Recipe, dataset: Dataset, layout: DataLayout | None = None) -> None:
        """Allocate all buffers.

        Args:
            recipe: what to train.
            dataset: what to train on.
            layout: the layout of the data set, if it has been computed before.

        Raises:
            DatasetError: the recipe asks for augmentation, but the images' shape is unknown.

        """
        layout = layout or lay_out(dataset)
        self._descent = GradientDescent(recipe, dataset, layout)
        self.network = self._descent.network
        self.input_order = layout.order
        self.evaluation = BlockEvaluation(self.network, layout)

    def arrays(self) -> Arrays:
        return self._descent.arrays()

    def begin_epoch(self) -> None:
        """Do nothing: there is nothing to decide."""

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        return self._descent.train_batch(rows, learning_rate, number, rng)

    def synchronize(self) -> None:
        """Do nothing: the network is always complete."""

    def start_evaluation(self, network: Network) -> None:
        self.evaluation.start(network)
