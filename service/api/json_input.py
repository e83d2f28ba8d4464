"""Reads images out of JSON: in the service's own form, and in those of other services."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from service.api import array_input, base64_input
from service.api.array_input import MNIST_SHAPE, Pictures, Shape
from service.api.predict_schema import OPTIONS, ImageInput, PredictOptions, PredictRequest
from service.domain.errors import BadImage, DatasetNotFound, DatasetNotReady
from service.inference import image_formats
from service.inference.input_batch import Image, Sample
from service.inference.predict import Options
from service.store.datasets import DatasetStore

MAX_ERRORS = 1000
NAMES = ("instances", "images", "image", "img", "input", "input_data", "data", "b64")
"""Fields in which other services take one image or several. What they hold tells what it is."""
IGNORED = {"signature_name", "id", "outputs", "parameters", "model_name", "model_version"}
"""Fields of TensorFlow Serving and of the Open Inference Protocol that say nothing of images."""
OWN = set(ImageInput.model_fields)
MAX_DEPTH = 5
ODD_CELLS = {
    bool: "true or false",
    type(None): "null",
    str: "a text",
    list: "a list",
    dict: "an object",
}
"""What stands in place of a number, by its type."""
NUMBERS = {int, float, bool}
OPEN_TYPES = {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"}
OPEN_TYPES |= {"FP16", "FP32", "FP64", "BYTES"}

Model = TypeVar("Model", bound=BaseModel)
Found = list[tuple[Image, str, bool]]
"""Images, their places, and whether their numbers fit the range 0-1 as well as 0-255."""


@dataclass(frozen=True)
class Context:
    """What a value is read with."""

    datasets: DatasetStore
    """The data sets whose samples may be named."""
    shape: Shape
    """The shape of a picture of the network's size."""


def from_json(
    parsed: Any, options: Options, datasets: DatasetStore, shape: Shape = MNIST_SHAPE
) -> tuple[Pictures, Options]:
    """Return the images in a JSON value, and the options with those that stand beside them.

    An image that can't be read may be in the list as its BadImage.

    Raises:
        RequestValidationError: the value is not a PredictRequest, nor another form that is read.
        BadImage: the only image can't be read.

    """
    context = Context(datasets, shape)
    if isinstance(parsed, list | str):
        return pictures_of(_values(parsed, "#", context)), options
    if not isinstance(parsed, dict) or is_own(parsed):
        return _own(parsed, options, context)
    if _is_typed_array(parsed):
        return pictures_of(_values(list(parsed.values()), "#", context)), options
    if name := next((each for each in ("inputs", *NAMES) if each in parsed), _file_field(parsed)):
        rest = {key: it for key, it in parsed.items() if key != name and key not in IGNORED}
        options = with_options(options, rest)
        if name == "inputs" and _is_open_inference(parsed[name]):
            return _open_inference(parsed[name], context), options
        return pictures_of(_values(parsed[name], f"#/{name}", context)), options
    if not OWN.isdisjoint(parsed):
        options = with_options(options, {key: parsed[key] for key in parsed if key not in OWN})
        given = {key: parsed[key] for key in parsed if key in OWN}
        return pictures_of([_image(context, validated(ImageInput, given), "#")]), options
    return _own(parsed, options, context)


def with_options(options: Options, given: Mapping[str, Any], *, strict: bool = True) -> Options:
    """Return the options with those that a body gives; other names in it are refused."""
    if not given:
        return options
    found = validated(PredictOptions, given, strict=strict)
    return replace(options, **{name: getattr(found, name) for name in found.model_fields_set})


def validated(
    model: type[Model], given: Any, loc: tuple[str | int, ...] = (), *, strict: bool = True
) -> Model:
    """Return `given` as a record, or raise the errors with their places in the body."""
    try:
        # Not `model_validate_json`, which takes nearly twice as long over a million numbers.
        return model.model_validate(given, strict=strict)
    except ValidationError as exc:
        if exc.error_count() > MAX_ERRORS:  # describing each of them would take seconds
            raise HTTPException(422, f"{exc.error_count():,} values need a change.") from exc
        found = exc.errors(include_url=False, include_context=True)
        errors = [{**error, "loc": ("body", *loc, *error["loc"])} for error in found]
        raise RequestValidationError(errors) from exc


