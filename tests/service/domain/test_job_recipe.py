"""From a job's spec to the trainer's recipe."""

from typing import Any

import pytest

from mlp_client.job_spec import Spec
from mlp_core import Augmentation, Recipe
from service.domain.job_recipe import recipe_of
from service.store.jobs import JobStore
from tests.conftest import submit

LATER_FIELDS = ("schedule", "augmentation", "class_weights")


def test_every_field_of_the_spec_reaches_the_recipe(jobs: JobStore) -> None:
    fields: dict[str, Any] = {
        "hidden": [7, 3],
        "activation": "tanh",
        "initialization": "glorot_uniform",
        "initial_bias": 0.5,
        "epochs": 9,
        "batch_size": 33,
        "learning_rate": 0.7,
        "l2": 0.25,
        "seed": 77,
    }
    momentum: dict[str, Any] = {"type": "sgd", "momentum": 0.5, "nesterov": True}
    spec = jobs.get(submit(jobs, **fields, optimizer=momentum)).spec
    recipe = recipe_of(spec)
    assert recipe == Recipe(**fields | {"hidden": (7, 3)}, momentum=0.5, nesterov=True)
    fields |= {"schedule": "cosine", "l2": 0.0}
    adamw: dict[str, Any] = {"weight_decay": 0.5, "beta1": 0.25, "beta2": 0.125}
    deformed = {"rotation": 1.0, "elastic": 2.0}
    spec = jobs.get(
        submit(jobs, **fields, optimizer={"type": "adamw", **adamw}, augmentation=deformed)
    ).spec
    recipe = recipe_of(spec)
    assert recipe == Recipe(
        **fields | {"hidden": (7, 3)},
        optimizer="adamw",
        **adamw,
        augmentation=Augmentation(1.0, 0.12, 0.12, 2.0, 2.0, 4.5),
    )


@pytest.mark.parametrize(("shape", "factor"), [((28, 28), 1), ((56, 90), 2), ((14, 7), 0.25)])
def test_the_pixels_of_an_augmentation_grow_with_the_shorter_side(
    shape: tuple[int, int], factor: float
) -> None:
    spec = Spec.model_validate({"augmentation": {"translation": 3}}).model_dump()
    expected = Augmentation(12.0, 0.12, 0.12, 3 * factor, 1.5 * factor, 4.5 * factor)
    assert recipe_of(spec, image_shape=shape).augmentation == expected
    assert recipe_of(Spec().model_dump(), image_shape=shape).augmentation is None


def test_class_weights_come_in_the_order_of_the_classes() -> None:
    given = Spec.model_validate({"class_weights": {"c": 3, "a": 0.5}}).model_dump()
    assert recipe_of(given, ["a", "b", "c"]).class_weights == (0.5, 1.0, 3.0)
    balanced = Spec.model_validate({"class_weights": "balanced"}).model_dump()
    assert recipe_of(balanced, ["a", "b", "c"]).class_weights == "balanced"
    assert recipe_of(Spec().model_dump(), ["a", "b", "c"]).class_weights is None


def test_a_spec_of_the_first_version_is_read() -> None:
    old = {name: value for name, value in Spec().model_dump().items() if name not in LATER_FIELDS}
    assert recipe_of(old) == recipe_of(Spec().model_dump())
