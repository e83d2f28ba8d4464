"""The sizes of a data set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """How large its images are, how many classes and rows it has."""

    inputs: int
    classes: int
    train_rows: int
    test_rows: int
