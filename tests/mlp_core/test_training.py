import gzip
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import (
    ACTIVATIONS,
    Checkpoint,
    Cursor,
    Dataset,
    DatasetError,
    Diverged,
    Recipe,
    Split,
    Training,
    evaluate,
    read_idx,
    scaled,
)
from mlp_core.arrays import Indices
from mlp_core.steps import SingleProcessSteps, StepsLost
from tests.support import oracles
from tests.support.training_runs import bits, epochs_of, pairs, result, shuffled_batches

MNIST = Path(__file__).parents[2] / "service" / "store" / "mnist"
RECIPE = Recipe(
    hidden=(5, 4),
    activation="tanh",
    initialization="he_normal",
    initial_bias=0.01,
    epochs=2,
    batch_size=128,  # the last batch of 600 rows is one of 88
    learning_rate=0.3,
    seed=3,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"l2": 0.05},
        {"momentum": 0.8},
        {"momentum": 0.8, "l2": 0.05},
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "nesterov": True, "l2": 0.05},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_training_follows_the_reference_through_two_epochs(
    dataset: Dataset, options: dict[str, Any]
) -> None:
    recipe = replace(RECIPE, learning_rate=0.1, **options)
    training = Training(recipe, dataset)
    start = pairs(training.copy_network())
    epochs = epochs_of(training)
    end = oracles.train(
        start, recipe.activation, shuffled_batches(dataset.train, recipe), 0.1, **options
    )
    assert_close(training, end)
    loss, _ = oracles.evaluate(
        end, recipe.activation, scaled(dataset.test.images), dataset.test.labels
    )
    assert epochs[-1].test_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,)])
def test_every_kind_of_network_follows_the_reference(
    dataset: Dataset, activation: str, hidden: tuple[int, ...]
) -> None:
    recipe = replace(RECIPE, hidden=hidden, activation=activation, epochs=1)
    training = Training(recipe, dataset)
    start = pairs(training.copy_network())
    epochs_of(training)
    end = oracles.train(start, activation, shuffled_batches(dataset.train, recipe), 0.3)
    assert_close(training, end)


def test_a_row_of_weight_three_counts_as_three_rows(dataset: Dataset) -> None:
    weights = [3, 1, 0, 2, 1, 1, 1, 1, 1, 1][: dataset.classes]
    recipe = replace(RECIPE, learning_rate=0.1, class_weights=tuple(weights))
    training = Training(recipe, dataset)
    start = pairs(training.copy_network())
    epochs_of(training)
    batches = [
        (X.repeat(repeats, axis=0), labels.repeat(repeats))
        for X, labels in shuffled_batches(dataset.train, recipe)
        for repeats in [np.array(weights)[labels]]
    ]
    assert_close(training, oracles.train(start, recipe.activation, batches, 0.1))


def test_balanced_weights_are_those_of_the_whole_training_set(dataset: Dataset) -> None:
    rows, labels = len(dataset.train), dataset.train.labels.tolist()
    weights = [rows / (dataset.classes * labels.count(label)) for label in range(dataset.classes)]
    balanced = replace(RECIPE, class_weights="balanced")
    listed = replace(RECIPE, class_weights=tuple(weights))
    assert result(Training(balanced, dataset)) == result(Training(listed, dataset))
    assert result(Training(balanced, dataset)) != result(Training(RECIPE, dataset))


def test_a_batch_without_any_weight_changes_nothing(dataset: Dataset) -> None:
    recipe = replace(RECIPE, epochs=1, class_weights=(0.0,) * dataset.classes)
    training = Training(recipe, dataset)
    before = bits(training)
    epochs_of(training)
    assert bits(training) == before


def test_class_weights_of_another_number_of_classes_are_refused(dataset: Dataset) -> None:
    recipe = replace(RECIPE, class_weights=(1.0,))
    with pytest.raises(
        DatasetError, match=f"class_weights: expected one for each of {dataset.classes}"
    ):
        Training(recipe, dataset)


def assert_close(training: Training, expected: oracles.Pairs) -> None:
    found = pairs(training.copy_network())
    for (W, b), (expected_W, expected_b) in zip(found, expected, strict=True):
        np.testing.assert_allclose(W, expected_W, atol=5e-6)
        np.testing.assert_allclose(b, expected_b, atol=5e-6)


