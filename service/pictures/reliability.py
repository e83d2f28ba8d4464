"""Draws a reliability diagram: how often a network is right, by the probability that it gives."""

import math
from collections.abc import Sequence
from typing import Protocol

from service.pictures import palette
from service.pictures.drawing import Box, Drawing, Format, Words
from service.pictures.palette import Rgb, Theme

WIDTH, HEIGHT = 500, 590
LEFT, TOP, SIDE = 64, 56, 400
COUNTS_TOP, COUNTS_HEIGHT = TOP + SIDE + 62, 40
ACCURACY: dict[Theme, Rgb] = {"light": (67, 147, 195), "dark": (69, 150, 210)}
GAP: dict[Theme, Rgb] = {"light": (244, 165, 130), "dark": (190, 96, 72)}
"""The colour of the part between accuracy and mean probability."""
COUNT: dict[Theme, Rgb] = {"light": (160, 168, 178), "dark": (104, 113, 123)}


class Interval(Protocol):
    """The rows whose probability lies in an interval."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def confidence(self) -> float | None: ...
    @property
    def accuracy(self) -> float | None: ...


def draw(
    bins: Sequence[Interval], ece: float, *, format: Format = "png", theme: Theme = "light"
) -> bytes:
    """Draw the accuracy of each interval as a bar, the diagonal, and the number of rows below.

    Args:
        bins: equal intervals of probability from 0 to 1.
        ece: the expected calibration error, for the title.
        format: of the picture.
        theme: colours for a light or a dark page.

    """
    drawing = Drawing(WIDTH, HEIGHT, palette.PAPER[theme])
    _draw_axes(drawing, theme)
    rows = sum(each.count for each in bins)
    most = max(each.count for each in bins)
    for each in bins:
        if each.count:
            _draw_bar(drawing, each, theme)
            _draw_count(drawing, each, most, theme)
    _draw_diagonal(drawing, theme)
    text, muted = palette.TEXT[theme], palette.MUTED[theme]
    drawing.words += [
        Words(f"Expected calibration error {100 * ece:.2f} %", LEFT, 24, 17, text, "start"),
        Words(f"{rows:,} images:", LEFT, COUNTS_TOP - 2, 12, muted, "start"),
        Words("probability that the network gives", LEFT + SIDE / 2, TOP + SIDE + 34, 13, muted),
        Words("share that is read", 18, TOP + SIDE / 2, 13, muted, turned=True),
    ]
    return drawing.encode(format)


def _draw_axes(drawing: Drawing, theme: Theme) -> None:
    rule, muted = palette.RULES[theme], palette.MUTED[theme]
    for tenth in range(0, 11, 2):
        at = SIDE * tenth / 10
        drawing.boxes.append(Box(LEFT, TOP + SIDE - at, SIDE, 1, rule))
        line = f"{10 * tenth} %"
        drawing.words.append(Words(line, LEFT - 8, TOP + SIDE - at, 12, muted, "end"))
        drawing.words.append(Words(line, LEFT + at, TOP + SIDE + 14, 12, muted))


def _draw_bar(drawing: Drawing, interval: Interval, theme: Theme) -> None:
    """Draw the accuracy, and how far the mean probability lies from it."""
    left, width = LEFT + SIDE * interval.start, SIDE * (interval.end - interval.start)
    accuracy, confidence = interval.accuracy or 0.0, interval.confidence or 0.0
    top, sure = (TOP + SIDE * (1 - value) for value in (accuracy, confidence))
    bar = round(left) + 1, max(1, round(left + width) - round(left) - 1)
    drawing.boxes.append(Box(bar[0], top, bar[1], TOP + SIDE - top, ACCURACY[theme]))
    drawing.boxes.append(Box(bar[0], min(top, sure), bar[1], abs(top - sure), GAP[theme]))


def _draw_count(drawing: Drawing, interval: Interval, most: int, theme: Theme) -> None:
    """Draw the number of rows; its logarithm, because most of them are in the last interval."""
    left, width = LEFT + SIDE * interval.start, SIDE * (interval.end - interval.start)
    height = COUNTS_HEIGHT * math.log1p(interval.count) / math.log1p(most)
    bar = round(left) + 1, max(1, round(left + width) - round(left) - 1)
    top = COUNTS_TOP + COUNTS_HEIGHT - height
    drawing.boxes.append(Box(bar[0], top, bar[1], height, COUNT[theme]))


def _draw_diagonal(drawing: Drawing, theme: Theme) -> None:
    """Draw the line of probabilities that can be trusted, as small steps."""
    for step in range(0, SIDE, 4):
        box = Box(LEFT + step, TOP + SIDE - step - 2, 2, 2, palette.TEXT[theme])
        drawing.boxes.append(box)
