"""Reads bare pixels: grey bytes, or numbers whose type and shape the request declares.

Bare pixels do not say what they are. They are taken for grey bytes unless they are plainly
something else; a body of 784 bytes is one picture in any case.
"""

import math
import re
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from service.api.array_input import MNIST_SHAPE, Pictures, Shape, check_count, from_array
from service.api.pixel_plausibility import is_square, other_reading
from service.domain.errors import BadImage

DTYPE = r"^[<>=|]?(bool|u?int(8|16|32|64)|float(16|32|64)|b1|[iu][1248]|f[248])$"
SHAPE = r"^\(?\d{1,5}([,x]\d{1,5}){0,3},?\)?$"
"""Patterns of the query parameters."""


def _dtype_name(text: str) -> str:
    """Return a type's name as NumPy spells it, also if it is spelt as in `Float32Array` or FP32."""
    name = re.sub(r"^([<>=|]?)fp(?=\d)", r"\1float", text.lower())
    if not re.match(DTYPE, name):
        raise ValueError("must be the name of a type, such as uint8, float32 or >i4 (big-endian)")
    return name


def _shape_text(text: str) -> str:
    if not re.match(SHAPE, text):
        raise ValueError(
            "must be the sizes of one picture or of all, such as 28,28,3 or 100,28,28; the number "
            "of pictures may be left out"
        )
    return text


DtypeName = Annotated[
    str, BeforeValidator(_dtype_name), WithJsonSchema({"type": "string", "pattern": DTYPE})
]
ShapeText = Annotated[
    str, BeforeValidator(_shape_text), WithJsonSchema({"type": "string", "pattern": SHAPE})
]


def from_bytes(
    data: bytes,
    dtype: str | None = None,
    shape: str | None = None,
    expected: Shape = MNIST_SHAPE,
) -> Pictures:
    """Return the pictures in bare pixels.

    Args:
        data: a byte for each pixel of pictures of the expected size, or what `dtype` and `shape`
            declare.
        dtype: NumPy's name for the type of the numbers, such as float32 or >i4 (big-endian).
        shape: the shape of one picture or of all, such as 28,28,3.
        expected: the shape of a picture of the network's size.

    Raises:
        BadImage: unusable_array.

    """
    if dtype or shape:
        return _declared(data, dtype or "uint8", shape, expected)
    row = math.prod(expected)
    if not data or len(data) % row:
        raise BadImage("unusable_array", _wrong_size(len(data), expected))
    is_grey = len(expected) == 2
    if is_grey and len(data) > row and (other := other_reading(data, expected[0], expected[1])):
        raise BadImage(
            "unusable_array",
            f"The body does not look like grey pixels of one byte, but like {other}.",
        )
    pixels = np.frombuffer(data, np.uint8).reshape(-1, *expected)
    # 0 and 1 may be meant as black and white. Nearly always the first picture tells.
    if data[:row].strip(b"\0\1") or pixels.max() > 1:
        check_count(len(pixels))
        return Pictures(pixels)
    return from_array(pixels, expected=expected)


# --- Declared -------------------------------------------------------------------------------------


def _declared(data: bytes, dtype: str, shape: str | None, expected: Shape) -> Pictures:
    sizes = declared_sizes(shape) if shape else (math.prod(expected),)
    return from_array(declared_numbers(data, dtype, sizes), expected=expected)


def declared_sizes(shape: str) -> tuple[int, ...]:
    """Return the numbers in the text of a shape."""
    return tuple(map(int, re.findall(r"\d+", shape)))


def declared_numbers(data: bytes, dtype: str, sizes: tuple[int, ...]) -> np.ndarray:
    """Return bare numbers of a type as one or more arrays of these sizes.

    Raises:
        BadImage: the bytes are not so many.

    """
    kind = _dtype(dtype)
    one = math.prod(sizes) * kind.itemsize
    if not one or not data or len(data) % one:
        raise BadImage(
            "unusable_array",
            f"The body has {len(data):,} bytes, which is no multiple of the {one:,} bytes of shape "
            f"{sizes} and type {kind}.",
        )
    count = len(data) // one
    array = np.frombuffer(data, kind)
    return array.reshape(sizes if count == 1 else (count, *sizes))


def _dtype(name: str) -> np.dtype[np.generic]:
    return np.dtype(name.lstrip("<>=|")).newbyteorder(">" if name[0] == ">" else "<")


def _wrong_size(size: int, expected: Shape) -> str:
    other = [
        f"{math.isqrt(size // channels)},{math.isqrt(size // channels)}{more}"
        for channels, more in ((1, ""), (3, ",3"), (4, ",4"))
        if size % channels == 0 and is_square(size // channels)
    ]
    hint = f" If it is one picture, add ?shape={other[0]}." if other else ""
    row, (height, width) = math.prod(expected), expected[:2]
    if not size:
        return f"The body is empty: send a picture, or {row} bytes for each image."
    pixels = f"{height} rows of {width} pixels, 0 (black) to 255 (white ink)"
    if len(expected) == 3:
        pixels = f"{height} rows of {width} pixels of red, green and blue, each 0 to 255"
    return (
        f"Bare pixels must be {row} bytes for each image: {pixels}. This body has {size:,} bytes."
        f"{hint} Others are declared with ?shape=28,28,3 and ?dtype=float32; picture files, .npy, "
        "CSV and JSON are recognised."
    )
