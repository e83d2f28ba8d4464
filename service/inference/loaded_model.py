"""A trained network in memory, with what it expects of its inputs."""

from dataclasses import dataclass
from functools import cached_property

from mlp_core import Network
from service.store.checkpoints import Arrays, CheckpointRef


@dataclass(frozen=True)
class LoadedModel:
    """A network as one checkpoint holds it."""

    job: str
    dataset: str
    """The data set it was trained on, which says what its inputs look like."""
    checkpoint: CheckpointRef
    network: Network
    arrays: Arrays
    """The parameters by name, float32: `layers.<k>.weight` (n_in, n_out), `layers.<k>.bias`."""

    @cached_property
    def nbytes(self) -> int:
        """Memory that the parameters take, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())
