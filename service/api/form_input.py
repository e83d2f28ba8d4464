"""Reads the files and options of a form: multipart/form-data, or urlencoded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile

from service.api import array_input, base64_input, vector_input
from service.api.array_input import Pictures
from service.api.expected_input import MNIST, Expected
from service.api.json_input import with_options
from service.api.predict_schema import OPTIONS
from service.domain.errors import BadImage
from service.inference import image_decoding, image_formats
from service.inference.input_batch import Image
from service.inference.predict import Options

MAX_FILES = 500
"""Most files in a form. Each becomes a temporary file, and all other requests wait meanwhile."""
MAX_FIELDS = 10
MAX_ARCHIVES = 4
"""Most .npz files in a form. A small one can hold as much as a whole request may unpack to."""
MAX_TEXT_BYTES = image_decoding.MAX_IMAGE_BYTES * 3 // 2
"""The most bytes of a field without a file, which may hold one in base64."""
NAMES = {"image", "images", "img", "file", "files", "photo", "picture", "data", "base64", "b64"}
"""Names of fields whose text is a file in base64; in others, only a data URL is."""


@dataclass(frozen=True)
class Part:
    """One field of a form."""

    name: str
    value: bytes | str
    """The bytes of a file, or a text."""


async def parts_of(request: Request) -> list[Part]:
    """Return the fields of a multipart form, in their order."""
    if "boundary=" not in request.headers.get("content-type", "").lower():
        raise HTTPException(
            400,
            "Content-Type names no boundary between the parts of the form. Leave the header out: "
            "the library that builds the form sets it, as fetch does for a FormData.",
        )
    async with request.form(
        max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_TEXT_BYTES
    ) as form:
        return [Part(name, await _value(value)) for name, value in form.multi_items()]


async def _value(value: UploadFile | str) -> bytes | str:
    if isinstance(value, UploadFile):
        return await value.read()
    # A file that was sent without a name is read as text: as Latin-1, because it is not UTF-8.
    raw = value.encode("latin-1", "replace") if not value[:8].isascii() else b""
    return raw if image_formats.known(raw) else value


def parts_of_urlencoded(body: bytes) -> list[Part]:
    """Return the fields of an urlencoded form.

    A `+` stands for a space, but not in base64, where programs often forget to encode it.
    """
    parts = []
    for field in body.split(b"&", MAX_FIELDS)[:MAX_FIELDS]:
        name, _, value = field.partition(b"=")
        file = base64_input.unquoted(value.replace(b"+", b" "))
        text = base64_input.unquoted(value).decode("latin-1")
        is_file = image_formats.known(file) is not None
        parts.append(
            Part(base64_input.unquoted(name).decode("utf-8", "replace"), file if is_file else text)
        )
    return parts


def from_form(
    parts: Sequence[Part], options: Options, expected: Expected = MNIST
) -> tuple[Pictures, Options]:
    """Return the images in a form's fields, whatever they are called, and the options in others.

    Raises:
        RequestValidationError: a field is neither an image nor an option.

    """
    texts = [part for part in parts if isinstance(part.value, str) and not _holds_file(part)]
    options = with_options(options, _options(texts), strict=False)
    files = [part for part in parts if isinstance(part.value, bytes) or _holds_file(part)]
    if not files:
        raise HTTPException(
            422, "The form has no file: add one in any field, for example one named 'image'."
        )
    contents = [_content(part) for part in files]
    if sum(map(_is_archive, contents)) > MAX_ARCHIVES:
        raise BadImage(
            "too_many_images",
            f"A form may hold {MAX_ARCHIVES} .npz files; send several requests, or .npy files.",
        )
    places = [_place(part, index, len(files)) for index, part in enumerate(files)]
    pairs = zip(contents, places, strict=True)
    joined = _joined([_read(content, place, expected) for content, place in pairs])
    array_input.check_count(len(joined.images))
    return joined, options


def _holds_file(part: Part) -> bool:
    """Return whether a text is a file in base64."""
    name = part.name.lower().removesuffix("[]")
    return name in NAMES or str(part.value)[:5].lower() == "data:"


def _content(part: Part) -> bytes | BadImage:
    """Return the bytes of a file, or why they can't be read."""
    try:
        return part.value if isinstance(part.value, bytes) else base64_input.decoded(part.value)
    except BadImage as exc:
        return exc


def _is_archive(content: bytes | BadImage) -> bool:
    return isinstance(content, bytes) and content.startswith(image_formats.ZIP_START)


def _options(texts: Sequence[Part]) -> dict[str, Any]:
    repeated = [name for name, times in Counter(it.name for it in texts).items() if times > 1]
    if repeated and repeated[0] in OPTIONS:
        error = {
            "type": "value_error",
            "loc": ("body", repeated[0]),
            "msg": "is sent several times; send it once",
            "input": None,
        }
        raise RequestValidationError([error])
    return {part.name: part.value for part in texts}


def _place(part: Part, index: int, count: int) -> str:
    """Return a field's name, with the file's number if there are several."""
    name = part.name[:64] or "file"
    return name if count == 1 else f"{name} (file {index + 1})"


def _read(content: bytes | BadImage, place: str, expected: Expected) -> Pictures:
    """Return the pictures in a file of a form, which may be an array of several."""
    try:
        found = _pictures(content, expected)
    except BadImage as exc:
        found = Pictures([exc.at(place)])
    return Pictures(found.images, found.ambiguous, [place] * len(found.images))


def _pictures(content: bytes | BadImage, expected: Expected) -> Pictures:
    if isinstance(content, BadImage):
        raise content
    if not (_is_archive(content) or content.startswith(image_formats.NPY_START)):
        if expected.columns:
            return vector_input.from_csv(content, expected.columns)
        return Pictures([content])
    npy = array_input.npy_of_npz(content) if _is_archive(content) else content
    if expected.columns:
        return vector_input.from_npy(npy, expected.columns)
    return array_input.from_npy(npy, expected.shape)


def _joined(found: Sequence[Pictures]) -> Pictures:
    if len(found) == 1:
        return found[0]
    images: list[Image] = []
    ambiguous: list[int] = []
    places: list[str] = []
    for part in found:
        ambiguous += [len(images) + index for index in part.ambiguous]
        images += list(part.images)
        places += part.places
    return Pictures(images, ambiguous, places)