def test_one_step_from_zero_weights_agrees_with_a_calculation_by_hand() -> None:
    # All probabilities are 1/2, so d_logits of class 1 are 1/2, -1/2, -1/2, 1/2. Times the first
    # pixel they sum to 0, times the second to -1, and by themselves to 0; their mean is a quarter.
    images = np.array([[255, 0], [0, 255], [255, 255], [0, 0]], np.uint8)
    split = Split(images, np.array([0, 1, 1, 0], np.uint8))
    recipe = Recipe((), "relu", "he_normal", 0.0, 1, 4, learning_rate=2.0)
    arrays: dict[str, NDArray[Any]] = {
        "layers.1.weight": np.zeros((2, 2), np.float32),
        "layers.1.bias": np.zeros(2, np.float32),
    }
    dataset = Dataset("by hand", split, split, 2)
    training = Training(recipe, dataset, Checkpoint(Cursor(), arrays, 0.0))
    (epoch,) = epochs_of(training)
    assert training.copy_network().weights[0].tolist() == [[0, 0], [-0.5, 0.5]]
    assert training.copy_network().biases[0].tolist() == [0, 0]
    # Now logits that differ by 1 favour class 1 if the second pixel is white; otherwise, neither.
    assert epoch.train_loss == pytest.approx((math.log(1 + math.exp(-1)) + math.log(2)) / 2)
    assert epoch.train_accuracy == 1


def test_epochs_are_numbered_and_measured_on_both_sets(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    epochs = epochs_of(training)
    assert [epoch.number for epoch in epochs] == [1, 2]
    last, network = epochs[-1], training.copy_network()
    train, test = (evaluate(network, split) for split in (dataset.train, dataset.test))
    assert (last.train_loss, last.train_accuracy) == pytest.approx(train, rel=1e-6)
    assert (last.test_loss, last.test_accuracy) == pytest.approx(test, rel=1e-6)


def test_training_learns_the_made_up_classes(dataset: Dataset) -> None:
    recipe = replace(RECIPE, epochs=15, batch_size=16, momentum=0.5)
    first, *_, last = epochs_of(Training(recipe, dataset))
    assert last.train_loss < first.train_loss
    assert last.test_accuracy > 0.75


def test_losses_are_reported_without_the_l2_term(dataset: Dataset) -> None:
    recipe = replace(RECIPE, epochs=1, learning_rate=0.0)
    plain, decayed = (Training(replace(recipe, l2=l2), dataset) for l2 in (0.0, 10.0))
    assert epochs_of(plain)[0].train_loss == epochs_of(decayed)[0].train_loss


def test_progress_is_reported_after_each_slice_of_work(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    assert training.cursor == Cursor(0, 0)
    seen = []
    for cursor, epoch in training:
        assert cursor == training.cursor
        seen.append((cursor, epoch.number if epoch else None))
    batches = [(Cursor(0, b), None) for b in (1, 2, 3, 4, 5)]
    evaluation = [(Cursor(1, 0), None)] * 2  # a block of each split
    assert seen[:8] == [*batches, *evaluation, (Cursor(1, 0), 1)]
    assert seen[-1] == (Cursor(2, 0), 2)
    assert len(seen) == 16


class UnreliableSteps(SingleProcessSteps):
    """Steps that fail in a given way when a given step is taken for the first time."""

    def __init__(
        self, dataset: Dataset, failures: dict[int, int], loss: float | None = None
    ) -> None:
        """Lose the number of steps that `failures` gives for a step's number, or return `loss`."""
        super().__init__(RECIPE, dataset)
        self._failures = failures
        self._loss = loss
        self.numbers: list[int] = []

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        self.numbers.append(number)
        if number not in self._failures:
            return super().train_batch(rows, learning_rate, number, rng)
        if self._loss is not None:
            return self._loss
        raise StepsLost(self._failures.pop(number))


def test_lost_steps_are_taken_again_from_the_state_before_them(dataset: Dataset) -> None:
    steps = UnreliableSteps(dataset, {1: 0, 4: 2, 9: 3})
    cursors = [cursor for cursor, _ in Training(RECIPE, dataset, steps=steps)]
    assert steps.numbers == [1, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 9, 6, 7, 8, 9, 10]
    assert cursors[:6] == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 1), (0, 2)]


