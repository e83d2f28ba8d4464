"""The options of an upload: what a data set is to be made of its files, where they don't say.

The descriptions of the fields appear in the service's OpenAPI document, which validates with the
same model.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from mlp_client.job_spec import STORED, WHOLE, Printable

MAX_CLASSES = 256
MAX_SIDE = 256
MAX_IGNORED = 1000
MAX_SEED = 2**53 - 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of data sets stand in paths."""

DatasetName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ClassName = Annotated[str, Printable, StringConstraints(min_length=1, max_length=64)]
Text = Annotated[str, Printable, StringConstraints(max_length=1000)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE), WHOLE]
Real = Annotated[float, Field(allow_inf_nan=False)]


def _complete(ref: str) -> str:
    """Return the reference of a data set.

    Raises:
        ValueError: it ends where a digest should follow.

    """
    if ref.endswith("@"):
        raise ValueError("ends with @: leave that out, or add sha256: and the digest")
    return ref


DatasetRef = Annotated[
    str, StringConstraints(min_length=1, max_length=160), AfterValidator(_complete)
]
"""The name of a data set, or `name@sha256:…`."""


def _found(value: object) -> object:
    """Return None for `auto`, which is the word for what is found by looking at the data."""
    return None if value == "auto" else value


def _pair(value: object) -> object:
    """Return [28, 28] for 28 and for "28x28", and other values unchanged."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}(x\d{1,4})?", value):
        sides = [int(side) for side in value.split("x")]
        return sides if len(sides) == 2 else sides * 2
    return [value, value] if isinstance(value, int | float) else value


def _listed(value: object) -> object:
    """Return a list of one name, and other values unchanged."""
    return [value] if isinstance(value, str) else value


def _form(value: object) -> str:
    return "word" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def _without_repetition(classes: Any) -> Any:
    """Return a list of names.

    Raises:
        ValueError: one of them is there twice.

    """
    if isinstance(classes, list) and len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"has the name {twice!r} twice; each class needs a name of its own")
    return classes


FORM = Discriminator(_form)
TAGGED = ("split", "label", "classes")
"""Fields of several forms: pydantic names the form in the place of an error."""
STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class SplitOption(BaseModel):
    """Divides the rows by chance into those to train on and those to test on."""

    model_config = STRICT

    test: float = Field(
        0.2, gt=0, lt=1, allow_inf_nan=False, description="Share of the rows to test on."
    )
    seed: Annotated[int, WHOLE] = Field(
        1, ge=0, le=MAX_SEED, description="Seed of the choice; an equal seed chooses equal rows."
    )
    stratify: bool = Field(
        True, description="Whether each class has that share of its rows in the test set."
    )


class LabelOption(BaseModel):
    """Where the label of an image stands: in a column, or in a part of its path."""

    model_config = STRICT

    column: Text | None = Field(None, description="Name of the column of a table.")
    pattern: Text | None = Field(
        None,
        description="Regular expression with one group, which is searched in the path of each "
        "image; what the group matches is the label.",
    )

    @field_validator("pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError) as exc:
            raise ValueError(f"is no regular expression: {exc}") from exc
        if groups != 1:
            raise ValueError(
                f"needs one group, and has {groups}; for example ^(.)_ for the first character"
            )
        return pattern

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "LabelOption":
        if (self.column is None) == (self.pattern is None):
            raise ValueError('needs either column or pattern, for example {"column": "digit"}')
        return self


Split = Annotated[
    Annotated[Literal["given", "none"], Tag("word")] | Annotated[SplitOption, Tag("object")], FORM
]
Label = Annotated[
    Annotated[Literal["parent", "path"], Tag("word")] | Annotated[LabelOption, Tag("object")], FORM
]
Classes = Annotated[
    Annotated[list[ClassName], Tag("list"), Field(min_length=1, max_length=MAX_CLASSES)]
    | Annotated[dict[Text, ClassName], Tag("object"), Field(min_length=1, max_length=MAX_CLASSES)],
    FORM,
]


class DatasetOptions(BaseModel):
    """How files become a data set. What is null, the default of most options, is found by looking.

    The record of a data set has the options with everything that was found.
    """

    model_config = STRICT

    split: Split | None = Field(
        None,
        description="`given` takes the files at their word, `none` trains and tests on all rows, "
        "and an object divides them by chance. By default what is given is used, and a fifth of "
        "the rows is to test on where nothing is.",
    )
    label: Label | None = Field(
        None,
        description="Where labels stand: `parent` is the folder of an image, `path` all folders "
        "above it; an object names a column or a pattern.",
    )
    classes: Classes | None = Field(
        None,
        description="Names of the classes in the order of their labels, or by what is written in "
        'the files: `{"1": "A", "2": "B"}`.',
    )
    size: (
        Annotated[
            list[Side],
            Field(min_length=2, max_length=2),
            BeforeValidator(_pair, json_schema_input_type=int | str | list[Side]),
        ]
        | None
    ) = Field(
        None,
        description="Height and width of the images; a single number means a square. By default "
        "the size that all images have, else 28x28.",
    )
    resize: Literal["fit", "stretch", "refuse"] = Field(
        "fit",
        description="What becomes of images of another size: `fit` keeps their aspect ratio and "
        "fills the rest with the colour of the paper.",
    )
    color: Literal["grey", "keep"] = Field(
        "grey", description="Whether images in colour stay so, with three numbers for each pixel."
    )
    invert: Annotated[
        bool | None, BeforeValidator(_found, json_schema_input_type=bool | Literal["auto"] | None)
    ] = Field(
        None,
        description="Whether to invert the images, because they are black on white; `auto` or null "
        "looks at them.",
    )
    transpose: bool = Field(
        False, description="Swap rows and columns, for arrays that MATLAB has written."
    )
    range: Annotated[list[Real], Field(min_length=2, max_length=2)] | None = Field(
        None, description="The values that stand for black and white, such as `[0, 16]`."
    )
    input: Annotated[
        Literal["digit", "image", "vector"] | None,
        BeforeValidator(
            _found, json_schema_input_type=Literal["auto", "digit", "image", "vector"] | None
        ),
    ] = Field(
        None,
        description="What a row is: a `digit` of MNIST's form, any other `image`, or a `vector` of "
        "numbers with names. It decides what predictions do with what they are given.",
    )
    normalize: bool = Field(
        False,
        description="Bring each image into MNIST's form, for example photographs of letters or "
        "digits.",
    )
    deduplicate: bool = Field(
        False, description="Leave out later copies of an image; the test set keeps its own."
    )
    ignore_columns: Annotated[
        list[Text],
        Field(max_length=MAX_IGNORED),
        BeforeValidator(_listed, json_schema_input_type=str | list[Text]),
    ] = Field(
        [],
        description="Columns of a table to leave out, by their names or their numbers from 1, such "
        "as `id` or `filename`. They are neither pixels nor numbers of a vector.",
    )
    license: Text = Field("", description="The licence of the data.")
    attribution: Text = Field("", description="The authors of the data.")
    description: Text = Field("", description="What the images show.")

    @field_validator("classes")
    @classmethod
    def _no_name_twice(cls, classes: Any) -> Any:
        return _without_repetition(classes)

    @field_validator("range")
    @classmethod
    def _rises(cls, range_: list[float] | None) -> list[float] | None:
        if range_ is not None and range_[0] >= range_[1]:
            raise ValueError("has black first and then a greater number for white, as in [0, 16]")
        return range_


class Derivation(BaseModel):
    """What a data set is made of, if it is made of one that is there, and how."""

    model_config = STRICT

    dataset: Annotated[DatasetRef, Printable] = Field(
        description="The other data set, by its name or `name@sha256:…`."
    )
    split: Split | None = Field(
        None,
        description="How to divide its rows anew, as in the options of an upload; null leaves the "
        "splits as they are.",
    )
    classes: Annotated[list[ClassName], Field(min_length=1, max_length=MAX_CLASSES)] | None = Field(
        None, description="Names of the classes to keep, in their new order; null keeps all."
    )
    rows: Annotated[int, WHOLE] | None = Field(
        None,
        ge=1,
        le=MAX_SEED,
        description="At most so many training rows of each class, after all else; null keeps all. "
        "The rows to test on stay.",
    )
    seed: Annotated[int, WHOLE] = Field(
        1,
        ge=0,
        le=MAX_SEED,
        description="Seed by which these rows are drawn; fewer of them are a part of more.",
    )

    @field_validator("classes")
    @classmethod
    def _no_class_twice(cls, classes: Any) -> Any:
        return _without_repetition(classes)


class StoredDerivation(Derivation):
    """What a data set was made of, and how."""

    model_config = STORED

    sha256: str = Field("", description="The digest of the other data set's content.")


class DerivedDataset(BaseModel):
    """A data set that is to be made of one that is there."""

    model_config = STRICT

    name: Annotated[str, StringConstraints(max_length=1000)] = Field(
        description="The name of the new data set: up to 63 lower-case letters, digits, `.`, `_` "
        "and `-`."
    )
    from_: Derivation = Field(alias="from", description="The other data set, and what to keep.")
    license: Text | None = Field(None, description="The licence; by default that of the other.")
    attribution: Text | None = Field(
        None, description="The authors; by default those of the other."
    )
    description: Text | None = Field(
        None, description="What the images show; by default what those of the other show."
    )


class StoredDatasetOptions(DatasetOptions):
    """The options of a data set, with everything that was found in place of null."""

    model_config = STORED | ConfigDict(serialize_by_alias=True)

    from_: StoredDerivation | None = Field(
        None,
        alias="from",
        description="The data set that it was made of; null if files were sent.",
    )


def place_of(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return the place of an error in the options, without the name of the form of a value."""
    return (loc[0], *loc[2:]) if loc and loc[0] in TAGGED else loc
