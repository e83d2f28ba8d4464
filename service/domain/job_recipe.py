"""Turns a job's spec into the recipe that the trainer follows."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mlp_core import Augmentation, Recipe

CONVERTED = {"hidden", "augmentation", "optimizer"}
COPIED = {field.name for field in dataclasses.fields(Recipe)} - CONVERTED
"""Fields that have the same name and form in spec and recipe."""


def recipe_of(spec: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a resolved spec.

    Fields that a spec of an older version lacks get the recipe's defaults, which are what that
    version did.
    """
    optimizer = dict(spec["optimizer"])
    augmentation = spec.get("augmentation")
    return Recipe(
        hidden=tuple(spec["hidden"]),
        augmentation=Augmentation(**augmentation) if augmentation else None,
        optimizer=optimizer.pop("type"),
        **optimizer,
        **{name: spec[name] for name in COPIED if name in spec},
    )
