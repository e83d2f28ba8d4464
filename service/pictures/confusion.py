"""Draws a confusion matrix: how often each class is read as each other one."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.pictures import palette, typeface
from service.pictures.drawing import Box, Drawing, Format, Pasted, Words, named
from service.pictures.lettering import Anchor
from service.pictures.palette import Rgb, Theme

Counts = NDArray[np.int64]
Shown = NDArray[np.int64] | NDArray[np.float64]
Share = Literal["none", "actual", "predicted"]

TITLE, LEGEND, EDGE, GAP = 52, 56, 16, 8
"""Heights of title and legend, the margin around all, and the space between names and cells."""
AXIS = 22
"""Room for the words `actual` and `predicted`."""
SCALE_WIDTH = 180
LONGEST_NAME = 150
MOST_NUMBERS = 30
"""Most classes of which the cells have numbers; of more, only the colours are shown."""
SIDE = 1000
"""About the side of a matrix without numbers, in pixels."""
LINE = 14
"""The least distance of two names, in pixels."""
STRONGEST: dict[Theme, Rgb] = {"light": (178, 24, 43), "dark": (255, 122, 108)}
WEAKEST: dict[Theme, Rgb] = {"light": (252, 226, 214), "dark": (70, 40, 42)}
"""The colours of the most frequent mistake and of the rarest one, which is visible, too."""
RIGHT: dict[Theme, Rgb] = {"light": (226, 230, 235), "dark": (66, 75, 86)}
"""The diagonal is grey: it has no part in the scale of mistakes."""
EMPTY: dict[Theme, Rgb] = {"light": (248, 249, 250), "dark": (28, 34, 41)}
STEPS = 100
"""How many steps the colour scale in the legend has."""


def shares(counts: Counts, share: Share) -> Shown:
    """Return counts, or which part they are of their row or column; 0 of an empty one."""
    if share == "none":
        return counts
    whole = counts.sum(axis=1, keepdims=True) if share == "actual" else counts.sum(axis=0)
    found: NDArray[np.float64] = counts / np.maximum(whole, 1)
    return found


@dataclass(frozen=True)
class Scale:
    """Colours of mistakes: by the logarithm between the rarest and the most frequent one."""

    low: float
    high: float
    theme: Theme

    def colour(self, value: float) -> Rgb:
        if value <= 0:
            return EMPTY[self.theme]
        if self.high == self.low:
            return self.at(1)
        return self.at(math.log(value / self.low) / math.log(self.high / self.low))

    def at(self, place: float) -> Rgb:
        ends = zip(WEAKEST[self.theme], STRONGEST[self.theme], strict=True)
        red, green, blue = (round(weak + place * (strong - weak)) for weak, strong in ends)
        return red, green, blue


def draw(
    counts: Counts,
    names: list[str],
    title: str,
    *,
    format: Format = "png",
    theme: Theme = "light",
    share: Share = "none",
) -> bytes:
    """Draw a matrix (classes, classes) of counts: rows are the true classes.

    Args:
        counts: rows are what an image shows, columns what the network says.
        names: of the classes.
        title: a line above the matrix.
        format: of the picture.
        theme: colours for a light or a dark page.
        share: whether counts, or shares of their rows or columns are shown.

    """
    values = shares(counts, share)
    mistakes = values[~np.eye(len(values), dtype=bool)]
    positive = mistakes[mistakes > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    matrix = _Matrix(values, named(names, format), Scale(low, high, theme), share == "none")
    return matrix.drawn(title).encode(format)


@dataclass(frozen=True)
class _Matrix:
    """The picture of a matrix, and where its parts are."""

    values: Shown
    names: list[str]
    scale: Scale
    is_count: bool

    @property
    def theme(self) -> Theme:
        return self.scale.theme

    @cached_property
    def cell(self) -> int:
        """The side of a cell."""
        k = len(self.names)
        for most, side in ((4, 96), (12, 52), (20, 42), (MOST_NUMBERS, 36)):
            if k <= most:
                return side
        return max(4, round(SIDE / k))

    @property
    def font(self) -> int:
        """The size of names."""
        return 15 if self.cell >= 50 else 12

    @cached_property
    def every(self) -> int:
        """Each how manyth class is named."""
        steps = (1, 2, 5, 10, 20, 50, 100)
        return next(step for step in steps if step * self.cell >= LINE)

    @cached_property
    def labels(self) -> list[tuple[int, str]]:
        """The classes that are named, with names that are not too long."""
        each = range(0, len(self.names), self.every)
        return [(k, typeface.fitted(self.names[k], self.font, LONGEST_NAME)) for k in each]

    @cached_property
    def longest(self) -> int:
        """The width of the longest name."""
        return math.ceil(max(typeface.width(name, self.font) for _, name in self.labels))

    @property
    def turned(self) -> bool:
        """Whether the names of the columns run upwards."""
        return self.longest > self.cell * self.every - 6

    @property
    def left(self) -> int:
        return EDGE + AXIS + self.longest + GAP

    @property
    def top(self) -> int:
        return TITLE + AXIS + (self.longest if self.turned else self.font + 4) + GAP

    def drawn(self, title: str) -> Drawing:
        side = self.cell * len(self.names)
        wide = math.ceil(typeface.width(title, 17)) + 2 * EDGE
        width = max(self.left + side + EDGE, wide, self.left + SCALE_WIDTH + EDGE)
        bottom = self.top + side
        drawing = Drawing(width, bottom + LEGEND, palette.PAPER[self.theme])
        text, muted = palette.TEXT[self.theme], palette.MUTED[self.theme]
        drawing.words += [
            Words(title, EDGE, TITLE / 2, 17, text, "start"),
            Words("predicted", self.left + side / 2, TITLE + AXIS / 2 - 4, 13, muted),
            Words("actual", EDGE + AXIS / 2 - 4, self.top + side / 2, 13, muted, turned=True),
        ]
        drawing.words += self._names(text)
        self._fill(drawing)
        if self.values.sum() > np.trace(self.values):
            self._explain(drawing, bottom + 18)
        return drawing

    def _names(self, colour: Rgb) -> list[Words]:
        words = []
        for k, name in self.labels:
            middle = self.cell * (k + 0.5)
            x, y = self.left + middle, self.top + middle
            words.append(Words(name, self.left - GAP, y, self.font, colour, "end"))
            above = self.top - GAP if self.turned else self.top - GAP - self.font / 2
            anchor: Anchor = "start" if self.turned else "middle"
            words.append(Words(name, x, above, self.font, colour, anchor, self.turned))
        return words

    def _fill(self, drawing: Drawing) -> None:
        """Draw the cells: as boxes with numbers, or as an image of many."""
        colours = [self._colour(*place) for place in np.ndindex(*self.values.shape)]
        k = len(self.names)
        if k > MOST_NUMBERS:
            pixels = np.array(colours, np.uint8).reshape(k, k, 3)
            image = Image.fromarray(pixels).resize((k * self.cell,) * 2, Image.Resampling.NEAREST)
            drawing.pasted.append(Pasted(image, self.left, self.top))
            return
        for (row, column), colour in zip(np.ndindex(k, k), colours, strict=True):
            left, top = self.left + self.cell * column, self.top + self.cell * row
            drawing.boxes.append(Box(left, top, self.cell - 1, self.cell - 1, colour))
            number = self._number(float(self.values[row, column]))
            size = _largest(number, self.cell - 4, 16 if self.cell >= 50 else 12)
            x, y = left + self.cell / 2 - 0.5, top + self.cell / 2 - 0.5
            drawing.words.append(Words(number, x, y, size, contrasting(colour)))

    def _colour(self, row: int, column: int) -> Rgb:
        if row == column:
            return RIGHT[self.theme]
        return self.scale.colour(float(self.values[row, column]))

    def _number(self, value: float) -> str:
        if not value:
            return "·"
        if self.is_count:
            return f"{int(value):,}"
        percents = 100 * value
        return f"{percents:.0f}" if percents >= 9.95 else f"{percents:.1f}"

    def _explain(self, drawing: Drawing, top: int) -> None:
        """Draw the scale of the mistakes."""
        for step in range(STEPS):
            colour = self.scale.at(step / (STEPS - 1))
            left = self.left + SCALE_WIDTH * step // STEPS
            right = self.left + SCALE_WIDTH * (step + 1) // STEPS
            drawing.boxes.append(Box(left, top, right - left, 10, colour))
        muted, y = palette.MUTED[self.theme], top + 20
        unit = "" if self.is_count else " %"
        ends = [self._number(value) + unit for value in (self.scale.low, self.scale.high)]
        drawing.words += [
            Words(ends[0], self.left, y, 12, muted, "start"),
            Words("mistakes", self.left + SCALE_WIDTH / 2, y, 12, muted),
            Words(ends[1], self.left + SCALE_WIDTH, y, 12, muted, "end"),
        ]


def _largest(line: str, room: int, size: int) -> int:
    """Return the largest size, up to `size`, at which a line fits."""
    while size > 7 and typeface.width(line, size) > room:
        size -= 1
    return size


def contrasting(colour: Rgb) -> Rgb:
    """Return black or white, whichever stands out more on a colour."""
    channels = [
        (c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour
    ]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return (20, 24, 28) if luminance > 0.18 else (255, 255, 255)
