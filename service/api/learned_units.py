"""The weights of some units of a layer: as they are, or what training has changed in them.

Much of a trained layer is still its random start, which hides what was learned.
"""

from typing import Literal

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray

from mlp_core import Network
from service.api.dependencies import Services
from service.domain.errors import LayerNotFound
from service.inference.loaded_model import LoadedModel

Minus = Literal["start"]
MINUS_DESCRIPTION = (
    "`start`: subtract the weights before training, which the job's seed makes again, so that only "
    "what was learned remains."
)
Floats = NDArray[np.float32]


def chosen_units(network: Network, layer: int, offset: int, most: int | None) -> slice:
    """Return which units `offset` and `most` choose.

    Raises:
        LayerNotFound: the network has no such layer.
        HTTPException: the layer has no units from `offset` on.

    """
    layers = len(network.weights)
    if layer > layers:
        raise LayerNotFound(layer, layers)
    units = len(network.biases[layer - 1])
    if offset >= units:
        raise HTTPException(404, f"Layer {layer} has {units} units: choose a lower offset.")
    return slice(offset, units if most is None else min(units, offset + most))


def weights_of(
    services: Services, model: LoadedModel, layer: int, units: slice, minus: Minus | None
) -> Floats:
    """Return the weights (n_in, n) of some units.

    Raises:
        StartUnknown: they are wanted without their start, which can't be made again here.

    """
    W = model.network.weights[layer - 1][:, units]
    if minus is None:
        return W
    return W - _start(services, model).weights[layer - 1][:, units]


def biases_of(
    services: Services, model: LoadedModel, layer: int, units: slice, minus: Minus | None
) -> Floats:
    """Return the biases (n,) of some units; raises what `weights_of` does."""
    b = model.network.biases[layer - 1][units]
    if minus is None:
        return b
    return b - _start(services, model).biases[layer - 1][units]


def _start(services: Services, model: LoadedModel) -> Network:
    return services.models.get(f"{model.job}@0").network
