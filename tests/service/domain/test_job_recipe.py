"""From a job's spec to the trainer's recipe."""

from typing import Any

from mlp_client.job_spec import Spec
from mlp_core import Augmentation, Recipe
from service.domain.job_recipe import recipe_of
from service.store.jobs import JobStore
from tests.conftest import submit

LATER_FIELDS = ("schedule", "augmentation")


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


def test_a_spec_of_the_first_version_is_read() -> None:
    old = {name: value for name, value in Spec().model_dump().items() if name not in LATER_FIELDS}
    assert recipe_of(old) == recipe_of(Spec().model_dump())
