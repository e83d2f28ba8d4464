"""Turns a job's spec into the recipe that the trainer follows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mlp_core import Augmentation, Recipe

CONVERTED = {"hidden", "augmentation", "optimizer", "class_weights"}
COPIED = {field.name for field in dataclasses.fields(Recipe)} - CONVERTED
"""Fields that have the same name and form in spec and recipe."""
USUAL = (28, 28)
IN_PIXELS = {"translation", "elastic", "smoothness"}
"""What an augmentation says in pixels."""


def recipe_of(
    spec: Mapping[str, Any],
    classes: Sequence[str] = (),
    image_shape: tuple[int, int] | None = None,
) -> Recipe:
    """Return the recipe of a resolved spec.

    Only training needs the names of the `classes`, by which a spec may weight them, and height and
    width of the images, with which the pixels of an augmentation grow.

    Fields that a spec of an older version lacks get the recipe's defaults, which are what that
    version did.
    """
    optimizer = dict(spec["optimizer"])
    return Recipe(
        hidden=tuple(spec["hidden"]),
        augmentation=_augmentation(spec.get("augmentation"), image_shape or USUAL),
        optimizer=optimizer.pop("type"),
        **optimizer,
        class_weights=_class_weights(spec.get("class_weights"), classes),
        **{name: spec[name] for name in COPIED if name in spec},
    )


def _augmentation(
    given: Mapping[str, float] | None, image_shape: tuple[int, int]
) -> Augmentation | None:
    """Return the augmentation of images of a height and width.

    A spec says its pixels for images of 28x28. For others they grow or shrink with the shorter
    side, so that the same spec deforms them as much.
    """
    if not given:
        return None
    factor = min(image_shape) / min(USUAL)
    return Augmentation(
        **{**given, **{name: given[name] * factor for name in IN_PIXELS & given.keys()}}
    )


def _class_weights(
    given: str | Mapping[str, float] | None, classes: Sequence[str]
) -> tuple[float, ...] | str | None:
    if isinstance(given, Mapping):
        return tuple(given.get(name, 1.0) for name in classes)
    return given
