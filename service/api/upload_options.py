"""The options of an upload: as one JSON object, and the plain ones as parameters of their own."""

from typing import Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from mlp_client.dataset_options import MAX_SEED, DatasetOptions, place_of
from service.api.json_body import read_json
from service.api.validation import QueryParameters

OPTIONS_EXAMPLE = '{"split": {"test": 0.2}, "size": [28, 28]}'
MAX_OPTIONS_BYTES = 64 * 1024
"""256 classes with names of 64 characters fit in."""
FRACTION_FIELDS = ("test", "seed")
"""Parameters that stand for fields of `split`."""


class UploadQuery(QueryParameters):
    """The query parameters of an upload; those that are options have their names."""

    options: str | None = Field(
        None,
        max_length=MAX_OPTIONS_BYTES,
        description="All options as one JSON object, see `DatasetOptions`; the parameters below "
        "are for the plain ones, and come before it.",
        examples=[OPTIONS_EXAMPLE],
    )
    test: float | None = Field(
        None, gt=0, lt=1, description="Share of the rows to test on, chosen by chance."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Seed of that choice.")
    split: Literal["given", "none"] | None = Field(
        None, description="`given` takes the split of the files, `none` tests on all rows."
    )
    column: str | None = Field(
        None, max_length=1000, description="Name of the column of the label, in a table."
    )
    size: str | None = Field(
        None, max_length=16, description="Height and width of the images: `28` or `28x20`."
    )
    color: Literal["grey", "keep"] | None = Field(
        None, description="Whether images in colour stay so."
    )
    invert: Literal["auto", "true", "false"] | None = Field(
        None, description="Whether to invert the images, because they are black on white."
    )
    transpose: bool | None = Field(None, description="Swap rows and columns of the images.")
    input: Literal["auto", "digit", "image", "vector"] | None = Field(
        None, description="What a row is."
    )
    normalize: bool | None = Field(None, description="Bring each image into MNIST's form.")
    deduplicate: bool | None = Field(None, description="Leave out later copies of an image.")
    ignore_columns: str | None = Field(
        None,
        max_length=10_000,
        description="Names of the columns of a table to leave out, separated by commas; or, for "
        "names with commas, as a list in JSON.",
        examples=["id,filename"],
    )
    description: str | None = Field(None, max_length=1000, description="What the images show.")
    dry_run: bool = Field(
        False, description="Answer with the report about the file, and store nothing."
    )

    def resolved(self) -> DatasetOptions:
        """Return all options.

        Raises:
            RequestValidationError: one of them is not valid.

        """
        given = {} if self.options is None else options_object(self.options, ("query", "options"))
        return valid_options({**given, **self._plain()}, ("query", "options"))

    def _plain(self) -> dict[str, Any]:
        """Return the options that were given as parameters of their own."""
        given = self.model_dump(exclude_none=True, exclude={"options", "dry_run"})
        divide = {name: given.pop(name) for name in FRACTION_FIELDS if name in given}
        if divide and "split" in given:
            raise invalid(("query", "split"), "leave it out, because ?test divides the rows")
        if divide:
            given["split"] = divide
        if "column" in given:
            given["label"] = {"column": given.pop("column")}
        if "ignore_columns" in given:
            given["ignore_columns"] = _names(given["ignore_columns"])
        if "invert" in given:
            given["invert"] = {"auto": None, "true": True, "false": False}[given["invert"]]
        return given


def _names(text: str) -> Any:
    """Return names that are separated by commas, or what stands there as JSON.

    Raises:
        RequestValidationError: it begins like a list, and is no JSON.

    """
    if not text.lstrip().startswith("["):
        return [name for each in text.split(",") if (name := each.strip())]
    try:
        return read_json(text.encode())
    except ValueError as exc:
        place = ("query", "ignore_columns")
        raise invalid(place, f"begins with [ and can't be read as JSON: {exc}") from exc


def options_object(text: str | bytes, place: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON object of a parameter or of a field of a form.

    Raises:
        RequestValidationError: it is no JSON object.

    """
    try:
        value = read_json(text.encode() if isinstance(text, str) else text)
    except ValueError as exc:
        raise invalid(place, f"can't be read as JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise invalid(place, f"must be a JSON object, for example {OPTIONS_EXAMPLE}")
    return value


def valid_options(given: dict[str, Any], place: tuple[str, ...]) -> DatasetOptions:
    """Return options if all of them are valid.

    Raises:
        RequestValidationError: one is not; the error names its place below `place`.

    """
    try:
        return DatasetOptions.model_validate(given)
    except ValidationError as exc:
        errors = [{**error, "loc": (*place, *place_of(error["loc"]))} for error in exc.errors()]
        raise RequestValidationError(errors) from exc


def invalid(place: tuple[str | int, ...], message: str) -> RequestValidationError:
    """Return the error for one place of a request."""
    error = {"type": "value_error", "loc": place, "msg": message, "input": None}
    return RequestValidationError([error])
