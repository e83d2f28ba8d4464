"""Fits the fields of a spec that were not given to its data set: presets are made for MNIST."""

from collections.abc import Collection, Mapping
from typing import Any

from service.domain.dataset_shape import Shape

MOST_INPUTS = 1024
"""The learning rates of presets fit images up to 32x32. With 40 000 inputs, networks that learn at
0.1 end where they began."""
LEAST_STEPS = 20
"""An epoch has this many steps at least. With 5, as 300 images make in batches of 64, the usual 50
epochs end long before the network has learned what it can."""
SMALLEST_BATCH = 8
"""Gradients of still fewer images point in too many directions for the usual learning rate."""


def fitted(spec: Mapping[str, Any], given: Collection[str], data: Shape) -> dict[str, Any]:
    """Return the fields to change in a resolved spec, so that it fits its data set.

    A step changes the output of a unit in proportion to its inputs, so the learning rate falls with
    their number. MNIST's own spec never changes.

    Args:
        spec: with all its fields.
        given: the fields that a person has chosen, which stay as they are.
        data: the sizes of the data set.

    """
    rate = spec["learning_rate"]
    if data.inputs > MOST_INPUTS:  # two digits are as exact as the rule is
        rate = float(f"{rate * MOST_INPUTS / data.inputs:.2g}")
    most = max(SMALLEST_BATCH, data.train_rows // LEAST_STEPS)
    fits = {"learning_rate": rate, "batch_size": min(spec["batch_size"], most)}
    return {
        name: value for name, value in fits.items() if name not in given and value != spec[name]
    }
