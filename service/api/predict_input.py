"""Reads the images out of a request's body, in whatever form a client sends them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from service.api import (
    array_input,
    base64_input,
    csv_input,
    form_input,
    json_input,
    pixel_input,
    vector_input,
    vector_json,
)
from service.api.array_input import Pictures
from service.api.expected_input import MNIST, Expected
from service.api.json_body import read_json
from service.api.predict_schema import CSV, FORM, JSON, MAX_INPUTS, NPY, NPZ, RAW
from service.domain.errors import BadImage
from service.inference import image_formats
from service.inference.input_batch import Images
from service.inference.predict import Options
from service.store.datasets import DatasetStore

MAX_FIELDS = 4
"""Most fields of a request with one image, and of that image, for the quick path to read it."""
LARGE_BYTES = 64 * 1024
"""Larger bodies, and those of unknown length, can take seconds and many megabytes."""
MAX_NUMBERS_BYTES = 10 * 1024**2
"""A larger JSON body may only hold files in base64: a number takes many times its bytes."""
MAX_VALUES = 100_000
"""The most values in a larger JSON body."""

IMAGE = "image/*"
TEXT = "text/plain"
URLENCODED = "application/x-www-form-urlencoded"
GENERAL = {
    "",
    RAW,
    URLENCODED,
    TEXT,
    "*/*",
    "application/*",
    "application/binary",
    "application/force-download",
    "application/download",
    "application/unknown",
    "application/x-binary",
    "application/x-octet-stream",
    "application/base64",
    "binary/octet-stream",
    "text/base64",
}
"""Media types that say nothing of the content; each is also what some client sends by default."""
OTHER_NAMES = {
    **dict.fromkeys(("text/json", "text/x-json", "application/x-json"), JSON),
    **dict.fromkeys(("application/npy", "application/x-numpy", "application/numpy"), NPY),
    **dict.fromkeys(("application/npz", "application/zip", "application/x-zip-compressed"), NPZ),
    **dict.fromkeys(("application/csv", "application/vnd.ms-excel"), CSV),
    **dict.fromkeys(("text/comma-separated-values", "text/tab-separated-values"), CSV),
}
KNOWN = {JSON, FORM, NPY, NPZ, CSV, IMAGE, *OTHER_NAMES}
JSON_STARTS = re.compile(rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[-\d\[{\"\]])")
FIELD = re.compile(rb"[\w\[\].%-]{1,64}=")
BLACK = bytes(16)
"""No signature begins like this."""
SIGNATURES = {image_formats.NPY: NPY, image_formats.ZIP: NPZ}

Parsed = Any
"""The value in a JSON body, or the bytes of any other."""


def media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


def is_large(headers: Mapping[str, str]) -> bool:
    """Return whether a request has, or may have, a large body."""
    length = headers.get("content-length", "")
    return not (length.isdecimal() and len(length) < 10 and int(length) <= LARGE_BYTES)


def check_type(media_type: str) -> None:
    """Refuse a media type that is not supported, which is possible before the body is read.

    Raises:
        HTTPException: it is not supported.

    """
    if media_type in GENERAL or media_type in KNOWN or "/" not in media_type:
        return
    if media_type.startswith("image/") or media_type.endswith("+json"):
        return
    raise HTTPException(
        415,
        "Send a picture (image/png, image/jpeg or another image type), multipart/form-data, "
        "application/json, application/x-npy, text/csv or application/octet-stream, "
        f"not {media_type[:100]}.",
    )


# --- What the body is -----------------------------------------------------------------------------


def actual_type(media_type: str, body: bytes, expected: Expected = MNIST) -> str:
    """Return what the body is: what its first bytes say, or else what its media type says.

    Media types are often missing, general or wrong, and signatures can't be: JSON, text and forms
    have none. The answer is one of JSON, FORM, NPY, NPZ, CSV, RAW, TEXT, URLENCODED and IMAGE.

    Raises:
        HTTPException: the media type is not supported.

    """
    check_type(media_type)
    if media_type == FORM:
        return FORM
    # The most frequent first: JSON, raw pixels of a digit with a black edge, and PNG.
    if media_type == JSON and body[:1] in b"{[":
        return JSON
    if media_type == RAW and body.startswith(BLACK):
        return RAW
    if body.startswith(image_formats.PNG_START):
        return IMAGE
    if found := _signature(media_type, body, expected.row):
        return SIGNATURES.get(found, IMAGE)
    if media_type in KNOWN:
        named = OTHER_NAMES.get(media_type, media_type)
        return JSON if named == CSV and JSON_STARTS.match(body) else named
    if media_type.endswith("+json"):
        return JSON
    return _guessed(media_type, body, expected)


def _signature(media_type: str, body: bytes, row: int) -> image_formats.Format | None:
    """Return the format whose signature the body has; raw pixels may have a short one by chance."""
    if len(body) % row == 0 and media_type in GENERAL:
        return image_formats.surely_known(body)
    return image_formats.known(body)


def _guessed(media_type: str, body: bytes, expected: Expected) -> str:
    """Return what a body without a signature is, if its media type is general."""
    if JSON_STARTS.match(body) and _ends_like_json(body, expected.row):
        return JSON
    if expected.columns:  # beside JSON, text can only be a table
        return RAW if b"\0" in body[:200] else CSV
    if media_type.startswith("image/"):
        return TEXT if base64_input.is_text_of_a_file(body) else IMAGE
    if len(body) % expected.row == 0 and not body[:200].isascii():
        return RAW
    if media_type == URLENCODED and (FIELD.match(body) or body.startswith(b"%")):
        return URLENCODED
    if csv_input.is_csv(body, expected.shape):
        return CSV
    return TEXT if base64_input.is_text_of_a_file(body) else RAW


def _ends_like_json(body: bytes, row: int) -> bool:
    """Return whether this may be JSON and not raw pixels that begin like it."""
    return len(body) % row != 0 or body[-20:].rstrip()[-1:] in b"}]"


def count_at_most(media_type: str, body: bytes, expected: Expected = MNIST) -> int:
    """Return how many images the body can hold, without parsing it."""
    if media_type == JSON:
        # One `{` for each input and one around them; in other forms, 784 numbers and commas.
        return max(body.count(b"{"), len(body) // (2 * expected.row))
    if media_type == NPZ:
        return MAX_INPUTS
    return 1 if media_type in (IMAGE, TEXT, URLENCODED) else len(body) // expected.row


# --- Reading it -----------------------------------------------------------------------------------


def parse(media_type: str, body: bytes) -> Parsed:
    """Return the value in a JSON body, and the bytes of any other.

    Raises:
        RequestValidationError: the body is not JSON.

    """
    if media_type != JSON:
        return body
    # Each part takes much more memory than its bytes, and so would the errors about it.
    limits = {b"{": MAX_INPUTS + 1, b"[": 32 * MAX_INPUTS, b'"': 10 * MAX_INPUTS + 100}
    if len(body) > MAX_NUMBERS_BYTES:
        limits[b","] = MAX_VALUES
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
        return media_type in (NPY, RAW, IMAGE)
    fields = parsed if isinstance(parsed, dict) and len(parsed) <= MAX_FIELDS else {}
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return False
    return len(inputs[0]) <= MAX_FIELDS and "dataset" not in inputs[0]


def read(
    media_type: str,
    parsed: Parsed,
    options: Options,
    datasets: DatasetStore,
    dtype: str | None = None,
    shape: str | None = None,
    expected: Expected = MNIST,
) -> tuple[Images, Options]:
    """Return the images in a body that `parse` returned, and the options with those in the body.

    A single image that can't be read may be in the list as its BadImage.

    Args:
        media_type: what `actual_type` returned.
        parsed: what `parse` returned.
        options: those in the query.
        datasets: the data sets whose samples a JSON body may name.
        dtype: the type of raw numbers, if the query declares it.
        shape: the shape of raw numbers, if the query declares it.
        expected: what the network expects.

    Raises:
        RequestValidationError: a JSON body or a form has fields that are not known.
        BadImage: the body is none of the forms, or its array is not one of images.

    """
    if dtype or shape:
        return _declared(media_type, parsed, dtype, shape, expected), options
    if media_type == JSON:
        found, options = _from_json(parsed, options, datasets, expected)
    elif media_type == URLENCODED:
        found, options = _from_urlencoded(parsed, options, datasets, expected)
    elif expected.columns:
        found = _from_rows(media_type, parsed, expected)
    elif media_type == IMAGE:
        return [parsed], options
    else:
        found = READERS[media_type](parsed, expected)
    return found.images, _described(options, found)


def _from_json(
    parsed: Any, options: Options, datasets: DatasetStore, expected: Expected
) -> tuple[Pictures, Options]:
    if expected.columns:
        return vector_json.from_json(parsed, options, datasets, expected.columns)
    return json_input.from_json(parsed, options, datasets, expected.shape)


def _from_rows(media_type: str, body: bytes, expected: Expected) -> Pictures:
    """Return the rows of numbers in a body for a network that was trained on a table."""
    columns = expected.columns
    if media_type in (CSV, TEXT):
        return vector_input.from_csv(body, columns)
    if media_type == NPY:
        return vector_input.from_npy(body, columns)
    if media_type == NPZ:
        return vector_input.from_npz(body, columns)
    raise BadImage(
        "unusable_array",
        "This network was trained on a table, and reads no pictures: send JSON like "
        '{"features": {…}}, rows of CSV, an .npy file, or bare numbers with ?dtype=float32.',
    )


def read_form(
    parts: Sequence[form_input.Part], options: Options, expected: Expected = MNIST
) -> tuple[Images, Options]:
    """Return the images in a form, and the options with those in its fields."""
    found, options = form_input.from_form(parts, options, expected)
    return found.images, _described(options, found)


def _described(options: Options, found: Pictures) -> Options:
    """Return the options with what the reader has noted about the pictures, mostly nothing."""
    if not (found.ambiguous or found.places):
        return options
    return replace(options, ambiguous=found.ambiguous, places=found.places)


def _declared(
    media_type: str, body: bytes, dtype: str | None, shape: str | None, expected: Expected
) -> Images:
    if media_type not in (RAW, URLENCODED, TEXT, CSV):
        raise BadImage(
            "unusable_array",
            "?dtype and ?shape describe bare pixels (application/octet-stream); this body says "
            "itself what it is. Leave them out.",
        )
    if expected.columns:
        return vector_input.from_bytes(body, dtype, shape, expected.columns).images
    return pixel_input.from_bytes(body, dtype, shape, expected.shape).images


def _from_raw(body: bytes, expected: Expected) -> Pictures:
    """Return raw pixels, or say what else the body is."""
    whole = len(body) % expected.row == 0
    form = image_formats.UNKNOWN if whole else image_formats.identify(body)
    if form in (image_formats.UNKNOWN, image_formats.EMPTY):
        return pixel_input.from_bytes(body, expected=expected.shape)
    return Pictures([body])  # decoding it names the format, and the way out


def _from_text(body: bytes, _: Expected) -> Pictures:
    return Pictures([base64_input.decoded(body.decode("latin-1"))])


def _from_urlencoded(
    body: bytes, options: Options, datasets: DatasetStore, expected: Expected
) -> tuple[Pictures, Options]:
    """Return the images in a form, or in a body that was percent-encoded as a whole."""
    if FIELD.match(body) and not body.startswith(b"%"):
        return form_input.from_form(form_input.parts_of_urlencoded(body), options, expected)
    whole = base64_input.unquoted(body.replace(b"+", b" "))
    inner = actual_type(RAW, whole, expected)
    parsed = parse(inner, whole)
    images, options = read(inner, parsed, options, datasets, expected=expected)
    return Pictures(images, options.ambiguous, options.places), options


READERS: Mapping[str, Callable[[bytes, Expected], Pictures]] = {
    RAW: _from_raw,
    NPY: lambda body, expected: array_input.from_npy(body, expected.shape),
    NPZ: lambda body, expected: array_input.from_npz(body, expected.shape),
    CSV: lambda body, expected: csv_input.from_csv(body, expected.shape),
    TEXT: _from_text,
}
