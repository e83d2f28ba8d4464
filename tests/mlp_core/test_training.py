import gzip
import math
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from mlp_core import (
    ACTIVATIONS,
    INITIALIZATIONS,
    Augmentation,
    Checkpoint,
    Cursor,
    Dataset,
    Diverged,
    Epoch,
    Recipe,
    Split,
    Training,
    evaluate,
    read_idx,
    scaled,
)
from mlp_core.augmentation import Deformer
from mlp_core.fast.block_evaluation import Evaluator
from mlp_core.fast.buffers import Workspace
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, Parameters, backward, forward
from mlp_core.optimizers import SGD, AdamW
from tests.support import oracles

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


def epochs_of(training):
    return [epoch for epoch in training if epoch is not None]


def pairs(network):
    return [(W.copy(), b.copy()) for W, b in zip(network.weights, network.biases, strict=True)]


def bits(training):
    return {name: array.tobytes() for name, array in training.checkpoint().arrays.items()}


def shuffled_batches(split, recipe):
    """What the recipe's words about chance say, put down once more."""
    X = scaled(split.images)
    for epoch in range(1, recipe.epochs + 1):
        sequence = np.random.SeedSequence([recipe.seed, 1, epoch])
        order = np.random.Generator(np.random.PCG64(sequence)).permutation(len(split))
        for rows in np.split(order, range(recipe.batch_size, len(split), recipe.batch_size)):
            yield X[rows], split.labels[rows]


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
def test_training_follows_the_reference_through_two_epochs(dataset, options):
    recipe = replace(RECIPE, learning_rate=0.1, **options)
    training = Training(recipe, dataset)
    start = pairs(training.network)
    epochs = epochs_of(training)
    end = oracles.train(
        start, recipe.activation, shuffled_batches(dataset.train, recipe), 0.1, **options
    )
    for (W, b), (expected_W, expected_b) in zip(pairs(training.network), end, strict=True):
        np.testing.assert_allclose(W, expected_W, atol=5e-6)
        np.testing.assert_allclose(b, expected_b, atol=5e-6)
    loss, _ = oracles.evaluate(
        end, recipe.activation, scaled(dataset.test.images), dataset.test.labels
    )
    assert epochs[-1].test_loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,)])
def test_every_kind_of_network_follows_the_reference(dataset, activation, hidden):
    recipe = replace(RECIPE, hidden=hidden, activation=activation, epochs=1)
    training = Training(recipe, dataset)
    start = pairs(training.network)
    epochs_of(training)
    end = oracles.train(start, activation, shuffled_batches(dataset.train, recipe), 0.3)
    for (W, b), (expected_W, expected_b) in zip(pairs(training.network), end, strict=True):
        np.testing.assert_allclose(W, expected_W, atol=5e-6)
        np.testing.assert_allclose(b, expected_b, atol=5e-6)


def test_one_step_from_zero_weights_is_worked_by_hand():
    # All probabilities are 1/2, so d_logits of class 1 are 1/2, -1/2, -1/2, 1/2. Times the first
    # pixel they sum to 0, times the second to -1, and by themselves to 0; their mean is a quarter.
    images = np.array([[255, 0], [0, 255], [255, 255], [0, 0]], np.uint8)
    split = Split(images, np.array([0, 1, 1, 0], np.uint8))
    recipe = Recipe((), "relu", "he_normal", 0.0, 1, 4, learning_rate=2.0)
    zeros = {"layers.1.weight": (2, 2), "layers.1.bias": (2,)}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    dataset = Dataset("by hand", split, split, 2)
    training = Training(recipe, dataset, Checkpoint(Cursor(), arrays, 0.0))
    (epoch,) = epochs_of(training)
    assert training.network.weights[0].tolist() == [[0, 0], [-0.5, 0.5]]
    assert training.network.biases[0].tolist() == [0, 0]
    # Now the second pixel says class 1 with logits 1 apart; without it nothing is known.
    assert epoch.train_loss == pytest.approx((math.log(1 + math.exp(-1)) + math.log(2)) / 2)
    assert epoch.train_accuracy == 1


def test_epochs_are_numbered_and_measured_on_both_sets(dataset):
    training = Training(RECIPE, dataset)
    epochs = epochs_of(training)
    assert [epoch.number for epoch in epochs] == [1, 2]
    last = epochs[-1]
    train, test = (evaluate(training.network, part) for part in (dataset.train, dataset.test))
    assert (last.train_loss, last.train_accuracy) == pytest.approx(train, rel=1e-6)
    assert (last.test_loss, last.test_accuracy) == pytest.approx(test, rel=1e-6)


