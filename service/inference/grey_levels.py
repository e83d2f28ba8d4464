"""Turns a decoded picture, in colour or with transparent parts, into grey levels or colours."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
"""(h, w): grey levels from 0 (black) to 255 (white)."""
Colours = NDArray[np.uint8]
"""(h, w, 3): red, green and blue, each from 0 to 255."""
Floats = NDArray[np.float64]

GRID = 128
"""Colours are examined on at most 128x128 cells, whose means have little noise."""
LIGHTNESS = np.array([0.299, 0.587, 0.114])
"""The weights of red, green and blue in Pillow's conversion to grey."""
COLOURFUL = 2.0
"""Colours replace lightness where they differ by this factor more than it does."""
ONE_COLOUR = 24.0
"""Ink of one colour varies by less than this in each channel."""
FILLED = 0.75
"""A shape that covers this share of its box or more is not the shape of strokes, but of a page."""


def grey_of(image: Image.Image) -> Grey:
    """Return a decoded picture in any of Pillow's modes as grey (h, w) uint8."""
    if image.mode.startswith("I"):  # I;16, I;16B, …: Pillow's own conversion clips, not scales
        return _of_many_levels(image)
    if image.has_transparency_data:
        return _of_transparent(_in_mode("RGBA", image))
    if image.mode in ("1", "L"):
        return np.asarray(_in_mode("L", image))
    return _of_colours(_in_mode("RGB", image))


def colours_of(image: Image.Image) -> Colours:
    """Return a decoded picture in any of Pillow's modes as colours (h, w, 3) uint8.

    Transparent parts become paper, as `grey_of` chooses it.
    """
    if image.mode.startswith("I"):
        return np.repeat(_of_many_levels(image)[..., np.newaxis], 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(_in_mode("RGB", image))
    layered = _in_mode("RGBA", image)
    return np.asarray(_on_paper(layered, _paper_behind(layered)))


def _in_mode(mode: str, image: Image.Image) -> Image.Image:
    """Return a picture in a mode; `convert` would copy one that has it already."""
    return image if image.mode == mode else image.convert(mode)


def _of_many_levels(image: Image.Image) -> Grey:
    """Return the upper 8 bits of those that are used: a file of 16 bits may hold 8 or 12."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    used = int(levels.max(initial=0)).bit_length()
    grey = (levels >> max(0, used - 8)).astype(np.uint8)
    clear = image.info.get("transparency")
    if clear is None:
        return grey
    alpha = np.where(levels == clear, 0, 255).astype(np.uint8)
    return _of_transparent(Image.fromarray(np.stack([grey, alpha], axis=2)).convert("RGBA"))


# --- Colours --------------------------------------------------------------------------------------


def _of_colours(image: Image.Image) -> Grey:
    """Return the lightness of an RGB picture, or, where that says little, its main contrast.

    Red on green may be equally light. The differences between all colours of a picture are greatest
    along one direction of colour space, the first principal axis, which becomes the grey level.
    """
    channels = image.reduce(_step(image)).split()
    colours = np.array([np.asarray(channel) for channel in channels], np.float64).reshape(3, -1)
    # A step of 1 in all three channels is a step of 1 in lightness and of sqrt(3) in space.
    enough = 3 * (COLOURFUL * float((LIGHTNESS @ colours).std())) ** 2
    axis = _main_axis(colours, enough)
    if axis is None:
        return np.asarray(image.convert("L"))
    axis = axis * math.copysign(1 / math.sqrt(3), axis @ LIGHTNESS)
    # The darkest corner of colour space becomes 0; the lightest is 255 at most.
    weights = (*axis.tolist(), -255 * float(np.minimum(axis, 0).sum()))
    return np.asarray(image.convert("L", weights))


def _main_axis(colours: Floats, enough: float) -> Floats | None:
    """Return the direction in which colours (3, n) vary most, if they vary more than `enough`."""
    if colours.var(axis=1).sum() <= enough:  # along all three axes together, and so along any
        return None
    spreads, axes = np.linalg.eigh(np.cov(colours, bias=True))
    main: Floats = axes[:, -1]
    return main if spreads[-1] > enough else None


def _step(image: Image.Image) -> int:
    return math.ceil(max(image.size) / GRID)


# --- Transparency ---------------------------------------------------------------------------------


def _of_transparent(image: Image.Image) -> Grey:
    """Return a picture with transparent parts on the paper that it was drawn for.

    In a drawing the opaque parts are the ink, whatever their colour: dark ink gets white paper and
    light ink black. Any other picture shows its own paper, so its transparent parts, such as
    rounded corners, get the median colour of what is visible.
    """
    visible, colours = _visible_cells(image)
    if not visible.any():
        return np.full((image.height, image.width), 255, np.uint8)
    middle = np.median(colours, axis=0)
    if not _is_drawing(visible, colours):
        return _of_colours(_on_paper(image, middle))
    alpha = np.array(image.getchannel("A"))
    return 255 - alpha if middle @ LIGHTNESS < 128 else alpha


def _paper_behind(image: Image.Image) -> Floats:
    """Return the colour (3,) of the paper that a picture with transparent parts was drawn for."""
    visible, colours = _visible_cells(image)
    if not visible.any():
        return np.full(3, 255.0)
    middle: Floats = np.median(colours, axis=0)
    if not _is_drawing(visible, colours):
        return middle
    return np.full(3, 255.0 if middle @ LIGHTNESS < 128 else 0.0)


def _visible_cells(image: Image.Image) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Return which cells (h, w) of an RGBA picture can be seen, and their colours (n, 3)."""
    small = np.asarray(image.reduce(_step(image)))
    visible = small[..., 3] > small[..., 3].max() / 2
    return visible, small[visible][:, :3]


def _is_drawing(visible: NDArray[np.bool_], colours: NDArray[np.uint8]) -> bool:
    """Return whether the visible cells (h, w), of these colours (n, 3), are strokes.

    They have the shape of strokes, or their shape is all that can be seen. A full shape of one
    colour is a stroke if it is long, as a 1 is; otherwise it is an empty page.
    """
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    filled = float(visible.sum()) / (height * width)
    one_colour = bool((np.ptp(np.percentile(colours, (5, 95), axis=0), axis=0) < ONE_COLOUR).all())
    long = max(height, width) > 2 * min(height, width)
    return filled < FILLED or (one_colour and (long or filled < 0.9))


def _on_paper(image: Image.Image, colour: Floats) -> Image.Image:
    red, green, blue = (round(level) for level in colour.tolist())
    paper = Image.new("RGBA", image.size, (red, green, blue, 255))
    return Image.alpha_composite(paper, image).convert("RGB")
