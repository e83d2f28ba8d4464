"""Pictures of digits: MNIST's, and a seven drawn in many ways."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import service.store
from service.domain.errors import BadImage
from service.inference import image_decoding, image_normalization
from service.inference.image_normalization import Normalized

MNIST = Path(service.store.__file__).parent / "mnist"


def mnist(name: str) -> NDArray[np.uint8]:
    data = gzip.decompress((MNIST / f"{name}-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)


def mnist_labels(name: str) -> NDArray[np.uint8]:
    data = gzip.decompress((MNIST / f"{name}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=8)


def encoded(picture: Any, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(
        file, format, **options
    )
    return file.getvalue()


def seven(
    size: tuple[int, int] = (500, 400),
    box: Any = (290, 60, 410, 260),
    pen: Any = 18,
    ink: int = 0,
    paper: int = 255,
) -> Image.Image:
    """A seven: a bar and a slope, drawn with a round pen inside a box."""
    picture = Image.new("L", size, paper)
    left, top, right, bottom = box
    points = [(left, top), (right, top), ((left + right) / 2, bottom)]
    ImageDraw.Draw(picture).line(points, ink, pen, joint="curve")
    return picture


def normalized(picture: Any) -> Normalized:
    return image_normalization.normalize(image_decoding.decode(encoded(picture)))


def outcome(do: Any, argument: Any) -> Any:
    """What a function returns, or the code of its refusal."""
    try:
        return do(argument)
    except BadImage as refused:
        return refused.code


def likeness(a: Any, b: Any) -> float:
    """Correlation of two pictures; they may differ by a pixel's shift, as MNIST's rounding does."""
    steps = (-1, 0, 1)
    shifted = (np.roll(a, (down, right), (0, 1)) for down in steps for right in steps)
    return max(float(np.corrcoef(c.ravel(), b.ravel())[0, 1]) for c in shifted)
