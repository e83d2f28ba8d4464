"""A run stopped anywhere and resumed from its checkpoint ends with the bits of one undisturbed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_core import Augmentation, Checkpoint, CheckpointError, Cursor, Dataset, Recipe, Training
from tests.support.training_runs import epochs_of, result

RECIPE = Recipe((4,), "relu", "he_normal", 0.01, epochs=3, batch_size=128, learning_rate=0.2)
RECIPES = {
    "sgd": RECIPE,
    "sgd and l2": replace(RECIPE, l2=0.01),
    "momentum": replace(RECIPE, momentum=0.9),
    "nesterov": replace(RECIPE, momentum=0.9, nesterov=True, activation="sigmoid"),
    "live columns": replace(RECIPE, hidden=(64,)),
    "adamw": replace(RECIPE, optimizer="adamw", weight_decay=0.1, schedule="cosine"),
    "augmented": replace(RECIPE, augmentation=Augmentation(rotation=9, elastic=1.0)),
    "live columns and momentum": replace(RECIPE, hidden=(64,), momentum=0.9, l2=0.01),
}
SLICES = 3 * (5 + 1 + 1 + 1)  # batches, a block of each split, the record


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_resumed_from_any_slice_ends_with_the_same_bits(
    recipe: Recipe, dataset: Dataset
) -> None:
    undisturbed = result(Training(recipe, dataset))
    training, epochs, stops = Training(recipe, dataset), [], 0
    for progress in training:
        epochs += [progress.epoch] if progress.epoch else []
        assert result(Training(recipe, dataset, training.make_checkpoint()), epochs) == undisturbed
        stops += 1
    assert stops == SLICES


@settings(deadline=None, max_examples=30)
@given(
    recipe=st.sampled_from(list(RECIPES.values())),
    slices=st.lists(st.integers(0, SLICES), max_size=6),
)
def test_a_run_stopped_again_and_again_ends_with_the_same_bits(
    recipe: Recipe, slices: list[int], dataset: Dataset
) -> None:
    training, epochs = Training(recipe, dataset), []
    for count in slices:
        for _, progress in zip(range(count), training, strict=False):
            epochs += [progress.epoch] if progress.epoch else []
        training = Training(recipe, dataset, training.make_checkpoint())
    assert result(training, epochs) == result(Training(recipe, dataset))


def test_a_second_iteration_continues_at_the_cursor(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    for _, _ in zip(range(3), training, strict=False):
        pass
    assert training.cursor == Cursor(0, 3)
    assert result(training) == result(Training(RECIPE, dataset))


def test_a_finished_run_yields_nothing_more(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    epochs_of(training)
    assert training.cursor == Cursor(3, 0)
    assert list(Training(RECIPE, dataset, training.make_checkpoint())) == []


def test_a_finished_run_continues_with_a_recipe_of_more_epochs(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    epochs = epochs_of(training)
    longer = replace(RECIPE, epochs=4)
    resumed = Training(longer, dataset, training.make_checkpoint())
    assert result(resumed, epochs) == result(Training(longer, dataset))


def test_the_weights_of_a_checkpoint_are_in_the_order_of_the_pixels(
    dataset: Dataset,
) -> None:
    black = {5}  # no gradient ever reaches the weights of this pixel
    training = Training(RECIPE, dataset)
    before = training.make_checkpoint().arrays["layers.1.weight"]
    epochs_of(training)
    after = training.make_checkpoint().arrays["layers.1.weight"]
    assert set(np.flatnonzero((before == after).all(axis=1)).tolist()) == black


@pytest.mark.parametrize(
    ("stored", "wanted", "complaint"),
    [
        (
            RECIPE,
            replace(RECIPE, hidden=(5,)),
            r"layers.1.weight: expected float32 \(6, 5\), found float32 \(6, 4\)",
        ),
        (RECIPE, replace(RECIPE, hidden=()), "names of arrays: .* found .*'layers.2.bias'"),
        (RECIPE, RECIPES["momentum"], "names of arrays: expected .*'momentum.layers.1.bias'"),
        (RECIPES["momentum"], RECIPE, "names of arrays: .* found .*'momentum.layers.1.bias'"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(
    stored: Recipe, wanted: Recipe, complaint: str, dataset: Dataset
) -> None:
    checkpoint = Training(stored, dataset).make_checkpoint()
    with pytest.raises(CheckpointError, match=complaint):
        Training(wanted, dataset, checkpoint)


def test_a_checkpoint_of_other_precision_is_refused(dataset: Dataset) -> None:
    checkpoint = Training(RECIPE, dataset).make_checkpoint()
    checkpoint.arrays["layers.2.bias"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"layers.2.bias: expected float32 \(3,\), found fl"):
        Training(RECIPE, dataset, checkpoint)


def test_a_checkpoint_with_a_cursor_outside_the_run_is_refused(dataset: Dataset) -> None:
    arrays = Training(RECIPE, dataset).make_checkpoint().arrays
    with pytest.raises(CheckpointError, match="cursor: expected"):
        Training(RECIPE, dataset, Checkpoint(Cursor(0, 6), arrays, 0.0))
