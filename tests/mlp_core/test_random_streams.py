"""The bits of a run depend on these streams, so the tests repeat how each is made."""

from dataclasses import replace

import numpy as np
import pytest

from mlp_core import INITIALIZATIONS, Dataset, Recipe, Training
from mlp_core.random_streams import Purpose, random_stream

RECIPE = Recipe((5,), "relu", "he_normal", 0.0, epochs=1, batch_size=64, learning_rate=0.1, seed=3)


@pytest.mark.parametrize(
    ("purpose", "place", "entropy"),
    [
        (Purpose.INITIALIZATION, (0,), [3, 0, 0]),
        (Purpose.SHUFFLING, (7,), [3, 1, 7]),
        (Purpose.AUGMENTATION, (7, 12), [3, 2, 7, 12]),
    ],
)
def test_a_stream_depends_on_seed_purpose_and_place(
    purpose: Purpose, place: tuple[int, ...], entropy: list[int]
) -> None:
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    assert np.array_equal(random_stream(3, purpose, *place).random(9), expected.random(9))


def test_the_first_weights_come_from_a_stream_of_their_own(dataset: Dataset) -> None:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 0, 0])))
    W = INITIALIZATIONS["he_normal"](rng, 6, 5)
    assert np.array_equal(Training(RECIPE, dataset).copy_network().weights[0], W)
    other = Training(replace(RECIPE, seed=4), dataset).copy_network().weights[0]
    assert not np.array_equal(other, W)
