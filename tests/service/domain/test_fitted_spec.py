"""Presets that fit a data set: what changes, what stays, and that networks then learn."""

from typing import Any

import pytest

from mlp_client.job_spec import Spec
from service.domain.dataset_shape import Shape
from service.domain.fitted_spec import fitted
from service.store.shipped_mnist import MANIFEST


def changes(data: Shape, **given: Any) -> dict[str, Any]:
    spec = Spec.model_validate(given)
    return fitted(spec.model_dump(), spec.given, data)


@pytest.mark.parametrize("preset", ["linear", "mlp-relu", "mlp-sigmoid", "mlp-augmented"])
def test_presets_stay_as_they_are_for_mnist(preset: str) -> None:
    assert changes(MANIFEST.sizes, preset=preset) == {}


def test_the_learning_rate_falls_with_the_inputs_above_those_of_32_by_32() -> None:
    for inputs, rate in ((1024, None), (2048, 0.05), (40_000, 0.0026), (65_536 * 3, 0.00052)):
        found = changes(Shape(inputs, 3, 5000, 100))
        assert found == ({} if rate is None else {"learning_rate": rate})
    assert changes(Shape(4096, 3, 5000, 100), optimizer="adamw") == {"learning_rate": 0.00025}


@pytest.mark.parametrize(
    ("rows", "batch"), [(1, 8), (48, 8), (160, 8), (288, 14), (801, 40), (1279, 63), (1280, None)]
)
def test_an_epoch_has_twenty_steps_unless_batches_would_be_tiny(
    rows: int, batch: int | None
) -> None:
    found = changes(Shape(784, 3, rows, 100))
    assert found == ({} if batch is None else {"batch_size": batch})


def test_a_preset_of_large_batches_fits_larger_sets() -> None:
    assert changes(Shape(784, 3, 3000, 100), preset="mlp-augmented") == {"batch_size": 150}


def test_given_fields_stay_as_they_are_even_if_the_preset_has_the_same() -> None:
    small = Shape(40_000, 3, 48, 12)
    assert changes(small, learning_rate=0.1) == {"batch_size": 8}
    assert changes(small, batch_size=64) == {"learning_rate": 0.0026}
    assert changes(small, preset="mlp-augmented", batch_size=256, learning_rate=0.001) == {}
    assert set(changes(small, epochs=3, preset="linear")) == {"learning_rate", "batch_size"}
