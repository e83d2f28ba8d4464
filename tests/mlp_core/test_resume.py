"""A run stopped anywhere and resumed from its checkpoint ends with the bits of one undisturbed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_core import Augmentation, Checkpoint, CheckpointError, Cursor, Recipe, Training
from mlp_core.fast.block_evaluation import Evaluation

RECIPE = Recipe((4,), "relu", "he_normal", 0.01, epochs=3, batch_size=128, learning_rate=0.2)
OPTIMIZERS = {
    "sgd": RECIPE,
    "sgd and l2": replace(RECIPE, l2=0.01),
    "momentum": replace(RECIPE, momentum=0.9),
    "nesterov": replace(RECIPE, momentum=0.9, nesterov=True, activation="sigmoid"),
    "live columns": replace(RECIPE, hidden=(64,)),
    "adamw": replace(RECIPE, optimizer="adamw", weight_decay=0.1, schedule="cosine"),
    "deformed": replace(RECIPE, augmentation=Augmentation(rotation=9, elastic=1.0)),
    "live columns and momentum": replace(RECIPE, hidden=(64,), momentum=0.9, l2=0.01),
}
YIELDS = 3 * (5 + 1 + 1 + 1)  # batches, blocks of both sets, the record


def outcome(training, epochs=()):
    """The final bits and the losses of all epochs."""
    epochs = [*epochs, *(epoch for epoch in training if epoch)]
    arrays = training.checkpoint().arrays
    return (
        {name: array.tobytes() for name, array in arrays.items()},
        [replace(epoch, seconds=0.0) for epoch in epochs],
    )


@pytest.mark.parametrize("recipe", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_resumed_from_any_yield_ends_with_the_same_bits(recipe, dataset):
    undisturbed = outcome(Training(recipe, dataset))
    training, epochs = Training(recipe, dataset), []
    stops = 0
    for event in training:
        epochs += [event] if event else []
        assert outcome(Training(recipe, dataset, training.checkpoint()), epochs) == undisturbed
        stops += 1
    assert stops == YIELDS


@settings(deadline=None, max_examples=30)
@given(
    recipe=st.sampled_from(list(OPTIMIZERS.values())),
    slices=st.lists(st.integers(0, YIELDS), max_size=6),
)
def test_a_run_stopped_again_and_again_ends_with_the_same_bits(recipe, slices, dataset):
    training, epochs = Training(recipe, dataset), []
    for count in slices:
        for _, event in zip(range(count), training, strict=False):
            epochs += [event] if event else []
        training = Training(recipe, dataset, training.checkpoint())
    assert outcome(training, epochs) == outcome(Training(recipe, dataset))


@pytest.mark.parametrize("recipe", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_resumed_beside_an_evaluation_ends_with_the_same_bits(recipe, dataset, monkeypatch):
    undisturbed = outcome(Training(recipe, dataset))
    training, epochs = Training(recipe, dataset, core_is_idle=lambda: True), []
    monkeypatch.setattr(Evaluation, "done", lambda *_: False)  # it is never there in time
    for _, _ in zip(range(5 + 3), training, strict=False):
        pass
    monkeypatch.undo()
    checkpoint = training.checkpoint()
    assert checkpoint.cursor == Cursor(1, 3)
    assert "scored.layers.1.weight" in checkpoint.arrays
    for idle in (True, False):
        resumed = Training(recipe, dataset, checkpoint, core_is_idle=lambda idle=idle: idle)
        assert outcome(resumed, epochs) == undisturbed


def test_a_training_iterated_anew_goes_on_where_it_stands(dataset):
    training = Training(RECIPE, dataset)
    for _, _ in zip(range(3), training, strict=False):
        pass
    assert training.cursor == Cursor(0, 3)
    assert outcome(training) == outcome(Training(RECIPE, dataset))


def test_a_finished_run_yields_nothing_more(dataset):
    training = Training(RECIPE, dataset)
    outcome(training)
    assert training.cursor == Cursor(3, 0)
    assert list(Training(RECIPE, dataset, training.checkpoint())) == []


def test_a_finished_run_goes_on_with_a_recipe_of_more_epochs(dataset):
    training = Training(RECIPE, dataset)
    _, epochs = outcome(training)
    longer = replace(RECIPE, epochs=4)
    resumed = Training(longer, dataset, training.checkpoint())
    assert outcome(resumed, epochs) == outcome(Training(longer, dataset))


def test_cursors_are_ordered_by_progress():
    assert Cursor(0, 5) < Cursor(1, 0) < Cursor(1, 1)


def test_velocities_are_kept_beside_the_layers(dataset):
    arrays = Training(OPTIMIZERS["momentum"], dataset).checkpoint().arrays
    assert list(arrays) == [
        "layers.1.weight",
        "layers.1.bias",
        "layers.2.weight",
        "layers.2.bias",
        "momentum.layers.1.weight",
        "momentum.layers.1.bias",
        "momentum.layers.2.weight",
        "momentum.layers.2.bias",
    ]


@pytest.mark.parametrize(
    ("stored", "wanted", "complaint"),
    [
        (
            RECIPE,
            replace(RECIPE, hidden=(5,)),
            r"layers.1.weight: expected float32 \(6, 5\), found float32 \(6, 4\)",
        ),
        (RECIPE, replace(RECIPE, hidden=()), "names of arrays: .* found .*'layers.2.bias'"),
        (RECIPE, OPTIMIZERS["momentum"], "names of arrays: expected .*'momentum.layers.1.bias'"),
        (OPTIMIZERS["momentum"], RECIPE, "names of arrays: .* found .*'momentum.layers.1.bias'"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(stored, wanted, complaint, dataset):
    checkpoint = Training(stored, dataset).checkpoint()
    with pytest.raises(CheckpointError, match=complaint):
        Training(wanted, dataset, checkpoint)


def test_a_checkpoint_of_other_precision_is_refused(dataset):
    checkpoint = Training(RECIPE, dataset).checkpoint()
    checkpoint.arrays["layers.2.bias"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"layers.2.bias: expected float32 \(3,\), found fl"):
        Training(RECIPE, dataset, checkpoint)


@pytest.mark.parametrize("cursor", [Cursor(4, 0), Cursor(3, 1), Cursor(0, 6), Cursor(0, -1)])
def test_a_cursor_outside_the_run_is_refused(cursor, dataset):
    arrays = Training(RECIPE, dataset).checkpoint().arrays
    with pytest.raises(CheckpointError, match="cursor: expected"):
        Training(RECIPE, dataset, Checkpoint(cursor, arrays, 0.0))
