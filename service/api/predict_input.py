"""Digit images out of the body of a request, in whatever form another app has them."""

import base64
import binascii
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile

from mlp_client.spec import Label
from service.api import problem_responses
from service.domain.errors import DatasetNotFound
from service.inference import image_normalization
from service.inference.image_normalization import BadImage
from service.store.datasets import DatasetStore

MAX_INPUTS = 10_000
MAX_FILES = 500
"""Of a form; each is a temporary file, made while all other requests wait."""
MAX_ERRORS = 1000
MOST_FIELDS = 4
"""Of a request about one image, and of that image."""
MAX_HEADER_BYTES = 500
"""Of an array, which needs 128; NumPy reads it as Python, which is dear where it is hostile."""
NPY, BARE = "application/x-npy", "application/octet-stream"
NPY_START = b"\x93NUMPY"
LARGE_BYTES = 64 * 1024
"""A body of more, or of unknown length, can take seconds and many megabytes."""
Normalize = Literal["auto", "always", "never"]
Grey = np.ndarray
"""(h, w) uint8."""

Cells = Field(
    None,
    description="784 numbers, 28 rows of 28, or a grey picture of any size as rows of numbers",
)


class ImageInput(BaseModel):
    """One image, in one of four forms."""

    model_config = ConfigDict(strict=True, extra="forbid")

    pixels: list[Any] | None = Cells
    """0-255"""
    values: list[Any] | None = Cells
    """0-1"""
    base64: str | None = Field(None, description="an image file; a data: URL may stand before it")
    dataset: Label | None = Field(None, description="with `split` and `index`: a stored sample")
    split: Literal["train", "test"] = "test"
    index: int | None = Field(None, ge=0, le=2**31)

    @model_validator(mode="after")
    def _one_form(self) -> "ImageInput":
        forms = ("pixels", "values", "base64", "dataset")
        if sum(getattr(self, form) is not None for form in forms) != 1:
            raise ValueError(f"give exactly one of {', '.join(forms)}")
        if (self.dataset is None) != (self.index is None):
            raise ValueError("dataset and index belong together")
        return self


class PredictRequest(BaseModel):
    """Images, and what to answer about them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    inputs: list[ImageInput] = Field(min_length=1, max_length=MAX_INPUTS)
    top_k: int = Field(3, ge=1, le=10, description="how many labels to answer, best first")
    normalize: Normalize = Field(
        "auto", description="auto: unless the picture looks like MNIST's already"
    )
    return_pixels: bool = Field(False, description="answer the 28x28 picture that the network saw")


problem_responses.REQUEST_MODELS += [PredictRequest, ImageInput]


@dataclass(frozen=True)
class Options:
    """What to answer: the query parameters, or fields of a JSON body."""

    top_k: int = 3
    normalize: Normalize = "auto"
    return_pixels: bool = False


@dataclass(frozen=True)
class Question:
    images: Sequence[bytes | Grey | BadImage] | np.ndarray
    """Bytes of files, arrays, or the problem with one; or all as one array (n, 28, 28) uint8."""
    options: Options


def _json_schema() -> dict[str, Any]:
    """Return the schema of PredictRequest in one piece: a `#/$defs/…` leads nowhere in OpenAPI."""
    schema = PredictRequest.model_json_schema()
    schema["properties"]["inputs"]["items"] = schema.pop("$defs")[ImageInput.__name__]
    return schema


IMAGE_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": _json_schema(),
            "examples": {
                "sample": {"value": {"inputs": [{"dataset": "mnist", "index": 7}]}},
                "file": {"value": {"inputs": [{"base64": "iVBORw0KGgo…"}], "top_k": 2}},
            },
        },
        "image/png": IMAGE_SCHEMA,
        "image/jpeg": IMAGE_SCHEMA,
        NPY: IMAGE_SCHEMA,
        BARE: IMAGE_SCHEMA,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        },
    },
}


# --- From the body to images ----------------------------------------------------------------------


def media_type(headers: Headers) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


def is_large(headers: Headers) -> bool:
    """Tell whether a request has, or may have, a large body."""
    length = headers.get("content-length", "")
    return not (length.isdecimal() and len(length) < 10 and int(length) <= LARGE_BYTES)


def check_type(media_type: str) -> None:
    """Refuse what `read` and `uploads` do not know, before the body is read."""
    known = ("application/json", "multipart/form-data", NPY, BARE)
    if media_type not in known and not media_type.startswith("image/"):
        raise HTTPException(
            415,
            "Send image/png, image/jpeg (or webp, bmp, gif), multipart/form-data, "
            "application/json, application/x-npy or application/octet-stream, "
            f"not {media_type[:100] or 'a body without Content-Type'}.",
        )


async def uploads(request: Request) -> list[bytes | Grey | BadImage]:
    """Return the files of a form."""
    async with request.form(max_files=MAX_FILES, max_fields=10) as form:
        files = [part for part in form.getlist("image") if isinstance(part, UploadFile)]
        if not files:
            raise HTTPException(422, "The form has no file in a field named 'image'.")
        return [await file.read() for file in files]


def most_images(media_type: str, body: bytes) -> int:
    """Return how many images the body may hold, without reading it."""
    if media_type == "application/json":
        return body.count(b"{")  # one for each input, and one around them
    return len(body) // 784 if media_type in (NPY, BARE) else 1


def read_quickly(media_type: str, body: bytes, datasets: DatasetStore) -> Question | None:
    """Return the question in a small body, of one image most likely, that needs no file.

    None if that may take long. Of what is wrong with it, any exception may come.
    """
    if media_type == "application/json":
        asked = from_json(body) if body.count(b"{") == 2 else None
        if not _is_one(asked):
            return None
        return _question(PredictRequest.model_validate(asked), Options(), datasets)
    quick = media_type in (NPY, BARE) or media_type.startswith("image/")
    return read(media_type, body, Options(), datasets) if quick else None


def _is_one(asked: Any) -> bool:
    """Tell whether this is a request about one image; others may take long to be found wrong."""
    inputs = asked.get("inputs") if isinstance(asked, dict) and len(asked) <= MOST_FIELDS else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return False
    return len(inputs[0]) <= MOST_FIELDS and "dataset" not in inputs[0]


def read(media_type: str, body: bytes, options: Options, datasets: DatasetStore) -> Question:
    """Return the question in a body of any type but a form's."""
    if media_type == "application/json":
        return _from_json(body, options, datasets)
    if media_type.startswith("image/"):
        return Question([body], options)
    if media_type == NPY or body.startswith(NPY_START):
        return Question(_from_npy(body), options)
    return Question(_from_pixels(body), options)