def _file_field(parsed: Mapping[str, Any]) -> str | None:
    """Return the one field beside the options, whatever its name, if its text is a file."""
    fields = parsed.keys() - OPTIONS - IGNORED
    name = next(iter(fields)) if len(fields) == 1 else None
    if name is None or name in OWN or not isinstance(parsed[name], str):
        return None
    is_file = base64_input.is_text_of_a_file(parsed[name][:200].encode("utf-8", "replace"))
    return name if is_file else None


def _is_typed_array(value: Mapping[str, Any]) -> bool:
    """Return whether this is what JavaScript's JSON.stringify makes of a typed array."""
    return "0" in value and all(name == str(at) for at, name in enumerate(value))


def pictures_of(found: Found) -> Pictures:
    array_input.check_count(len(found))
    images, places = [image for image, _, _ in found], [place for _, place, _ in found]
    return Pictures(images, [at for at, (_, _, doubt) in enumerate(found) if doubt], places)


# --- The service's own form -----------------------------------------------------------------------


def is_own(parsed: dict[str, Any]) -> bool:
    inputs = parsed.get("inputs")
    if not isinstance(inputs, list):
        return False
    return all(isinstance(each, dict) and (not each or each.keys() & OWN) for each in inputs)


def _own(parsed: Any, options: Options, context: Context) -> tuple[Pictures, Options]:
    request = validated(PredictRequest, parsed)
    found = [
        _image(context, given, f"#/inputs/{index}") for index, given in enumerate(request.inputs)
    ]
    given = request.model_fields_set - {"inputs"}
    options = replace(options, **{name: getattr(request, name) for name in given})
    return pictures_of(found), options


def _image(context: Context, given: ImageInput, place: str) -> tuple[Image, str, bool]:
    """Return an input's image, or the error with its place in the body."""
    try:
        image, doubt = _read_image(context, given)
    except BadImage as exc:
        return BadImage(exc.code, f"{place}: {exc}", place), place, False
    except (DatasetNotFound, DatasetNotReady) as exc:
        return BadImage("unknown_sample", f"{place}: {exc}", place), place, False
    return image, place, doubt


def _read_image(context: Context, given: ImageInput) -> tuple[Image, bool]:
    """Return an input's image, and whether its numbers fit the range 0-1 as well as 0-255."""
    if given.base64 is not None:
        return base64_input.decoded(given.base64), False
    if given.dataset is not None:
        found = sample(context.datasets, given)
        if found.pixels.ndim == 1:
            raise BadImage("unknown_sample", f"the rows of {given.dataset!r} are no images.")
        return found, False
    if given.features is not None:
        raise BadImage("unusable_array", "this network reads images, and features are of tables.")
    if given.pixels is not None:
        cells = _cells(given.pixels, "whole numbers", 255, context.shape)
        return array_input.as_bytes(cells, "a picture", context.shape)
    cells = _cells(given.values or [], "numbers", 1, context.shape)
    return np.rint(cells * 255).astype(np.uint8), False


def sample(datasets: DatasetStore, given: ImageInput) -> Sample:
    """Return the sample of a data set that an input names.

    Raises:
        BadImage: there is no such split or row.
        DatasetNotFound: there is no such data set.

    """
    name, index = given.dataset or "", given.index or 0
    info = datasets.describe(name)
    if given.split not in info.manifest.rows:
        listed = ", ".join(info.manifest.rows)
        raise BadImage("unknown_sample", f"The data set {name!r} has the splits {listed}.")
    images = datasets.files.split(info.sha256, given.split).images
    if index >= len(images):
        raise BadImage("unknown_sample", f"{given.split} has rows 0 to {len(images) - 1}.")
    return Sample(images[index].reshape(info.manifest.shape))


