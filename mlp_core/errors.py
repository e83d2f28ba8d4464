"""The errors that this package raises.

CoreError
├── MismatchError            a value differs from what was expected
│   ├── ShapeError           an array's shape or type does not fit the network
│   ├── DatasetError         the data is damaged or of the wrong kind
│   └── CheckpointError      the arrays belong to another network or recipe, or are incomplete
└── Diverged                 the loss is no longer finite
"""


class CoreError(Exception):
    """Base class of all errors of this package."""


class MismatchError(CoreError):
    """A value differs from what was expected; the message names both."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.what = what
        self.expected = expected
        self.found = found


class ShapeError(MismatchError):
    """An array passed by the caller does not fit the network."""


class DatasetError(MismatchError):
    """The data is damaged or of the wrong kind."""


class CheckpointError(MismatchError):
    """The arrays belong to another network or recipe, or some are missing."""


class Diverged(CoreError):
    """Training has left the range of finite numbers; a lower learning rate usually helps."""

    def __init__(self, epoch: int, step: int, learning_rate: float) -> None:
        super().__init__(
            f"The loss is no longer finite in epoch {epoch}, step {step}, "
            f"at learning rate {learning_rate:g}. Try a lower learning rate."
        )
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate
