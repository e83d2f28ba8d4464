"""The options of an upload as keyword arguments, so that type checkers find wrong names and types.

`dataset_options.DatasetOptions` describes the options and their bounds; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

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


class DerivationFields(TypedDict, total=False):
    """What is made of a data set that is there; what is not given stays as it is there."""

    split: Literal["given", "none"] | SplitFields | None
    classes: Sequence[str] | None
    rows: Whole | None
    seed: Whole | None
    license: str | None
    attribution: str | None
    description: str | None