def _from_pixels(data: bytes) -> np.ndarray:
    if not data or len(data) % 784:
        raise HTTPException(
            422,
            "application/octet-stream must be an .npy array, or 784 bytes for each image: 28 rows "
            f"of 28 pixels, 0 (black) to 255 (white ink). This body has {len(data):,} bytes.",
        )
    _check_count(len(data) // 784)
    return np.frombuffer(data, np.uint8).reshape(-1, 28, 28)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_INPUTS:
        raise HTTPException(422, f"The array must hold 1 to {MAX_INPUTS:,} images.")


def _from_npy(data: bytes) -> np.ndarray:
    """Return the images in an .npy file; its header is checked before anything is allocated."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
        shape = tuple(int(size) for size in shape)  # True passes for 1
    except Exception as exc:  # NumPy reads the header as Python, so garbage may raise anything
        raise HTTPException(422, "The body is no .npy file (version 1 or 2).") from exc
    sides = shape[-2:] if shape[-2:] == (28, 28) else shape[-1:]
    if sides not in ((28, 28), (784,)) or len(shape) - len(sides) > 1:
        raise HTTPException(422, "The array's shape must be (28, 28), (784,) or a batch of these.")
    if dtype.kind not in "uf" or dtype.hasobject or (dtype.kind == "u" and dtype.itemsize != 1):
        raise HTTPException(422, "The array must be uint8 (0-255) or float (0-1).")
    count = int(np.prod(shape, dtype=object)) // 784
    _check_count(count)
    if len(data) - file.tell() != count * 784 * dtype.itemsize:
        raise HTTPException(422, "The array is not as long as its header says.")
    array = np.frombuffer(data, dtype, offset=file.tell())
    array = array.reshape(shape, order="F" if fortran else "C").reshape(count, 28, 28)
    return np.ascontiguousarray(array if array.dtype == np.uint8 else _bytes_of(array))


def _bytes_of(values: np.ndarray) -> Grey:
    """Return values in [0, 1] as pixels 0-255."""
    if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
        raise HTTPException(422, "The array's values must lie in 0-1; uint8 takes 0-255.")
    pixels: Grey = np.rint(values * 255).astype(np.uint8)
    return pixels


def _from_json(body: bytes, options: Options, datasets: DatasetStore) -> Question:
    # Each takes much more memory than its bytes in the body, and so would the errors about it.
    most = {b"{": MAX_INPUTS + 1, b"[": 32 * MAX_INPUTS, b'"': 10 * MAX_INPUTS + 100}
    if any(body.count(mark) > count for mark, count in most.items()):
        raise HTTPException(422, f"The body has more parts than {MAX_INPUTS:,} inputs can have.")
    return _question(_validated(body), options, datasets)


def _question(asked: PredictRequest, options: Options, datasets: DatasetStore) -> Question:
    images = [
        _image(datasets, given, f"#/inputs/{index}") for index, given in enumerate(asked.inputs)
    ]
    said = asked.model_fields_set - {"inputs"}
    return Question(images, replace(options, **{name: getattr(asked, name) for name in said}))


def _validated(body: bytes) -> PredictRequest:
    try:
        # In two steps: `model_validate_json` takes nearly twice as long over a million numbers.
        return PredictRequest.model_validate(from_json(body))
    except ValidationError as exc:
        if exc.error_count() > MAX_ERRORS:  # to word each of them would take seconds
            raise HTTPException(422, f"{exc.error_count():,} values need a change.") from exc
        found = exc.errors(include_url=False, include_context=True)
        errors = [{**error, "loc": ("body", *error["loc"])} for error in found]
    except ValueError as exc:
        errors = [{"type": "json_invalid", "loc": ("body",), "ctx": {"error": str(exc)}}]
    raise RequestValidationError(errors)


def _image(datasets: DatasetStore, given: ImageInput, where: str) -> bytes | Grey | BadImage:
    try:
        if given.base64 is not None:
            return _from_base64(given.base64)
        if given.dataset is not None:
            return _from_dataset(datasets, given.dataset, given.split, given.index or 0)
        if given.pixels is not None:
            cells = _from_cells(given.pixels, {int}, 255)
        else:
            cells = np.rint(_from_cells(given.values or [], {int, float}, 1) * 255)
        return cells.astype(np.uint8)
    except BadImage as exc:
        return BadImage(exc.code, f"{where}: {exc}")
    except DatasetNotFound as exc:
        return BadImage("undecodable_image", f"{where}: {exc}")


def _from_base64(text: str) -> bytes:
    head, _, payload = text.rpartition("base64,")
    if head and not head.startswith("data:"):
        payload = text
    if len(payload) > image_normalization.MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise too_many_bytes()
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadImage("undecodable_image", "base64 is not valid base64 text.") from exc


def _from_dataset(datasets: DatasetStore, name: str, split: str, index: int) -> Grey:
    info = datasets.describe(name)
    images = getattr(datasets.open(name), split).images
    if index >= len(images):
        raise BadImage("undecodable_image", f"{split} has rows 0 to {len(images) - 1}.")
    image: Grey = images[index].reshape(info.image_shape)
    return image


def _from_cells(cells: list[Any], numbers: set[type], highest: int) -> np.ndarray:
    """Return 784 numbers, or rows of them, between 0 and `highest`, as an array (h, w)."""
    flat = len(cells) == 784 and not isinstance(cells[0], list)
    rows = [cells] if flat else cells
    # NumPy comes after: it would make every cell as large as the longest text among them.
    if not _is_grid(rows, numbers):
        kind = "whole numbers" if highest == 255 else "numbers"
        raise BadImage(
            "undecodable_image",
            f"send 784 {kind} from 0 to {highest}, or rows of them, all of one length.",
        )
    if len(rows) * len(rows[0]) > image_normalization.MAX_PIXELS:
        raise BadImage("too_many_pixels", f"more than {image_normalization.MAX_PIXELS:,} pixels.")
    array = np.array(rows)
    if array.dtype.kind == "O" or not ((array >= 0) & (array <= highest)).all():
        raise BadImage("undecodable_image", f"all numbers must lie between 0 and {highest}.")
    return array.reshape(28, 28) if flat else array


def _is_grid(rows: list[Any], numbers: set[type]) -> bool:
    """Tell whether these are rows of one length with nothing but numbers."""
    if not rows or not isinstance(rows[0], list) or not rows[0]:
        return False
    width = len(rows[0])
    # Lengths first: to look at every number of a large picture takes long.
    even = all(isinstance(row, list) and len(row) == width for row in rows)
    return even and numbers.issuperset(map(type, chain.from_iterable(rows)))


def too_many_bytes() -> BadImage:
    return BadImage(
        "too_many_pixels",
        f"An image may have {image_normalization.MAX_IMAGE_BYTES:,} bytes: send a smaller one.",
    )
