"""Reads the images out of a request's body, in whatever form a client sends them."""

import base64
import binascii
import io
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import Headers, UploadFile

from service.api.json_body import read_json
from service.api.predict_schema import (
    FORM,
    JSON,
    MAX_INPUTS,
    NPY,
    RAW,
    ImageInput,
    PredictRequest,
)
from service.domain.errors import BadImage, DatasetNotFound
from service.inference import image_decoding
from service.inference.grey_levels import Grey
from service.inference.predict import Image, Images, Options
from service.store.datasets import DatasetStore

MAX_FILES = 500
"""Most files in a form. Each becomes a temporary file, and all other requests wait meanwhile."""
MAX_ERRORS = 1000
MAX_FIELDS = 4
"""Most fields of a request with one image, and of that image, for the quick path to read it."""
MAX_HEADER_BYTES = 500
"""Longest header of an .npy file. NumPy writes 128 bytes, and parses headers as Python, which a
hostile header makes expensive."""
NPY_START = b"\x93NUMPY"
LARGE_BYTES = 64 * 1024
"""Larger bodies, and those of unknown length, can take seconds and many megabytes."""

Parsed = Any
"""The value in a JSON body, or the bytes of any other."""


def media_type(headers: Headers) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


def is_large(headers: Headers) -> bool:
    """Return whether a request has, or may have, a large body."""
    length = headers.get("content-length", "")
    return not (length.isdecimal() and len(length) < 10 and int(length) <= LARGE_BYTES)


def check_type(media_type: str) -> None:
    """Refuse a media type that is not supported, before the body is read."""
    if media_type not in (JSON, FORM, NPY, RAW) and not media_type.startswith("image/"):
        raise HTTPException(
            415,
            "Send image/png, image/jpeg (or webp, bmp, gif), multipart/form-data, "
            "application/json, application/x-npy or application/octet-stream, "
            f"not {media_type[:100] or 'a body without Content-Type'}.",
        )


async def uploads(request: Request) -> list[Image]:
    """Return the files of a form."""
    async with request.form(max_files=MAX_FILES, max_fields=10) as form:
        files = [part for part in form.getlist("image") if isinstance(part, UploadFile)]
        if not files:
            raise HTTPException(422, "The form has no file in a field named 'image'.")
        return [await file.read() for file in files]


def count_at_most(media_type: str, body: bytes) -> int:
    """Return how many images the body can hold, without parsing it."""
    if media_type == JSON:
        return body.count(b"{")  # one for each input, and one around them
    return len(body) // 784 if media_type in (NPY, RAW) else 1


def parse(media_type: str, body: bytes) -> Parsed:
    """Return the value in a JSON body, and the bytes of any other.

    Raises:
        RequestValidationError: the body is not JSON.

    """
    if media_type != JSON:
        return body
    # Each part takes much more memory than its bytes, and so would the errors about it.
    limits = {b"{": MAX_INPUTS + 1, b"[": 32 * MAX_INPUTS, b'"': 10 * MAX_INPUTS + 100}
    if len(body) > MAX_INPUTS and any(body.count(mark) > most for mark, most in limits.items()):
        raise HTTPException(
            422, f"The body has more parts than {MAX_INPUTS:,} inputs can have; send fewer inputs."
        )
    try:
        return read_json(body)
    except ValueError as exc:
        error = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": str(exc)}}
        raise RequestValidationError([error]) from exc


def is_quick(media_type: str, parsed: Parsed) -> bool:
    """Return whether a small body is quick to read: without a file, and without many errors."""
    if media_type != JSON:
        return media_type in (NPY, RAW) or media_type.startswith("image/")
    fields = parsed if isinstance(parsed, dict) and len(parsed) <= MAX_FIELDS else {}
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return False
    return len(inputs[0]) <= MAX_FIELDS and "dataset" not in inputs[0]


def read(
    media_type: str, parsed: Parsed, options: Options, datasets: DatasetStore
) -> tuple[Images, Options]:
    """Return the images in a body that `parse` returned, and the options with those in the body.

    A single image that can't be read may be in the list as its BadImage.

    Raises:
        RequestValidationError: the body is not a PredictRequest.
        HTTPException: the array is not one of images.

    """
    if media_type == JSON:
        request = _validated(parsed)
        images = [
            _image(datasets, given, f"#/inputs/{index}")
            for index, given in enumerate(request.inputs)
        ]
        given = request.model_fields_set - {"inputs"}
        return images, replace(options, **{name: getattr(request, name) for name in given})
    if media_type.startswith("image/"):
        return [parsed], options
    if media_type == NPY or parsed.startswith(NPY_START):
        return _from_npy(parsed), options
    return _from_pixels(parsed), options