def test_training_learns_the_made_up_classes(dataset):
    recipe = replace(RECIPE, epochs=15, batch_size=16, momentum=0.5)
    first, *_, last = epochs_of(Training(recipe, dataset))
    assert last.train_loss < first.train_loss
    assert last.test_accuracy > 0.75


def test_losses_are_reported_without_the_l2_term(dataset):
    recipe = replace(RECIPE, epochs=1, learning_rate=0.0)
    plain, decayed = (Training(replace(recipe, l2=l2), dataset) for l2 in (0.0, 10.0))
    assert epochs_of(plain)[0].train_loss == epochs_of(decayed)[0].train_loss


def test_every_slice_of_work_is_a_chance_to_stop(dataset):
    training = Training(RECIPE, dataset)
    assert training.batches_per_epoch == 5
    assert training.cursor == Cursor(0, 0)
    seen = [(type(event), training.cursor) for event in training]
    batches = [(type(None), Cursor(0, b)) for b in (1, 2, 3, 4, 5)]
    evaluation = [(type(None), Cursor(1, 0))] * 2  # a block of each set
    assert seen[:8] == [*batches, *evaluation, (Epoch, Cursor(1, 0))]
    assert seen[-1] == (Epoch, Cursor(2, 0))
    assert len(seen) == 16


def test_an_idle_core_evaluates_beside_the_next_epoch(dataset, monkeypatch):
    go_on = Event()
    fill = Evaluator.fill

    def late(*those):
        go_on.wait()
        yield from fill(*those)

    monkeypatch.setattr(Evaluator, "fill", late)
    training = Training(RECIPE, dataset, core_is_idle=lambda: True)
    events = iter(training)
    for _ in range(8):
        assert next(events) is None
    assert training.cursor == Cursor(1, 3)
    go_on.set()
    beside = [event for event in events if event]
    go_on.clear()
    assert [epoch.number for epoch in beside] == [1, 2]
    monkeypatch.undo()
    alone = epochs_of(Training(RECIPE, dataset))
    assert [replace(it, seconds=0) for it in beside] == [replace(it, seconds=0) for it in alone]


