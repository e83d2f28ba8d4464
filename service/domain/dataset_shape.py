"""The sizes of a data set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """How large the images of a data set are, and how many classes and rows it has."""

    inputs: int
    classes: int
    train_rows: int
    test_rows: int
