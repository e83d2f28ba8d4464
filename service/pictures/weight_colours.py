"""The colours of weights: RdBu on a symmetric scale, and the bar that says what they stand for."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.pictures import palette
from service.pictures.lettering import Text
from service.pictures.tile_grid import Bytes, bands

Floats = NDArray[np.float32]

LINE = 20
"""Height of the line with the bar, in pixels."""
BAR = (128, 8)
"""Width and height of the bar."""
LABEL = 44
"""Room for the number at each of its ends."""
FONT_SIZE = 11
WIDTH = BAR[0] + 2 * LABEL
"""The width of the bar with its numbers."""


def strongest(template: Floats) -> float:
    """Return the largest absolute weight that is finite, or 1 if all of them are 0."""
    most = max(
        float(np.abs(part).max(where=np.isfinite(part), initial=0)) for _, part in bands(template)
    )
    return most or 1.0


def coloured(template: Floats, end: float) -> Bytes:
    """Return colours (rows, columns, 3); the scale is symmetric, so 0 is always white."""
    finite = np.isfinite(template)
    weights = np.where(finite, template, 0).astype(np.float64)
    index = np.rint(127.5 + 127.5 * weights / end).astype(np.uint8)
    return np.where(finite[..., None], palette.RDBU[index], np.uint8(palette.NOT_FINITE))


def paste_bar(picture: Image.Image, left: int, top: int) -> None:
    """Draw the bar into a line whose left and top these are."""
    levels = np.linspace(0, 255, BAR[0]).round().astype(int)
    colours = np.broadcast_to(palette.RDBU[levels], (BAR[1], BAR[0], 3))
    place = left + LABEL, top + (LINE - BAR[1]) // 2
    picture.paste(Image.fromarray(np.ascontiguousarray(colours)), place)


def bar_texts(left: int, top: int, end: float | None) -> list[Text]:
    """Return what stands beside the bar: the weights at its ends, if they are the same for all."""
    high = "max" if end is None else f"{end:.2g}"
    y, right = top + LINE // 2, left + LABEL + BAR[0]
    return [
        Text(f"-{high}", left + LABEL - 4, y, FONT_SIZE, "end"),
        Text(high, right + 4, y, FONT_SIZE),
    ]