def test_an_evaluation_beside_the_next_epoch_fails_the_run(dataset, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")
        yield

    monkeypatch.setattr(Evaluator, "fill", fail)
    with pytest.raises(MemoryError, match="no room"):
        epochs_of(Training(RECIPE, dataset, core_is_idle=lambda: True))


def test_where_no_thread_can_be_started_the_run_goes_on_without(dataset, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    assert len(epochs_of(Training(RECIPE, dataset, core_is_idle=lambda: True))) == 2


def test_an_epoch_is_recorded_before_the_next_diverges(dataset, monkeypatch):
    check = Training._check

    def bad_loss(self, loss, epoch, step):
        check(self, math.nan if (epoch, step) == (2, 1) else loss, epoch, step)

    monkeypatch.setattr(Training, "_check", bad_loss)
    events = iter(Training(RECIPE, dataset, core_is_idle=lambda: True))
    assert next(event.number for event in events if event) == 1
    with pytest.raises(Diverged, match="epoch 2, step 1"):
        next(events)


def test_a_batch_larger_than_the_set_is_the_whole_set(dataset):
    training = Training(replace(RECIPE, batch_size=5000), dataset)
    assert training.batches_per_epoch == 1
    assert len(epochs_of(training)) == 2


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(dataset):
    runs = [Training(replace(RECIPE, seed=seed), dataset) for seed in (3, 3, 4)]
    for training in runs:
        epochs_of(training)
    first, again, other = map(bits, runs)
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_the_first_weights_come_from_a_stream_of_their_own(dataset):
    sequence = np.random.SeedSequence([RECIPE.seed, 0, 0])
    W = INITIALIZATIONS["he_normal"](np.random.Generator(np.random.PCG64(sequence)), 6, 5)
    assert np.array_equal(Training(RECIPE, dataset).network.weights[0], W)


def test_memory_mapped_images_give_the_same_bits(dataset, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, dataset.train.images)
    mapped = Split(np.load(path, mmap_mode="r"), dataset.train.labels)
    runs = [Training(RECIPE, data) for data in (dataset, replace(dataset, train=mapped))]
    epochs = [epochs_of(training)[-1].train_loss for training in runs]
    assert epochs[0] == epochs[1]
    assert bits(runs[0]) == bits(runs[1])


def test_seconds_of_an_epoch_exclude_what_came_before_it(dataset, monkeypatch):
    clock = iter([100.0, 103.0, 110.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert [epoch.seconds for epoch in epochs_of(Training(RECIPE, dataset))] == [3, 7]


def test_seconds_of_an_interrupted_epoch_exclude_the_interruption(dataset, monkeypatch):
    clock = iter([100.0, 102.0, 500.0, 501.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    checkpoint = Training(RECIPE, dataset).checkpoint()
    assert checkpoint.epoch_seconds == 2
    resumed = iter(Training(RECIPE, dataset, checkpoint))
    assert next(event.seconds for event in resumed if event) == 3.5


@pytest.mark.parametrize(
    ("change", "epoch", "step"),
    [
        ({"initial_bias": math.nan}, 1, 1),
        ({"learning_rate": 1e30, "activation": "relu"}, 1, 2),
        ({"learning_rate": math.inf, "batch_size": 600}, 1, 1),  # seen by the evaluation
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(dataset, change, epoch, step):
    recipe = replace(RECIPE, **change)
    with np.errstate(all="ignore"), pytest.raises(Diverged) as end:
        epochs_of(Training(recipe, dataset))
    assert (end.value.epoch, end.value.step) == (epoch, step)
    assert end.value.learning_rate == recipe.learning_rate
    assert f"epoch {epoch}, step {step}" in str(end.value)


class Float32Only(np.ndarray):
    """An array that refuses any arithmetic outside float32."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        for value in (*plain, result):
            if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
                assert value.dtype == np.float32, f"{ufunc.__name__} met {value.dtype}"
        return out[0] if out is not None else np.asarray(result).view(Float32Only)


def strict(value):
    return value.view(Float32Only) if isinstance(value, np.ndarray) else tuple(map(strict, value))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_never_leaves_float32(activation, rng):
    network = Network.random((6, 5, 3), activation, "he_normal", 0.01, rng)
    network = Network(strict(network.weights), strict(network.biases), activation)
    gradients = Parameters(*map(strict, (network.zeros().weights, network.zeros().biases)))
    work = Workspace.allocate(network.sizes, 8)
    X, labels = strict(rng.random((8, 6), dtype=np.float32)), rng.integers(0, 3, 8)
    outputs, d_outputs = strict(work.outputs), strict(work.d_outputs)
    forward(network, X, outputs)
    cross_entropy(outputs[-1], labels, strict(work.losses), d_outputs[-1])
    backward(network, X, outputs, d_outputs, gradients)
    SGD(network, momentum=0.9, nesterov=True, l2=0.1).step(network, gradients, 0.1, 1)
    AdamW(network, 0.1, 0.9, 0.999).step(network, gradients, 0.1, 1)
    deformer = Deformer(Augmentation(9, 0.1, 0.1, 2, 1), (2, 3), np.arange(6), 8)
    deformer._end, deformer._X = strict(deformer._end), strict(deformer._X)
    deformer.inputs(rng.integers(0, 256, (8, 6), dtype=np.uint8), rng)
    with pytest.raises(AssertionError, match="multiply met float64"):
        np.multiply(X, np.float64(2))


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "nesterov": True, "l2": 0.1}, {"hidden": (64,)}]
)
def test_all_arrays_of_a_run_are_float32(dataset, options):
    training = Training(replace(RECIPE, **options), dataset)
    epochs_of(training)
    assert {a.dtype for a in training.checkpoint().arrays.values()} == {np.dtype(np.float32)}


def test_a_checkpoint_is_a_copy(dataset):
    training = Training(RECIPE, dataset)
    before, now = training.checkpoint().arrays, training.checkpoint().arrays
    next(iter(training))
    after = training.checkpoint().arrays
    for name, array in before.items():
        assert np.array_equal(now[name], array)
        assert not np.array_equal(after[name], array)


def test_one_epoch_of_the_linear_model_reads_most_real_digits():
    def split(name):
        files = [f"{name}-images-idx3-ubyte.gz", f"{name}-labels-idx1-ubyte.gz"]
        images, labels = (read_idx(gzip.decompress((MNIST / file).read_bytes())) for file in files)
        return Split(images.reshape(len(images), -1), labels)

    mnist = Dataset("mnist", split("train"), split("t10k"), 10)
    (epoch,) = epochs_of(Training(replace(RECIPE, hidden=(), epochs=1, batch_size=64), mnist))
    assert epoch.test_accuracy > 0.88
