"""Draws which share of each class is read after each epoch, as a table of colours."""

import math

import numpy as np
from numpy.typing import NDArray

from service.pictures import palette, typeface
from service.pictures.confusion import EDGE, EMPTY, GAP, LONGEST_NAME, Scale, contrasting
from service.pictures.drawing import Box, Drawing, Format, Words, named
from service.pictures.palette import Theme

TITLE, FOOT, WIDE = 52, 34, 900
FONT = 12
MOST_NUMBERS = 30
"""Most classes and epochs of which the cells have numbers."""
NEVER_WRONG = 0.0005
"""A smaller share of mistakes has the colour of none."""


def draw(
    recalls: NDArray[np.float64],
    names: list[str],
    epochs: list[int],
    title: str,
    *,
    format: Format = "png",
    theme: Theme = "light",
) -> bytes:
    """Draw shares (classes, epochs); the colours are those of the mistakes, by their logarithm.

    Args:
        recalls: the share of each class that is read, NaN for a class without images.
        names: of the classes.
        epochs: their numbers.
        title: a line above the table.
    """
    classes, columns = recalls.shape
    width = max(6, min(46, WIDE // columns))
    height = 26 if classes <= MOST_NUMBERS else max(4, WIDE // classes)
    every = math.ceil(14 / height)
    labels = {k: name for k, name in enumerate(named(names, format)) if k % every == 0}
    shown = {k: typeface.fitted(name, FONT, LONGEST_NAME) for k, name in labels.items()}
    left = EDGE + math.ceil(max(typeface.width(it, FONT) for it in shown.values())) + GAP
    title_width = math.ceil(typeface.width(title, 16)) + 2 * EDGE
    size = max(left + columns * width + EDGE, title_width), TITLE + classes * height + FOOT
    drawing = Drawing(*size, palette.PAPER[theme])
    text, muted = palette.TEXT[theme], palette.MUTED[theme]
    drawing.words.append(Words(title, EDGE, TITLE / 2, 16, text, "start"))
    for k, name in shown.items():
        drawing.words.append(Words(name, left - GAP, TITLE + height * (k + 0.5), FONT, text, "end"))
    step = math.ceil(30 / width)
    for column in range(0, columns, step):
        x = left + width * (column + 0.5)
        drawing.words.append(
            Words(str(epochs[column]), x, TITLE + classes * height + 14, FONT, muted)
        )
    has_numbers = classes <= MOST_NUMBERS and width >= 30
    _fill(drawing, recalls, (left, width, height), theme, has_numbers=has_numbers)
    return drawing.encode(format)


def _fill(
    drawing: Drawing,
    recalls: NDArray[np.float64],
    place: tuple[int, int, int],
    theme: Theme,
    *,
    has_numbers: bool,
) -> None:
    left, width, height = place
    scale = Scale(NEVER_WRONG, 1.0, theme)
    for (row, column), recall in np.ndenumerate(recalls):
        wrong = 1 - float(recall)
        colour = EMPTY[theme] if not wrong >= NEVER_WRONG else scale.colour(wrong)
        x, y = left + width * column, TITLE + height * row
        gap = 1 if min(width, height) >= 8 else 0
        drawing.boxes.append(Box(x, y, width - gap, height - gap, colour))
        if has_numbers and not math.isnan(recall):
            number, ink = f"{100 * recall:.3g}", contrasting(colour)
            drawing.words.append(Words(number, x + width / 2, y + height / 2, 11, ink))