# --- Arrays ---------------------------------------------------------------------------------------


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
    shape, fortran, dtype = _npy_header(file)
    sides = shape[-2:] if shape[-2:] == (28, 28) else shape[-1:]
    if sides not in ((28, 28), (784,)) or len(shape) - len(sides) > 1:
        raise HTTPException(422, "The array's shape must be (28, 28), (784,) or a batch of these.")
    if not (dtype == np.uint8 or dtype.kind == "f"):
        raise HTTPException(422, "The array must be uint8 (0-255) or float (0-1).")
    count = int(np.prod(shape, dtype=object)) // 784
    _check_count(count)
    if len(data) - file.tell() != count * 784 * dtype.itemsize:
        raise HTTPException(422, "The array's data is not as long as its header says.")
    array = np.frombuffer(data, dtype, offset=file.tell())
    array = array.reshape(shape, order="F" if fortran else "C").reshape(count, 28, 28)
    return np.ascontiguousarray(array if array.dtype == np.uint8 else _bytes_of(array))


def _npy_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, Fortran order and type of the array in an .npy file."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        read = readers[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
        return tuple(int(size) for size in shape), fortran, dtype  # a header may say True for 1
    except Exception as exc:  # NumPy reads the header as Python, so garbage may raise anything
        raise HTTPException(422, "The body is not an .npy file (version 1 or 2).") from exc


def _bytes_of(values: np.ndarray) -> Grey:
    """Return values in [0, 1] as pixels 0-255."""
    if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
        raise HTTPException(422, "The array's floats must lie in 0-1; send 0-255 as uint8.")
    pixels: Grey = np.rint(values * 255).astype(np.uint8)
    return pixels


# --- JSON -----------------------------------------------------------------------------------------


def _validated(parsed: Parsed) -> PredictRequest:
    try:
        # Not `model_validate_json`, which takes nearly twice as long over a million numbers.
        return PredictRequest.model_validate(parsed)
    except ValidationError as exc:
        if exc.error_count() > MAX_ERRORS:  # describing each of them would take seconds
            raise HTTPException(422, f"{exc.error_count():,} values need a change.") from exc
        found = exc.errors(include_url=False, include_context=True)
        errors = [{**error, "loc": ("body", *error["loc"])} for error in found]
        raise RequestValidationError(errors) from exc


def _image(datasets: DatasetStore, given: ImageInput, pointer: str) -> Image:
    """Return an input's image, or the error with its place in the body."""
    try:
        if given.base64 is not None:
            return _from_base64(given.base64)
        if given.dataset is not None:
            return _from_dataset(datasets, given.dataset, given.split, given.index or 0)
        if given.pixels is not None:
            cells = _from_cells(given.pixels, {int, float}, 255)
            if (cells % 1).any():
                raise BadImage("undecodable_image", "pixels must be whole numbers from 0 to 255.")
        else:
            cells = np.rint(_from_cells(given.values or [], {int, float}, 1) * 255)
        return cells.astype(np.uint8)
    except BadImage as exc:
        return BadImage(exc.code, f"{pointer}: {exc}")
    except DatasetNotFound as exc:
        return BadImage("undecodable_image", f"{pointer}: {exc}")


def _from_base64(text: str) -> bytes:
    head, _, payload = text.rpartition("base64,")
    if head and not head.startswith("data:"):
        payload = text
    if len(payload) > image_decoding.MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise image_decoding.too_many_bytes()
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadImage("undecodable_image", "the text is not valid base64.") from exc


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
    # Checked before NumPy sees it, which would make every cell as large as the longest text.
    if not _is_grid(rows, numbers):
        kind = "whole numbers" if highest == 255 else "numbers"
        raise BadImage(
            "undecodable_image",
            f"send 784 {kind} from 0 to {highest}, or rows of them, all of equal length.",
        )
    if len(rows) * len(rows[0]) > image_decoding.MAX_PIXELS:
        raise BadImage("too_many_pixels", f"it has more than {image_decoding.MAX_PIXELS:,} pixels.")
    array = np.array(rows)
    if array.dtype.kind == "O" or not ((array >= 0) & (array <= highest)).all():
        raise BadImage("undecodable_image", f"all numbers must lie between 0 and {highest}.")
    return array.reshape(28, 28) if flat else array


def _is_grid(rows: list[Any], numbers: set[type]) -> bool:
    """Return whether these are rows of equal length with nothing but numbers."""
    if not rows or not isinstance(rows[0], list) or not rows[0]:
        return False
    width = len(rows[0])
    # Lengths first, because looking at every number of a large picture takes long.
    even = all(isinstance(row, list) and len(row) == width for row in rows)
    return even and numbers.issuperset(map(type, chain.from_iterable(rows)))