def _cells(cells: list[Any], kind: str, highest: int, shape: Shape) -> np.ndarray:
    """Return the numbers of a picture, from 0 to `highest`, as an array (h, w) or (h, w, 3).

    They come as rows, or all in one list if the picture has the network's shape.
    """
    row = math.prod(shape)
    flat = len(cells) == row and not isinstance(cells[0], list)
    rows = [cells] if flat else cells
    if len(shape) == 3 and not flat:
        rows = _joined_colours(cells)
    # Checked before NumPy sees it, which would make every cell as large as the longest text.
    if not _is_grid(rows):
        raise BadImage(
            "unusable_array",
            f"send {row} {kind} from 0 to {highest}, or rows of them, all of equal length; "
            f"{_what_came(cells)}.",
        )
    if len(rows) * len(rows[0]) > array_input.LARGEST:
        raise BadImage("too_many_pixels", f"it has more than {array_input.LARGEST:,} pixels.")
    array = np.array(rows)
    beyond = highest == 1 and not ((array >= 0) & (array <= 1)).all()  # others are checked later
    if array.dtype.kind == "O" or beyond:
        seen = f"; these lie between {array.min()} and {array.max()}" if array.size else ""
        raise BadImage("unusable_array", f"all numbers must lie between 0 and {highest}{seen}.")
    joined = len(shape) == 3 and array.shape == (shape[0], shape[1] * shape[2])
    if flat or joined:
        return array.reshape(shape)
    return array.reshape(len(rows), -1, 3) if rows is not cells else array


def _joined_colours(cells: list[Any]) -> list[Any]:
    """Return rows of red, green and blue without the lists around the pixels; others unchanged."""
    rows = [row if isinstance(row, list) else [] for row in cells]
    if not all(isinstance(it, list) and len(it) == 3 for row in rows for it in row) or not rows[0]:
        return cells
    return [list(chain.from_iterable(row)) for row in rows]


def _what_came(cells: list[Any]) -> str:
    """Return what keeps cells from being rows of numbers."""
    rows = [row if isinstance(row, list) else [row] for row in cells]
    odd = next((it for it in chain.from_iterable(rows) if type(it) in ODD_CELLS), 0)
    if type(odd) in ODD_CELLS:
        return f"one of these is {ODD_CELLS[type(odd)]}"
    if not any(isinstance(row, list) for row in cells):
        return f"this is a list of {len(cells):,}"
    lengths = sorted(map(len, rows))
    return f"these {len(rows):,} rows have {lengths[0]:,} to {lengths[-1]:,} numbers"


def _is_grid(rows: list[Any]) -> bool:
    """Return whether these are rows of equal length with nothing but numbers."""
    if not rows or not isinstance(rows[0], list) or not rows[0]:
        return False
    width = len(rows[0])
    # Lengths first, because looking at every number of a large picture takes long.
    even = all(isinstance(row, list) and len(row) == width for row in rows)
    return even and {int, float}.issuperset(map(type, chain.from_iterable(rows)))


# --- Other forms ----------------------------------------------------------------------------------


def _values(value: Any, place: str, context: Context, depth: int = 0) -> Found:
    """Return the images in a value that may be a file in base64, numbers, or a list of these."""
    if isinstance(value, list) and (array := _as_array(value)) is not None:
        return _from_numbers(array, place, context.shape)
    if isinstance(value, list) and value and depth < 2:
        array_input.check_count(len(value))
        parts = enumerate(value)
        return list(
            chain.from_iterable(_each(it, f"{place}/{at}", context, depth) for at, it in parts)
        )
    return _each(value, place, context, depth)


def _each(value: Any, place: str, context: Context, depth: int) -> Found:
    """Return the images in a value that stands for itself; one that can't be read is an error."""
    try:
        if isinstance(value, str):
            return [(base64_input.decoded(value), place, False)]
        if isinstance(value, dict):
            return _from_object(value, place, context, depth)
        if isinstance(value, list) and value and depth < MAX_DEPTH:
            return _values(value, place, context, depth + 1)
    except BadImage as exc:
        return [(BadImage(exc.code, f"{place}: {exc}", place), place, False)]
    height, width = context.shape[:2]
    raise BadImage(
        "unusable_array",
        f"{place} is no image: send {math.prod(context.shape)} numbers, {height} rows of {width}, "
        "or a file in base64.",
        place,
    )


