"""Leaving black columns out changes nothing but rounding, and never what a resumed run computes."""

from dataclasses import replace

import numpy as np
import pytest

from mlp_core import Dataset, DatasetError, Network, Recipe, Split, Training, evaluate, scaled
from mlp_core.fast.data_layout import BLOCK_ROWS, Arrangement, arrange, blocks, similar_rows
from mlp_core.fast.sparse_input import FirstLayer
from tests.support import oracles

N_IN = 20
# The last batch of 120 rows has 40, those of 55 leave one of 10.
RECIPE = Recipe((8,), "relu", "he_normal", 0.01, epochs=2, batch_size=80, learning_rate=0.1)
OPTIONS = [
    {},
    {"l2": 0.05},
    {"momentum": 0.8},
    {"momentum": 0.8, "nesterov": True, "l2": 0.05},
]


def split(rng, rows, black):
    """Images of 20 pixels; `black` says which of them are 0 in all rows."""
    images = rng.integers(1, 256, (rows, N_IN), dtype=np.uint8)
    images[:, black] = 0
    return Split(images, rng.integers(0, 3, rows, dtype=np.uint8))


def rare(rng, rows):
    """Only the first two pixels in all rows, each other pixel in one row."""
    images = np.zeros((rows, N_IN), np.uint8)
    images[:, :2] = rng.integers(1, 256, (rows, 2), dtype=np.uint8)
    images[rng.permutation(rows)[: N_IN - 2], np.arange(2, N_IN)] = 200
    return Split(images, rng.integers(0, 3, rows, dtype=np.uint8))


PROBLEM_TYPES = {
    "black columns": lambda rng, rows: split(rng, rows, slice(3, 9)),
    "other columns in each batch": rare,
    "every column live": lambda rng, rows: split(rng, rows, slice(0)),
    "all images black": lambda rng, rows: split(rng, rows, slice(None)),
}


def pairs(network):
    return [(W.copy(), b.copy()) for W, b in zip(network.weights, network.biases, strict=True)]


def batches(train, recipe):
    X = scaled(train.images)
    for epoch in range(1, recipe.epochs + 1):
        sequence = np.random.SeedSequence([recipe.seed, 1, epoch])
        order = np.random.Generator(np.random.PCG64(sequence)).permutation(len(train))
        for rows in np.split(order, range(recipe.batch_size, len(train), recipe.batch_size)):
            yield X[rows], train.labels[rows]


