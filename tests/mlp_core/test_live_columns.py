"""Leaving black columns out changes nothing but rounding, and never what a resumed run computes."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from mlp_core import Dataset, Network, Recipe, Split, Training, evaluate, scaled
from mlp_core.evaluation import BLOCK_ROWS, blocks
from mlp_core.live_columns import MANY, SPARSE, WIDE, live_columns, similar_rows
from tests import oracles

N_IN = 20
# The last batch of 120 rows has 40, those of 55 leave one of 10, which multiplies every column.
RECIPE = Recipe((WIDE,), "relu", "he_normal", 0.01, epochs=2, batch_size=80, learning_rate=0.1)
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


KINDS = {
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
@pytest.mark.parametrize("kind", KINDS)
def test_training_follows_the_reference_whatever_is_black(kind, options, rng):
    dataset = Dataset(kind, KINDS[kind](rng, 120), KINDS[kind](rng, 40), 3)
    assert_follows_the_reference(dataset, RECIPE, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("hidden", [(), (WIDE - 1,), (WIDE, 5), (WIDE + 1,)])
@pytest.mark.parametrize("batch_size", [55, MANY - 1])
def test_training_follows_the_reference_on_both_sides_of_the_rule(hidden, batch_size, options, rng):
    dataset = Dataset("rare", rare(rng, 120), rare(rng, 40), 3)
    recipe = replace(RECIPE, hidden=hidden, batch_size=batch_size, activation="tanh", epochs=1)
    assert_follows_the_reference(dataset, recipe, **options)


@pytest.mark.parametrize("n_out", [3, WIDE])
@pytest.mark.parametrize("rows", [1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 9])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_agrees_with_the_reference_whatever_is_black(kind, rows, n_out, rng):
    part = KINDS[kind](rng, max(rows, N_IN))
    part = Split(part.images[:rows], part.labels[:rows])
    network = Network.random((N_IN, n_out, 3), "tanh", "glorot_uniform", 0.01, rng)
    loss, accuracy = evaluate(network, part)
    expected = oracles.evaluate(pairs(network), "tanh", scaled(part.images), part.labels)
    assert loss == pytest.approx(expected[0], rel=1e-6)
    assert accuracy == pytest.approx(expected[1], abs=1e-12)


def test_a_column_lives_if_any_row_does():
    pixels = np.zeros((MANY, N_IN), np.uint8)
    pixels[3, 7] = pixels[9, 7] = pixels[-1, 0] = 1
    assert live_columns(pixels, WIDE).tolist() == [0, 7]


@pytest.mark.parametrize(
    ("rows", "live", "n_out", "all_columns"),
    [
        (MANY, 0, WIDE, False),
        (MANY, int(SPARSE * N_IN), WIDE, False),
        (MANY, int(SPARSE * N_IN) + 1, WIDE, True),
        (MANY - 1, 0, WIDE, True),
        (MANY, 0, WIDE - 1, True),
    ],
)
def test_every_column_is_multiplied_where_copying_takes_longer(rows, live, n_out, all_columns):
    pixels = np.zeros((rows, N_IN), np.uint8)
    pixels[0, :live] = 255
    assert (live_columns(pixels, n_out) is None) == all_columns


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
    parts = blocks(part, WIDE)
    assert [len(block.labels) for block in parts] == [BLOCK_ROWS, BLOCK_ROWS, 40]
    assert parts[0].columns.tolist() == [0, 1]
    sums = []
    for _, pixels, columns in parts:
        every = np.zeros((len(pixels), N_IN), int)
        every[:, slice(None) if columns is None else columns] = pixels
        sums.append(every.sum(axis=0))
    assert np.array_equal(sum(sums), part.images.sum(axis=0))


def test_a_run_keeps_far_less_memory_than_its_images(rng):
    rows, n_in = 20_000, 200
    images = np.zeros((rows, n_in), np.uint8)
    images[np.arange(rows), rng.integers(0, 150, rows)] = 1
    train = Split(images, rng.integers(0, 3, rows, dtype=np.uint8))
    tracemalloc.start()
    try:
        training = Training(RECIPE, Dataset("large", train, train, 3))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < (images.nbytes + train.images.nbytes) / 4
    assert training.batches_per_epoch == 250
