"""What a data set is: shape, classes, rows and the digest over its arrays.

A manifest is copied into the row of each job that trains on the set, so that its network can answer
after the set has been deleted.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from service.domain.dataset_shape import Shape


class InputForm(StrEnum):
    """What a row of a data set is, which decides what a prediction does with what it is given."""

    DIGIT = "digit"
    """Images of MNIST's form: white ink on black, in a box of 20x20 pixels, centred in 28x28."""
    IMAGE = "image"
    """Images of any other form, which are brought to the set's size and polarity only."""
    VECTOR = "vector"
    """Numbers with names, each scaled from its range in the training set to 0 to 255."""


class Resize(StrEnum):
    """How an image of another size is brought to the size of the set."""

    FIT = "fit"
    """The aspect ratio stays, and the rest is filled with the colour of the paper."""
    STRETCH = "stretch"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Column:
    """A number of a vector: its name, and the values that became 0 and 255."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Manifest:
    """The description of a data set's arrays, and of how an image becomes a row of them."""

    sha256: str
    """The digest by `ContentDigest`."""
    shape: tuple[int, ...]
    """(height, width), (height, width, 3) for colours, or (n,) for vectors."""
    classes: tuple[str, ...]
    """Names, in the order of the labels."""
    class_counts: Mapping[str, Sequence[int]]
    """The number of rows of each class, by split: `train`, `test`, perhaps `validation`."""
    input: InputForm = InputForm.IMAGE
    invert: bool = False
    """Whether images were black on white, and have been inverted."""
    transpose: bool = False
    """Whether rows and columns of images have been swapped."""
    resize: Resize = Resize.FIT
    columns: tuple[Column, ...] = ()
    """The columns of a vector."""

    @property
    def n_in(self) -> int:
        """The number of pixels, or of numbers, in a row."""
        return math.prod(self.shape)

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the images; None for vectors."""
        return None if len(self.shape) == 1 else (self.shape[0], self.shape[1])

    @property
    def channels(self) -> int:
        """1, or 3 for images in colour."""
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each split."""
        return {split: sum(counts) for split, counts in self.class_counts.items()}

    @property
    def bytes(self) -> int:
        """The bytes of all images and labels."""
        return (self.n_in + 1) * sum(self.rows.values())

    @property
    def sizes(self) -> Shape:
        """The sizes on which a network and its cost depend."""
        rows = self.rows
        return Shape(self.n_in, len(self.classes), rows["train"], rows["test"])

    def as_record(self) -> dict[str, Any]:
        """Return the manifest as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the manifest that `as_record` has written."""
        return cls(
            sha256=record["sha256"],
            shape=tuple(record["shape"]),
            classes=tuple(record["classes"]),
            class_counts=record["class_counts"],
            input=InputForm(record["input"]),
            invert=record["invert"],
            transpose=record["transpose"],
            resize=Resize(record["resize"]),
            columns=tuple(Column(**column) for column in record["columns"]),
        )


class ContentDigest:
    """SHA-256 of a data set: of shape, classes and rows, and then of all arrays.

    The arrays are to be given in this order, whole or in pieces: images and labels of `train`, of
    `validation` if there is one, and of `test`. So the same images with the same classes have the
    same digest, in whichever format they came.
    """

    def __init__(
        self, shape: Iterable[int], classes: Iterable[str], rows: Mapping[str, int]
    ) -> None:
        facts = {"shape": list(shape), "classes": list(classes), "rows": dict(rows)}
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self._hash = hashlib.sha256(text.encode() + b"\n")

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes of the arrays."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
