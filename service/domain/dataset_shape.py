"""The sizes of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """How large the images of a data set are, and how many classes and rows it has."""

    inputs: int
    classes: int
    train_rows: int
    test_rows: int


def architecture(shape: Shape, hidden: Sequence[int]) -> str:
    """Return the sizes of a network's layers as people write them: 784-128-10."""
    return "-".join(str(size) for size in (shape.inputs, *hidden, shape.classes))
