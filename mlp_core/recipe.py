"""The recipe of a run: everything that decides what is trained and how, except for the data."""

from dataclasses import dataclass

from mlp_core.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """A network and the way in which it is trained."""

    hidden: tuple[int, ...]  # units of each hidden layer; () is a linear model
    activation: str  # a key of ACTIVATIONS
    initialization: str  # a key of INITIALIZATIONS
    initial_bias: float
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False
    l2: float = 0.0
    optimizer: str = "sgd"  # "sgd" uses the three fields above, "adamw" the three below
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "constant"  # a key of SCHEDULES
    augmentation: Augmentation | None = None
    class_weights: tuple[float, ...] | str | None = None  # one a class, "balanced", or all equal
    seed: int = 1
