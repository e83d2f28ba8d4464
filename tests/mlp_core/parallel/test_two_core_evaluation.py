"""A thread evaluates on an idle core during the next epoch, with the same scores."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest

from mlp_core import Augmentation, Checkpoint, Cursor, Dataset, Network, Recipe, Training, lay_out
from mlp_core.fast.block_evaluation import BlockTotals, Evaluator
from mlp_core.fast.data_layout import Block
from mlp_core.metrics import Scores
from mlp_core.parallel.step_runner import TwoCoreSteps
from mlp_core.parallel.two_core_evaluation import TwoCoreEvaluation
from tests.support.training_runs import epochs_of, result

RECIPE = Recipe((5, 4), "tanh", "he_normal", 0.01, epochs=3, batch_size=128, learning_rate=0.3)
RECIPES = {
    "two hidden layers": RECIPE,
    "linear": replace(RECIPE, hidden=()),
    "momentum": replace(RECIPE, momentum=0.9),
    "adamw": replace(RECIPE, optimizer="adamw", weight_decay=0.1, schedule="cosine"),
    "augmented": replace(RECIPE, augmentation=Augmentation(rotation=9, elastic=1.0)),
}


def run(
    recipe: Recipe, dataset: Dataset, checkpoint: Checkpoint | None = None, *, idle: bool = True
) -> Training:
    steps = TwoCoreSteps(recipe, dataset, lay_out(dataset), lambda: idle)
    return Training(recipe, dataset, checkpoint, steps)


def test_an_idle_core_evaluates_while_the_next_epoch_is_trained(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = Event()
    fill = Evaluator.fill

    def late(
        self: Evaluator, totals: BlockTotals, network: Network, blocks: Iterable[Block]
    ) -> Iterator[None]:
        proceed.wait()
        yield from fill(self, totals, network, blocks)

    monkeypatch.setattr(Evaluator, "fill", late)
    training = run(RECIPE, dataset)
    slices = iter(training)
    for _ in range(8):
        assert next(slices).epoch is None
    assert training.cursor == Cursor(1, 3)
    proceed.set()
    assert [epoch.number for epoch in epochs_of(slices)] == [1, 2, 3]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_scores_and_bits_are_those_of_one_thread(recipe: Recipe, dataset: Dataset) -> None:
    assert result(run(recipe, dataset)) == result(Training(recipe, dataset))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_resumed_from_a_checkpoint_with_a_pending_evaluation_ends_with_the_same_bits(
    recipe: Recipe, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = result(Training(recipe, dataset))

    def never(self: TwoCoreEvaluation, patience: float = 0.0) -> Scores | None:
        return None  # the scores are never complete in time

    training = run(recipe, dataset)
    with monkeypatch.context() as patch:
        patch.setattr(TwoCoreEvaluation, "advance", never)
        for _, _ in zip(range(5 + 3), training, strict=False):
            pass
    checkpoint = training.make_checkpoint()
    assert checkpoint.cursor == Cursor(1, 3)
    assert "scored.layers.1.weight" in checkpoint.arrays
    for idle in (True, False):
        assert result(run(recipe, dataset, checkpoint, idle=idle)) == undisturbed
    assert result(Training(recipe, dataset, checkpoint)) == undisturbed


def test_an_evaluation_that_fails_in_its_thread_fails_the_run(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Evaluator, "fill", fail)
    with pytest.raises(MemoryError, match="no room"):
        epochs_of(run(RECIPE, dataset))


def test_where_no_thread_can_be_started_the_run_evaluates_between_epochs(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    assert result(run(RECIPE, dataset)) == result(Training(RECIPE, dataset))


def test_the_thread_has_the_error_state_of_the_run(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fill = Evaluator.fill

    def watched(
        self: Evaluator, totals: BlockTotals, network: Network, blocks: Iterable[Block]
    ) -> Iterator[None]:
        seen.append(np.geterr()["over"])
        yield from fill(self, totals, network, blocks)

    monkeypatch.setattr(Evaluator, "fill", watched)
    epochs_of(run(RECIPE, dataset))
    assert seen == ["raise"] * 3
