"""Draws a film of weights: their templates after one epoch after another, as an animated WebP."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image

from service.pictures import lettering, palette
from service.pictures.palette import Theme
from service.pictures.tile_grid import TileGrid, caption_texts, paste_tiles
from service.pictures.weight_colours import Floats, coloured, strongest

LAST_SHARES = 3
"""The last frame stays this many times as long as each other one."""
EFFORT = 2
"""The effort of WebP, from 0 to 6: more takes many times as long and saves a few per cent."""


@dataclass(frozen=True)
class Frame:
    """The weights after one epoch."""

    title: str
    templates: Floats
    """(n, rows, columns of pixels)."""


def draw(
    frames: Sequence[Frame],
    grid: TileGrid,
    *,
    seconds: float,
    scale: Literal["shared", "each"],
    theme: Theme = "light",
) -> bytes:
    """Draw a film that is repeated for ever: red below 0, white at 0, blue above.

    The colour scale is that of the whole film, so that weights can be seen to grow.

    Args:
        frames: at least one, all of the same shape.
        grid: the place of each template; the titles of the frames take the place of its caption.
        seconds: for all frames together.
        scale: whether the strongest colour stands for the largest absolute weight of all templates
            ("shared") or of each template ("each").
    """
    units = range(len(frames[0].templates))
    # One call for all frames: 0 everywhere, as before training, does not stand for 1 here.
    ends = [strongest(np.concatenate([it.templates[k] for it in frames])) for k in units]
    if scale == "shared":
        ends = [max(ends)] * len(ends)
    first, *others = (_drawn(frame, grid, ends, theme) for frame in frames)
    share = 1000 * seconds / (len(frames) - 1 + LAST_SHARES)
    durations = [round(share)] * (len(frames) - 1) + [round(LAST_SHARES * share)]
    file = io.BytesIO()
    first.save(
        file,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        lossless=True,
        quality=0,
        method=EFFORT,
    )
    return file.getvalue()


def _drawn(frame: Frame, grid: TileGrid, ends: Sequence[float], theme: Theme) -> Image.Image:
    titled = replace(grid, caption=frame.title)
    picture = paste_tiles(
        frame.templates,
        lambda part, k: coloured(part, ends[k]),
        titled,
        titled.title,
        palette.PAPER[theme],
    )
    lettering.write(picture, caption_texts(titled), palette.TEXT[theme])
    return picture
