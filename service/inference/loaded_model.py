"""A trained network in memory, with what it expects of its inputs."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlp_core import Network
from service.domain.dataset_manifest import Manifest
from service.store.checkpoints import Arrays, CheckpointRef
from service.store.temperatures import Temperature


@dataclass(frozen=True)
class LoadedModel:
    """A network as one checkpoint holds it."""

    job: str
    dataset: str
    """The name of the data set it was trained on, which may be another one's by now."""
    manifest: Manifest
    """What it expects of its inputs, and means by its outputs: that of this data set."""
    checkpoint: CheckpointRef
    network: Network
    arrays: Arrays
    """The parameters by name, float32: `layers.<k>.weight` (n_in, n_out), `layers.<k>.bias`."""
    tempered: Temperature | None = None
    """What the logits of `network` are divided by, if anything."""

    @cached_property
    def nbytes(self) -> int:
        """Memory that the parameters take, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def with_temperature(self, found: Temperature) -> "LoadedModel":
        """Return the network with logits divided by a temperature, which changes no answer."""
        *weights, W = self.network.weights
        *biases, b = self.network.biases
        divisor = np.float32(found.temperature)
        network = replace(
            self.network, weights=(*weights, W / divisor), biases=(*biases, b / divisor)
        )
        return replace(self, network=network, tempered=found)
