"""Deformed images: each kind of deformation by itself, in pixels that can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mlp_core import Augmentation, Dataset, DatasetError, Recipe, Split, Training
from mlp_core.augmentation import GROUP, Deformer

SHAPE = (9, 11)
N_IN = 9 * 11
STILL = Augmentation(smoothness=2.0)


def deformed(augmentation, images, rng, order=None):
    order = np.arange(N_IN) if order is None else order
    rows = images.reshape(len(images), -1)
    return Deformer(augmentation, SHAPE, order, len(rows)).inputs(rows, rng).copy()


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (GROUP + 5, *SHAPE), dtype=np.uint8)


def test_no_deformation_only_scales_the_pixels(images, rng):
    X = deformed(STILL, images, rng)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, images.reshape(len(images), -1) / 255, rtol=1e-6)


def test_inputs_stand_in_the_given_order(images, rng):
    order = rng.permutation(N_IN)
    X = deformed(STILL, images, rng, order)
    np.testing.assert_allclose(X, images.reshape(len(images), -1)[:, order] / 255, rtol=1e-6)


def test_a_smaller_batch_has_the_same_pixels(images, rng):
    deformer = Deformer(STILL, SHAPE, np.arange(N_IN), len(images))
    deformer.inputs(images.reshape(len(images), -1), rng)
    few = images[:3].reshape(3, -1)
    np.testing.assert_allclose(deformer.inputs(few, rng), few / 255, rtol=1e-6)


def centre_of_mass(X):
    y, x = np.indices(SHAPE).reshape(2, -1)
    mass = X.sum(axis=1)
    return np.stack([(X * y).sum(axis=1) / mass, (X * x).sum(axis=1) / mass], axis=1)


def spots(count):
    """A blurred spot in the middle of each image."""
    y, x = np.indices(SHAPE)
    spot = np.exp(-((y - 4) ** 2 + (x - 5) ** 2) / 3) * 255
    return np.repeat(spot.astype(np.uint8)[np.newaxis], count, axis=0)


def test_translation_moves_by_up_to_so_many_pixels_and_alike_in_a_group(rng):
    X = deformed(replace(STILL, translation=1.5), spots(40 * GROUP), rng)
    moved = (centre_of_mass(X) - (4, 5)).reshape(40, GROUP, 2)
    assert np.ptp(moved, axis=1).max() < 1e-4
    assert 1.2 < np.abs(moved).max() < 1.6
    assert np.abs(moved.mean(axis=(0, 1))).max() < 0.5
    assert moved.min() < -0.5
    assert moved.max() > 0.5


def test_what_leaves_the_frame_is_gone_and_black_comes_in(rng):
    white = np.full((60 * GROUP, *SHAPE), 255, np.uint8)
    X = deformed(replace(STILL, translation=30), white, rng)
    assert X.min() == 0
    assert X.max() == pytest.approx(1)


def bar(angle):
    """A soft bar through the middle, turned by so many degrees."""
    y, x = np.indices(SHAPE) - np.array([4, 5]).reshape(2, 1, 1)
    away = y * np.cos(np.radians(angle)) + x * np.sin(np.radians(angle))
    return (np.exp(-(away**2)) * 255).astype(np.uint8)


def test_rotation_turns_around_the_middle(rng):
    X = deformed(replace(STILL, rotation=40), np.stack([bar(0)] * 50 * GROUP), rng)
    turned = X[::GROUP].reshape(50, *SHAPE)
    candidates = {angle: bar(angle) / 255 for angle in range(-60, 61, 5)}
    inner = np.s_[2:7, 3:8]  # the corners of a turned image come from outside
    best = [
        min(candidates, key=lambda angle: np.abs(candidates[angle] - image)[inner].sum())
        for image in turned
    ]
    assert min(best) in (-40, -35, -30)
    assert max(best) in (30, 35, 40)
    assert len(set(best)) > 8


@pytest.mark.parametrize(("kind", "axis"), [("scale", 0), ("scale", 1), ("shear", None)])
def test_scale_and_shear_change_the_extent_of_a_spot(kind, axis, rng):
    X = deformed(replace(STILL, **{kind: 0.3}), spots(60 * GROUP), rng)[::GROUP]
    y, x = np.indices(SHAPE).reshape(2, -1) - np.array([[4], [5]])
    weigh = x * y if axis is None else (y, x)[axis] ** 2
    moments = (X * weigh).sum(axis=1) / X.sum(axis=1)
    if axis is None:
        assert -0.6 < moments.min() < -0.2 < 0.2 < moments.max() < 0.6
    else:
        assert np.ptp(np.log(moments)) == pytest.approx(4 * 0.3, abs=0.35)


def test_elastic_displacements_are_smooth_and_as_large_as_asked(rng):
    deformer = Deformer(replace(STILL, elastic=1.5), SHAPE, np.arange(N_IN), GROUP)
    displaced = deformer._elastic(500, rng).reshape(500, 2, *SHAPE)
    assert displaced.dtype == np.float32
    assert displaced.std() == pytest.approx(1.5, rel=0.05)
    assert displaced.mean() == pytest.approx(0, abs=0.1)
    neighbours = np.corrcoef(displaced[..., 1:].ravel(), displaced[..., :-1].ravel())[0, 1]
    far = np.corrcoef(displaced[:, :, 0].ravel(), displaced[:, :, -1].ravel())[0, 1]
    assert neighbours > 0.9
    assert abs(far) < 0.15


RECIPE = Recipe(
    (4,),
    "relu",
    "he_normal",
    0.01,
    epochs=2,
    batch_size=50,
    learning_rate=0.1,
    augmentation=replace(STILL, translation=1.0, elastic=0.5),
)


def data(rng, shape=(3, 4)):
    def split(rows):
        images = rng.integers(0, 256, (rows, 12), dtype=np.uint8)
        return Split(images, rng.integers(0, 3, rows, dtype=np.uint8))

    return Dataset("made up", split(120), split(30), 3, shape)


def weights(recipe, dataset):
    training = Training(recipe, dataset)
    losses = [epoch.train_loss for epoch in training if epoch]
    return losses, training.checkpoint().arrays["layers.1.weight"]


def test_a_run_with_no_deformation_is_that_without_augmentation(rng):
    dataset = data(rng)
    plain = weights(replace(RECIPE, augmentation=None), dataset)
    still = weights(replace(RECIPE, augmentation=STILL), dataset)
    assert still[0] == pytest.approx(plain[0], rel=1e-5)
    np.testing.assert_allclose(still[1], plain[1], atol=1e-5)


def test_images_are_deformed_by_the_seed_and_evaluated_as_they_are(rng):
    dataset = data(rng)
    first, again, other = (weights(replace(RECIPE, seed=seed), dataset) for seed in (1, 1, 2))
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    frozen = replace(RECIPE, learning_rate=0.0)
    losses = weights(frozen, dataset)[0]
    assert losses == weights(replace(frozen, augmentation=None), dataset)[0]


def test_each_batch_of_each_epoch_is_deformed_by_a_chance_of_its_own(rng, monkeypatch):
    seen = []
    inputs = Deformer.inputs

    def watched(self, images, rng):
        seen.append(rng.bit_generator.state["state"]["state"])
        return inputs(self, images, rng)

    monkeypatch.setattr(Deformer, "inputs", watched)
    weights(RECIPE, data(rng))
    assert len(seen) == len(set(seen)) == 2 * 3


def test_images_of_an_unknown_shape_cannot_be_deformed(rng):
    with pytest.raises(DatasetError, match="image_shape"):
        Training(RECIPE, data(rng, None))


def test_a_shape_has_as_many_pixels_as_the_images(rng):
    with pytest.raises(DatasetError, match="image_shape: expected 12 pixels"):
        data(rng, (3, 5))