def test_an_epoch_is_recorded_before_the_next_diverges(dataset: Dataset) -> None:
    steps = UnreliableSteps(dataset, {6: 0}, loss=math.nan)
    training = iter(Training(RECIPE, dataset, steps=steps))
    assert next(epoch.number for _, epoch in training if epoch) == 1
    with pytest.raises(Diverged, match="epoch 2, step 1"):
        next(training)


def test_a_batch_larger_than_the_set_is_the_whole_set(dataset: Dataset) -> None:
    training = Training(replace(RECIPE, batch_size=5000), dataset)
    assert next(iter(training)).cursor == Cursor(0, 1)
    assert [epoch.number for epoch in epochs_of(training)] == [1, 2]


def test_equal_seeds_give_equal_bits_and_different_seeds_do_not(dataset: Dataset) -> None:
    first, again, other = (
        result(Training(replace(RECIPE, seed=seed), dataset))[0] for seed in (3, 3, 4)
    )
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_memory_mapped_images_give_the_same_bits(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, dataset.train.images)
    mapped = Split(np.load(path, mmap_mode="r"), dataset.train.labels)
    assert result(Training(RECIPE, dataset)) == result(
        Training(RECIPE, replace(dataset, train=mapped))
    )


def test_seconds_of_an_epoch_count_from_the_record_before_it(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 103.0, 110.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert [epoch.seconds for epoch in epochs_of(Training(RECIPE, dataset))] == [3, 7]


def test_seconds_of_an_interrupted_epoch_exclude_the_interruption(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 102.0, 500.0, 501.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    checkpoint = Training(RECIPE, dataset).make_checkpoint()
    assert checkpoint.epoch_seconds == 2
    resumed = Training(RECIPE, dataset, checkpoint)
    assert next(epoch.seconds for _, epoch in resumed if epoch) == 3.5


@pytest.mark.parametrize(
    ("change", "epoch", "step"),
    [
        ({"initial_bias": math.nan}, 1, 1),
        ({"learning_rate": 1e30, "activation": "relu"}, 1, 2),
        ({"learning_rate": math.inf, "batch_size": 600}, 1, 1),  # seen by the evaluation
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(
    dataset: Dataset, change: dict[str, Any], epoch: int, step: int
) -> None:
    recipe = replace(RECIPE, **change)
    with np.errstate(all="ignore"), pytest.raises(Diverged) as end:
        epochs_of(Training(recipe, dataset))
    assert (end.value.epoch, end.value.step) == (epoch, step)
    assert end.value.learning_rate == recipe.learning_rate
    assert f"epoch {epoch}, step {step}" in str(end.value)


def test_a_step_whose_loss_is_not_finite_changes_nothing(dataset: Dataset) -> None:
    training = Training(replace(RECIPE, initial_bias=math.nan), dataset)
    before = bits(training)
    with np.errstate(all="ignore"), pytest.raises(Diverged):
        next(iter(training))
    assert bits(training) == before


def test_a_checkpoint_is_a_copy(dataset: Dataset) -> None:
    training = Training(RECIPE, dataset)
    before, now = training.make_checkpoint().arrays, training.make_checkpoint().arrays
    next(iter(training))
    after = training.make_checkpoint().arrays
    for name, array in before.items():
        assert np.array_equal(now[name], array)
        assert not np.array_equal(after[name], array)


def test_one_epoch_of_the_linear_model_reads_most_real_digits() -> None:
    def split(name: str) -> Split:
        files = [f"{name}-images-idx3-ubyte.gz", f"{name}-labels-idx1-ubyte.gz"]
        images, labels = (read_idx(gzip.decompress((MNIST / file).read_bytes())) for file in files)
        return Split(images.reshape(len(images), -1), labels)

    mnist = Dataset("mnist", split("train"), split("t10k"), 10)
    (epoch,) = epochs_of(Training(replace(RECIPE, hidden=(), epochs=1, batch_size=64), mnist))
    assert epoch.test_accuracy > 0.88