def _from_object(value: dict[str, Any], place: str, context: Context, depth: int) -> Found:
    if _is_typed_array(value) and depth < MAX_DEPTH:
        return _values(list(value.values()), place, context, depth + 1)
    if value.keys() == {"type", "data"} and value["type"] == "Buffer":  # of Node.js
        value = {"data": value["data"]}
    if value.keys() & OWN or len(value) != 1 or depth > 2:
        loc = tuple(int(it) if it.isdigit() else it for it in place.split("/")[1:])
        return [_image(context, validated(ImageInput, value, loc), place)]
    [(name, inner)] = value.items()  # such as {"b64": …}, or the name of a model's input
    return _values(inner, f"{place}/{name}"[:200], context, depth + 1)


def _from_numbers(array: np.ndarray, place: str, shape: Shape) -> Found:
    if file := _file_of(array):
        return [(file, place, False)]
    try:
        found = array_input.from_array(array, expected=shape)
    except BadImage as exc:
        return [(BadImage(exc.code, f"{place}: {exc}", place), place, False)]
    one = len(found.images) == 1
    return [
        (image, place if one else f"{place}/{at}", at in found.ambiguous)
        for at, image in enumerate(found.images)
    ]


def _file_of(array: np.ndarray) -> bytes | None:
    """Return the file whose bytes an array lists, as a list of a program's bytes does."""
    if array.ndim != 1 or not ((array >= 0) & (array <= 255)).all():
        return None
    data = array.astype(np.uint8).tobytes()
    return data if (array % 1 == 0).all() and image_formats.surely_known(data) else None


def _as_array(value: list[Any]) -> np.ndarray | None:
    """Return nested lists of numbers as an array, or None if they are not one."""
    shape: list[int] = []
    first: Any = value
    while isinstance(first, list) and first and len(shape) < MAX_DEPTH:
        shape.append(len(first))
        first = first[0]
    flat: Sequence[Any] = value
    for size in shape[1:]:
        if not all(isinstance(row, list) and len(row) == size for row in flat):
            return None
        flat = list(chain.from_iterable(flat))
    return _numbers(flat, tuple(shape))


def _numbers(flat: Iterable[Any], shape: tuple[int, ...]) -> np.ndarray | None:
    kinds = set(map(type, flat))
    if not kinds or not kinds <= NUMBERS:
        return None
    try:
        return np.array(flat, bool if kinds == {bool} else np.float64).reshape(shape)
    except OverflowError:  # a whole number of more than 300 digits
        raise BadImage("unusable_array", "Grey levels must lie in 0-1 or 0-255.") from None


# --- Open Inference Protocol ----------------------------------------------------------------------


def _is_open_inference(inputs: Any) -> bool:
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    return isinstance(first, dict) and "data" in first and ("shape" in first or "datatype" in first)


def _open_inference(inputs: list[Any], context: Context) -> Pictures:
    """Return the images in tensors: flat or nested numbers, or files in base64."""
    found: Found = []
    array_input.check_count(len(inputs))
    for index, tensor in enumerate(inputs):
        found += _tensor(tensor, f"#/inputs/{index}", context)
    return pictures_of(found)


def _tensor(tensor: Any, place: str, context: Context) -> Found:
    data = tensor.get("data") if isinstance(tensor, dict) else None
    if not isinstance(data, list):
        raise BadImage("unusable_array", f"{place}/data must be a list.", f"{place}/data")
    kind = str(tensor.get("datatype", "FP32")).upper()
    if kind not in OPEN_TYPES:
        known = ", ".join(sorted(OPEN_TYPES))
        raise BadImage(
            "unusable_array", f"{place}/datatype must be one of {known}.", f"{place}/datatype"
        )
    array = _as_array(data)
    if array is None or kind == "BYTES":
        return _values(data, f"{place}/data", context)
    shape = tensor.get("shape", list(array.shape))
    sizes = tuple(shape) if isinstance(shape, list) else ()
    if not 0 < len(sizes) <= MAX_DEPTH or not all(type(it) is int and it > 0 for it in sizes):
        raise BadImage(
            "unusable_array", f"{place}/shape must list whole numbers.", f"{place}/shape"
        )
    if array.size != int(np.prod(sizes, dtype=object)):
        raise BadImage(
            "unusable_array",
            f"{place}/data must have as many numbers as shape {list(sizes)[:9]} says, and has "
            f"{array.size:,}.",
            f"{place}/data",
        )
    return _from_numbers(array.reshape(sizes), place, context.shape)
