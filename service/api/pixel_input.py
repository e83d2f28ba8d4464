"""Reads bare pixels: grey bytes, or numbers whose type and shape the request declares.

Bare pixels do not say what they are. They are taken for grey bytes unless they are plainly
something else; a body of 784 bytes is one picture in any case.
"""

import math
import re
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from service.api.array_input import ROW, SIDE, Pictures, check_count, from_array
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


def from_bytes(data: bytes, dtype: str | None = None, shape: str | None = None) -> Pictures:
    """Return the pictures in bare pixels.

    Args:
        data: 784 bytes for each picture of 28x28, or what `dtype` and `shape` declare.
        dtype: NumPy's name for the type of the numbers, such as float32 or >i4 (big-endian).
        shape: the shape of one picture or of all, such as 28,28,3.

    Raises:
        BadImage: unusable_array.

    """
    if dtype or shape:
        return _declared(data, dtype or "uint8", shape)
    if not data or len(data) % ROW:
        raise BadImage("unusable_array", _wrong_size(len(data)))
    if len(data) > ROW and (other := other_reading(data)):
        raise BadImage(
            "unusable_array",
            f"The body does not look like grey pixels of one byte, but like {other}.",
        )
    pixels = np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)
    # 0 and 1 may be meant as black and white. Nearly always the first picture tells.
    if data[:ROW].strip(b"\0\1") or pixels.max() > 1:
        check_count(len(pixels))
        return Pictures(pixels)
    return from_array(pixels)


# --- Declared -------------------------------------------------------------------------------------


def _declared(data: bytes, dtype: str, shape: str | None) -> Pictures:
    kind = _dtype(dtype)
    sizes = tuple(map(int, re.findall(r"\d+", shape))) if shape else (ROW,)
    one = math.prod(sizes) * kind.itemsize
    if not one or not data or len(data) % one:
        raise BadImage(
            "unusable_array",
            f"The body has {len(data):,} bytes, which is no multiple of the {one:,} bytes of shape "
            f"{sizes} and type {kind}.",
        )
    count = len(data) // one
    array = np.frombuffer(data, kind)
    return from_array(array.reshape(sizes if count == 1 else (count, *sizes)))


def _dtype(name: str) -> np.dtype[np.generic]:
    return np.dtype(name.lstrip("<>=|")).newbyteorder(">" if name[0] == ">" else "<")


def _wrong_size(size: int) -> str:
    other = [
        f"{math.isqrt(size // channels)},{math.isqrt(size // channels)}{more}"
        for channels, more in ((1, ""), (3, ",3"), (4, ",4"))
        if size % channels == 0 and is_square(size // channels)
    ]
    hint = f" If it is one picture, add ?shape={other[0]}." if other else ""
    if not size:
        return "The body is empty: send a picture, or 784 bytes for each image."
    return (
        "Bare pixels must be 784 bytes for each image: 28 rows of 28 pixels, 0 (black) to 255 "
        f"(white ink). This body has {size:,} bytes.{hint} Others are declared with ?shape=28,28,3 "
        "and ?dtype=float32; picture files, .npy, CSV and JSON are recognised."
    )