def assert_follows_the_reference(dataset, recipe, **options):
    training = Training(replace(recipe, **options), dataset)
    start = pairs(training.network)
    *_, epoch = training
    end = oracles.train(
        start, recipe.activation, batches(dataset.train, recipe), recipe.learning_rate, **options
    )
    for (W, b), (expected_W, expected_b) in zip(pairs(training.network), end, strict=True):
        np.testing.assert_allclose(W, expected_W, atol=5e-6)
        np.testing.assert_allclose(b, expected_b, atol=5e-6)
    for part, loss in ((dataset.train, epoch.train_loss), (dataset.test, epoch.test_loss)):
        expected, _ = oracles.evaluate(end, recipe.activation, scaled(part.images), part.labels)
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("kind", PROBLEM_TYPES)
def test_training_follows_the_reference_whatever_is_black(kind, options, rng):
    dataset = Dataset(kind, PROBLEM_TYPES[kind](rng, 120), PROBLEM_TYPES[kind](rng, 40), 3)
    assert_follows_the_reference(dataset, RECIPE, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("hidden", [(), (7, 5)])
@pytest.mark.parametrize("batch_size", [1, 55])
def test_training_follows_the_reference_whatever_the_sizes(hidden, batch_size, options, rng):
    dataset = Dataset("rare", rare(rng, 120), rare(rng, 40), 3)
    recipe = replace(RECIPE, hidden=hidden, batch_size=batch_size, activation="tanh", epochs=1)
    assert_follows_the_reference(dataset, recipe, **options)


@pytest.mark.parametrize("n_out", [3, 16])
@pytest.mark.parametrize("rows", [1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 9])
@pytest.mark.parametrize("kind", PROBLEM_TYPES)
def test_evaluation_agrees_with_the_reference_whatever_is_black(kind, rows, n_out, rng):
    part = PROBLEM_TYPES[kind](rng, max(rows, N_IN))
    part = Split(part.images[:rows], part.labels[:rows])
    network = Network.random((N_IN, n_out, 3), "tanh", "glorot_uniform", 0.01, rng)
    loss, accuracy = evaluate(network, part)
    expected = oracles.evaluate(pairs(network), "tanh", scaled(part.images), part.labels)
    assert loss == pytest.approx(expected[0], rel=1e-6)
    assert accuracy == pytest.approx(expected[1], abs=1e-12)


def test_columns_stand_rarest_first(rng):
    images = np.zeros((10, 4), np.uint8)
    images[:, 1] = 255
    images[:3, 3] = images[:5, 0] = 7
    part = Split(images, np.zeros(10, np.uint8))
    arrangement = arrange(Dataset("ordered", part, part, 1))
    assert arrangement.order.tolist() == [2, 3, 0, 1]
    assert arrangement.shares.tolist() == [0, 0.3, 0.5, 1]
    assert np.array_equal(arrangement.images, images[:, [2, 3, 0, 1]])


def test_the_narrow_network_is_that_of_the_live_columns(rng):
    shares = np.array([0.0, 0.0, 0.0, 0.9, 1.0])
    order = np.arange(5)
    first = FirstLayer(Arrangement(order, shares, *[None] * 4), 2, 4, all_usual=False)  # type: ignore[arg-type]
    first.W[:] = rng.random((5, 2))
    network = Network((first.W,), (np.zeros(2, np.float32),), "relu")
    pixels = np.array([[0, 51, 0, 255, 0], [0, 0, 0, 102, 0]], np.uint8)
    X, live = first.inputs(pixels)
    assert live.tolist() == [1]
    np.testing.assert_allclose(X, [[1, 0, 0.2], [0.4, 0, 0]])
    narrow = first.narrow(network, live).weights[0]
    assert np.array_equal(narrow, first.W[[3, 4, 1]])
    narrow += 1  # as a step would
    before = first.W.copy()
    first.widen(live)
    assert np.array_equal(first.W - before, [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]])


def test_similar_rows_are_neighbours():
    images = np.zeros((6, 4), np.uint8)
    images[:, 0] = 9  # not unusual
    images[[0, 4], 2] = 9
    images[2, 3] = 9
    images[5, 1] = images[5, 2] = 9
    order = similar_rows(Split(images, np.array([0, 0, 0, 0, 0, 1], np.uint8)))
    assert order.tolist() == [1, 3, 0, 4, 2, 5]


def test_blocks_hold_each_row_once_and_all_its_live_columns(rng):
    images = rare(rng, 2 * BLOCK_ROWS + 40).images
    part = Split(images, np.zeros(len(images), np.uint8))
    parts = list(blocks(part))
    assert [len(block.labels) for block in parts] == [BLOCK_ROWS, BLOCK_ROWS, 40]
    assert parts[0].columns.tolist() == [0, 1]
    sums = []
    for _, pixels, columns in parts:
        every = np.zeros((len(pixels), N_IN), int)
        every[:, columns] = pixels
        sums.append(every.sum(axis=0))
    assert np.array_equal(sum(sums), part.images.sum(axis=0))


@pytest.mark.parametrize(
    ("name", "harm", "complaint"),
    [
        ("order", lambda a: np.zeros_like(a), "order: expected each column once"),
        ("test.widths", lambda a: np.repeat(a, 2), "blocks: expected 1, found 2"),
        ("train.pixels", lambda a: a[1:], "columns and pixels"),
        ("train.columns", lambda a: a[1:], "columns and pixels"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(name, harm, complaint, rng):
    arrays = arrange(Dataset("rare", rare(rng, 120), rare(rng, 40), 3)).arrays()
    assert len(Arrangement.from_arrays(arrays).train) == 120
    with pytest.raises(DatasetError, match=complaint):
        Arrangement.from_arrays(arrays | {name: harm(arrays[name])})


def test_a_kept_arrangement_gives_the_same_bits(rng):
    dataset = Dataset("rare", rare(rng, 120), rare(rng, 40), 3)
    runs = [Training(RECIPE, dataset), Training(RECIPE, dataset, arrangement=arrange(dataset))]
    for training in runs:
        for _ in training:
            pass
    made, kept = (training.checkpoint().arrays for training in runs)
    assert all(np.array_equal(made[name], kept[name]) for name in made)
