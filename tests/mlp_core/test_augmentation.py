"""Each kind of deformation by itself, on images whose pixels can be worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import (
    IMAGES_PER_DEFORMATION,
    Augmentation,
    Dataset,
    DatasetError,
    Recipe,
    Split,
    Training,
)
from mlp_core.arrays import Indices, Matrix, Pixels
from mlp_core.augmentation import Deformer, RandomDeformation
from tests.support.training_runs import epochs_of

SHAPE = (9, 11)
N_IN = 9 * 11
STILL = Augmentation(smoothness=2.0)
GROUP = IMAGES_PER_DEFORMATION


def deformed(
    augmentation: Augmentation,
    images: Pixels,
    rng: np.random.Generator,
    order: Indices | None = None,
) -> Matrix:
    order = np.arange(N_IN) if order is None else order
    rows = images.reshape(len(images), -1)
    return Deformer(augmentation, SHAPE, order, len(rows)).fill_inputs(rows, rng).copy()


@pytest.fixture
def images(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (GROUP + 5, *SHAPE), dtype=np.uint8)


def test_no_deformation_only_scales_the_pixels(images: Pixels, rng: np.random.Generator) -> None:
    X = deformed(STILL, images, rng)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, images.reshape(len(images), -1) / 255, rtol=1e-6)


def test_inputs_are_in_the_given_order(images: Pixels, rng: np.random.Generator) -> None:
    order = rng.permutation(N_IN)
    X = deformed(STILL, images, rng, order)
    np.testing.assert_allclose(X, images.reshape(len(images), -1)[:, order] / 255, rtol=1e-6)


def test_a_smaller_batch_has_the_same_pixels(images: Pixels, rng: np.random.Generator) -> None:
    deformer = Deformer(STILL, SHAPE, np.arange(N_IN), len(images))
    deformer.fill_inputs(images.reshape(len(images), -1), rng)
    few = images[:3].reshape(3, -1)
    np.testing.assert_allclose(deformer.fill_inputs(few, rng), few / 255, rtol=1e-6)


def test_the_colours_of_a_pixel_move_together(rng: np.random.Generator) -> None:
    """Each channel looks as if it were a grey image that is deformed by the same numbers."""
    images = rng.integers(0, 256, (GROUP + 5, *SHAPE, 3), dtype=np.uint8)
    moved = Augmentation(20.0, 0.2, 0.2, 2.0, 1.0, 2.0)
    rows, order = images.reshape(len(images), -1), rng.permutation(3 * N_IN)
    X = Deformer(moved, (*SHAPE, 3), order, len(rows)).fill_inputs(rows, np.random.default_rng(5))
    usual = np.empty_like(X)
    usual[:, order] = X
    for channel in range(3):
        grey = deformed(moved, images[..., channel], np.random.default_rng(5))
        colour = usual.reshape(len(images), *SHAPE, 3)[..., channel].reshape(grey.shape)
        np.testing.assert_allclose(colour, grey, atol=1e-6)
        assert np.abs(grey - images[..., channel].reshape(grey.shape) / 255).max() > 0.3


def centre_of_mass(X: Matrix) -> NDArray[Any]:
    y, x = np.indices(SHAPE).reshape(2, -1)
    mass = X.sum(axis=1)
    centre: NDArray[Any] = np.stack(
        [(X * y).sum(axis=1) / mass, (X * x).sum(axis=1) / mass], axis=1
    )
    return centre


def spots(count: int) -> Pixels:
    """Return images with a blurred spot in the middle of each."""
    y, x = np.indices(SHAPE)
    spot = np.exp(-((y - 4) ** 2 + (x - 5) ** 2) / 3) * 255
    return np.repeat(spot.astype(np.uint8)[np.newaxis], count, axis=0)


def test_translation_is_at_most_the_given_distance_and_equal_within_a_group(
    rng: np.random.Generator,
) -> None:
    X = deformed(replace(STILL, translation=1.5), spots(40 * GROUP), rng)
    moved = (centre_of_mass(X) - (4, 5)).reshape(40, GROUP, 2)
    assert np.ptp(moved, axis=1).max() < 1e-4
    assert 1.2 < np.abs(moved).max() < 1.6
    assert np.abs(moved.mean(axis=(0, 1))).max() < 0.5
    assert moved.min() < -0.5
    assert moved.max() > 0.5


def test_pixels_moved_out_of_the_image_are_replaced_by_black(rng: np.random.Generator) -> None:
    white = np.full((60 * GROUP, *SHAPE), 255, np.uint8)
    X = deformed(replace(STILL, translation=30), white, rng)
    assert X.min() == 0
    assert X.max() == pytest.approx(1)


def bar(angle: float) -> Pixels:
    """Return an image of a soft bar through the middle, turned by an angle in degrees."""
    y, x = np.indices(SHAPE) - np.array([4, 5]).reshape(2, 1, 1)
    away = y * np.cos(np.radians(angle)) + x * np.sin(np.radians(angle))
    image: Pixels = (np.exp(-(away**2)) * 255).astype(np.uint8)
    return image


def test_rotation_turns_around_the_middle(rng: np.random.Generator) -> None:
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
def test_scale_and_shear_change_the_extent_of_a_spot(
    kind: str, axis: int | None, rng: np.random.Generator
) -> None:
    X = deformed(replace(STILL, **{kind: 0.3}), spots(60 * GROUP), rng)[::GROUP]
    y, x = np.indices(SHAPE).reshape(2, -1) - np.array([[4], [5]])
    weigh = x * y if axis is None else (y, x)[axis] ** 2
    moments = (X * weigh).sum(axis=1) / X.sum(axis=1)
    if axis is None:
        assert -0.6 < moments.min() < -0.2 < 0.2 < moments.max() < 0.6
    else:
        assert np.ptp(np.log(moments)) == pytest.approx(4 * 0.3, abs=0.35)


def test_elastic_displacements_are_smooth_and_have_the_given_deviation(
    rng: np.random.Generator,
) -> None:
    deformation = RandomDeformation(replace(STILL, elastic=1.5), SHAPE, np.arange(N_IN))
    displaced = deformation.draw_elastic(500, rng).reshape(500, 2, *SHAPE)
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


def data(rng: np.random.Generator, shape: tuple[int, int] | None = (3, 4)) -> Dataset:
    def split(rows: int) -> Split:
        images = rng.integers(0, 256, (rows, 12), dtype=np.uint8)
        return Split(images, rng.integers(0, 3, rows, dtype=np.uint8))

    return Dataset("made up", split(120), split(30), 3, shape)


def losses_and_weights(recipe: Recipe, dataset: Dataset) -> tuple[list[float], NDArray[Any]]:
    training = Training(recipe, dataset)
    losses = [epoch.train_loss for epoch in epochs_of(training)]
    return losses, training.make_checkpoint().arrays["layers.1.weight"]


def test_deformations_of_size_0_train_like_no_augmentation(rng: np.random.Generator) -> None:
    dataset = data(rng)
    plain = losses_and_weights(replace(RECIPE, augmentation=None), dataset)
    still = losses_and_weights(replace(RECIPE, augmentation=STILL), dataset)
    assert still[0] == pytest.approx(plain[0], rel=1e-5)
    np.testing.assert_allclose(still[1], plain[1], atol=1e-5)


def test_the_seed_decides_the_deformations_and_images_are_evaluated_undeformed(
    rng: np.random.Generator,
) -> None:
    dataset = data(rng)
    first, again, other = (
        losses_and_weights(replace(RECIPE, seed=seed), dataset) for seed in (1, 1, 2)
    )
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    frozen = replace(RECIPE, learning_rate=0.0)
    losses = losses_and_weights(frozen, dataset)[0]
    assert losses == losses_and_weights(replace(frozen, augmentation=None), dataset)[0]


def test_each_batch_of_each_epoch_is_deformed_by_a_stream_of_its_own(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    points = RandomDeformation.draw_points

    def watched(self: RandomDeformation, count: int, rng: np.random.Generator) -> Matrix:
        seen.append(rng.bit_generator.state["state"]["state"])
        return points(self, count, rng)

    monkeypatch.setattr(RandomDeformation, "draw_points", watched)
    losses_and_weights(RECIPE, data(rng))
    assert len(seen) == len(set(seen)) == 2 * 3


def test_images_of_an_unknown_shape_cannot_be_deformed(rng: np.random.Generator) -> None:
    with pytest.raises(DatasetError, match="image_shape"):
        Training(RECIPE, data(rng, None))
