"""What a run is told."""

from dataclasses import dataclass

from mlp_core.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """What to train and how; the names are those of `ACTIVATIONS` and `INITIALIZATIONS`."""

    hidden: tuple[int, ...]  # sizes of the hidden layers
    activation: str
    initialization: str
    initial_bias: float
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False
    l2: float = 0.0
    optimizer: str = "sgd"  # or "adamw", which takes the next three, and none of the last three
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "constant"  # or "cosine": down to 0 by half a cosine, at the end of all epochs
    augmentation: Augmentation | None = None
    seed: int = 1
