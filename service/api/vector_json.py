"""Reads rows of numbers out of JSON, for networks that were trained on a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.api import array_input, json_input, vector_input
from service.api.array_input import Pictures
from service.api.json_input import Found, pictures_of
from service.api.predict_schema import ImageInput, PredictRequest
from service.domain.dataset_manifest import Column
from service.domain.errors import BadImage, DatasetNotFound, DatasetNotReady
from service.inference.input_batch import Image
from service.inference.predict import Options
from service.store.datasets import DatasetStore

NAMES = ("features", "inputs", "instances", "rows", "data")
"""Fields that hold one row or several; other services have some of them."""


@dataclass(frozen=True)
class Context:
    """What a value is read with."""

    datasets: DatasetStore
    """The data sets whose samples may be named."""
    columns: Sequence[Column]
    """The columns of the table on which the network was trained."""


def from_json(
    parsed: Any, options: Options, datasets: DatasetStore, columns: Sequence[Column]
) -> tuple[Pictures, Options]:
    """Return the rows in a JSON value, and the options with those that stand beside them.

    A row is an object with a number for each column, or a list of numbers in their order.

    Raises:
        RequestValidationError: the value is not a PredictRequest, nor another form that is read.
        BadImage: the only row can't be read.

    """
    context = Context(datasets, columns)
    if isinstance(parsed, list):
        return pictures_of(_rows(parsed, "#", context)), options
    if not isinstance(parsed, dict) or json_input.is_own(parsed):
        request = json_input.validated(PredictRequest, parsed)
        given = request.model_fields_set - {"inputs"}
        options = replace(options, **{name: getattr(request, name) for name in given})
        inputs = enumerate(request.inputs)
        return pictures_of([_of_input(it, f"#/inputs/{at}", context) for at, it in inputs]), options
    if name := next((each for each in NAMES if each in parsed), None):
        rest = {key: it for key, it in parsed.items() if key not in {name, *json_input.IGNORED}}
        options = json_input.with_options(options, rest)
        return pictures_of(_rows(parsed[name], f"#/{name}", context)), options
    own = {key: it for key, it in parsed.items() if key in json_input.OWN}
    rest = {key: it for key, it in parsed.items() if key not in json_input.OWN}
    options = json_input.with_options(options, rest)
    return pictures_of([_of_input(json_input.validated(ImageInput, own), "#", context)]), options


def _rows(value: Any, place: str, context: Context) -> Found:
    """Return the rows in a value: one, or a list of them."""
    if isinstance(value, list) and value and all(isinstance(it, list | dict) for it in value):
        array_input.check_count(len(value))
        return [_row(it, f"{place}/{at}", context) for at, it in enumerate(value)]
    return [_row(value, place, context)]


def _row(value: Any, place: str, context: Context) -> tuple[Image, str, bool]:
    """Return one row, or the error with its place in the body."""
    if isinstance(value, dict) and not {it.name for it in context.columns} & value.keys():
        loc = tuple(int(it) if it.isdigit() else it for it in place.split("/")[1:])
        return _of_input(json_input.validated(ImageInput, value, loc), place, context)
    return _of_input(value, place, context)


def _of_input(given: Any, place: str, context: Context) -> tuple[Image, str, bool]:
    try:
        return _read_row(given, context), place, False
    except BadImage as exc:
        return BadImage(exc.code, f"{place}: {exc}", place), place, False
    except (DatasetNotFound, DatasetNotReady) as exc:
        return BadImage("unknown_sample", f"{place}: {exc}", place), place, False


def _read_row(given: Any, context: Context) -> Image:
    if isinstance(given, ImageInput):
        if given.dataset is not None:
            return _sample(given, context)
        given = given.features
    if isinstance(given, dict):
        return vector_input.named_row(given, context.columns)
    if isinstance(given, list):
        return vector_input.listed_row(given, context.columns)
    raise BadImage(
        "unusable_array",
        "this network reads rows of numbers: send `features`, an object with a number for each "
        "column or a list of numbers in their order.",
    )


def _sample(given: ImageInput, context: Context) -> Image:
    sample = json_input.sample(context.datasets, given)
    if sample.pixels.shape != (len(context.columns),):
        raise BadImage(
            "unknown_sample",
            f"the rows of {given.dataset!r} have not the {len(context.columns)} columns that this "
            "network reads.",
        )
    return sample
