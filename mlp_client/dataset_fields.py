"""The options of an upload as keyword arguments, so that type checkers find wrong names and types.

`dataset_options.DatasetOptions` describes the options and their bounds; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from mlp_client.spec_fields import Real, Whole


class SplitFields(TypedDict, total=False):
    """How the rows are divided by chance into those to train on and those to test on."""

    test: Real
    seed: Whole
    stratify: bool


class LabelFields(TypedDict, total=False):
    """The column that has the labels, or the pattern that finds them in paths."""

    column: str
    pattern: str


class DatasetFields(TypedDict, total=False):
    """The options of an upload. What is not given is found by looking at the files."""

    split: Literal["given", "none"] | SplitFields | None
    label: Literal["parent", "path"] | LabelFields | None
    classes: Sequence[str] | Mapping[str, str] | None
    size: Whole | str | Sequence[Whole] | None
    resize: Literal["fit", "stretch", "refuse"]
    color: Literal["grey", "keep"]
    invert: bool | Literal["auto"] | None
    transpose: bool
    range: Sequence[Real] | None
    input: Literal["auto", "digit", "image", "vector"] | None
    normalize: bool
    deduplicate: bool
    ignore_columns: str | list[str]
    license: str
    attribution: str
    description: str


class UploadFields(DatasetFields, total=False):
    """The options of an upload, and the arrays that are sent if there are no files."""

    x_train: Any
    """Images (n, height, width) or rows (n, columns): anything that NumPy makes an array of."""
    y_train: Any
    """Their labels (n,), numbers or texts."""
    x_test: Any
    """Images to test on; without them, a part of the others is."""
    y_test: Any
    """The labels of `x_test`."""


ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def arrays_and_options(fields: UploadFields) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays that are given, by their names, and the options of their upload."""
    arrays = {name: it for name, it in fields.items() if name in ARRAYS and it is not None}
    return arrays, {name: it for name, it in fields.items() if name not in ARRAYS}


class DerivationFields(TypedDict, total=False):
    """What is made of a data set that is there; what is not given stays as it is there."""

    split: Literal["given", "none"] | SplitFields | None
    classes: Sequence[str] | None
    rows: Whole | None
    seed: Whole | None
    license: str | None
    attribution: str | None
    description: str | None
