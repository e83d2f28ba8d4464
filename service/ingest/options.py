"""The options of an upload. Those that are None are found by looking at the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from service.domain.dataset_manifest import Resize


@dataclass(frozen=True)
class SplitOption:
    """How to divide a set by chance."""

    test: float = 0.2
    """The share of the rows to test on."""
    seed: int = 1
    stratify: bool = True
    """Whether each class has that share of its rows in the test set."""


@dataclass(frozen=True)
class IngestOptions:
    """What a client asks for; `mlp_client.dataset_options` validates it and has the same names."""

    split: SplitOption | str | None = None
    """`given`, `none` (all rows are to train on, and to test on too), or how to divide."""
    label: str | Mapping[str, str] | None = None
    """`parent`, `path`, {"column": name} or {"pattern": regular expression with one group}."""
    classes: Sequence[str] | Mapping[str, str] | None = None
    """Names in the order of the labels, or by what is written in the source."""
    size: tuple[int, int] | None = None
    """Height and width."""
    resize: Resize = Resize.FIT
    color: str = "grey"
    """`grey` or `keep`."""
    invert: bool | None = None
    transpose: bool = False
    range: tuple[float, float] | None = None
    """The values of black and white."""
    input: str | None = None
    """`digit`, `image` or `vector`."""
    normalize: bool = False
    """Whether each picture is brought into MNIST's form."""
    deduplicate: bool = False
    ignore_columns: Sequence[str] = ()
    """Columns of tables to leave out, by name or by number from 1."""

    @property
    def keeps_colours(self) -> bool:
        return self.color == "keep"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the options of a record that the client's model has validated."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in record.items() if name in known}
        if isinstance(values.get("split"), Mapping):
            values["split"] = SplitOption(**values["split"])
        if isinstance(values.get("label"), Mapping):  # it names one of two places
            named = {place: name for place, name in values["label"].items() if name is not None}
            values["label"] = named
        for pair in ("size", "range"):
            if values.get(pair) is not None:
                values[pair] = tuple(values[pair])
        values["ignore_columns"] = tuple(values.get("ignore_columns", ()))
        if "resize" in values:
            values["resize"] = Resize(values["resize"])
        return cls(**values)
