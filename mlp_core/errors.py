"""What can go wrong in the lab.

CoreError
├── MismatchError            something is not as expected: says what, expected and found
│   ├── ShapeError           arrays do not fit
│   ├── DatasetError         data is damaged or of another kind
│   └── CheckpointError      arrays of another network or recipe, or not all of them
└── Diverged                 the loss is not finite: says epoch, step and learning rate
"""


class CoreError(Exception):
    """Base of all errors of the lab."""


class MismatchError(CoreError):
    """Something is not as expected."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.what = what
        self.expected = expected
        self.found = found


class ShapeError(MismatchError):
    """The caller's arrays do not fit the network."""


class DatasetError(MismatchError):
    """The data is damaged or of another kind."""


class CheckpointError(MismatchError):
    """The arrays belong to another network or recipe, or some are missing."""


class Diverged(CoreError):
    """Training left the finite numbers; a lower learning rate usually helps."""

    def __init__(self, epoch: int, step: int, learning_rate: float) -> None:
        super().__init__(
            f"the loss is not finite in epoch {epoch}, step {step}, "
            f"at learning rate {learning_rate:g}: try a lower one"
        )
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate
