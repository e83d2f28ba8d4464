"""Draws the two panels of learning curves: loss, and accuracy or error."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from service.pictures import palette
from service.pictures.palette import Theme, as_hex
from service.pictures.thinning import Floats, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["accuracy", "error"]
Scale = Literal["linear", "log"]
Panel = Literal["loss", "accuracy", "error"]

TITLES: dict[Panel, str] = {
    "loss": "Loss (nats)",
    "accuracy": "Accuracy (%)",
    "error": "Error (%)",
}
LABEL_OFFSET = -20.5
"""Points from an axis to the top of its label; the ticks and their labels are in between."""
MAX_STROKE_PIXELS = 15_000_000
"""Most pixels that all lines may cover if they are noisy; drawing them takes a second."""
MARKERS = ("", "o", "s")
"""The seventh job has the first one's colour again, and a marker on its curves."""
MARKED = 10
"""About how many markers a curve has."""
BROKEN = "X"
"""The marker where a failed job's curves end."""
DECADE = (1, 1.5, 2, 3, 5, 7)


@dataclass(frozen=True)
class Series:
    """The finished epochs of one job; all sequences are as long as `epochs`."""

    label: str
    epochs: Sequence[float]
    """Their numbers, from 1."""
    train_loss: Sequence[float]
    """The losses are in nats."""
    test_loss: Sequence[float]
    train_accuracy: Sequence[float]
    """The accuracies are numbers from 0 to 1."""
    test_accuracy: Sequence[float]
    failure: str = ""
    """Why the job failed; empty if it did not."""


@dataclass(frozen=True)
class Look:
    """How curves are drawn."""

    width: int = 1000
    """Width and height are in CSS pixels; a PNG has twice as many."""
    height: int = 420
    theme: Theme = "light"
    scale: Scale = "linear"
    """The scale of the loss and of the error; an accuracy always has a linear axis."""
    quantity: Quantity = "accuracy"
    smooth: float = 0.0
    """Weight of what came before in the moving average that is drawn, from 0 (none) to below 1."""


def draw_panel(axes: "Axes", series: Sequence[Series], panel: Panel, look: Look) -> None:
    """Draw one quantity of all jobs."""
    axes.set_title(TITLES[panel])
    axes.set_xlabel("Epoch")
    _place_labels(axes)
    axes.margins(x=0.02)
    columns = _columns_of_pixels(len(series), look)
    for k, job in enumerate(series):
        for part in ("train", "test"):
            values = smoothed(_values(job, part, panel), look.smooth)
            if look.scale == "log" and panel != "accuracy":
                values = np.where(values > 0, values, np.nan)
            kept = thinned(values, columns)
            points = np.asarray(job.epochs)[kept], values[kept]
            style = style_of(k, part, len(series), look.theme)
            name = panel if panel == "loss" else "accuracy"
            axes.plot(*points, gid=f"{name}-{part}-{k + 1}", **style, **_markers(k, job, len(kept)))
    if any(len(job.epochs) for job in series):
        _set_ticks(axes, logarithmic=look.scale == "log" and panel != "accuracy")
    else:
        _say_why_it_is_empty(axes, series, look)


def style_of(k: int, part: str, jobs: int, theme: Theme) -> dict[str, Any]:
    """Return dashes for training and a colour for each job, or for each part of a single one."""
    colours = palette.LINES[theme]
    colour = colours[part == "train"] if jobs == 1 else colours[k % len(colours)]
    width = 1.8 if jobs <= len(colours) else 1.2
    return {"color": colour, "linestyle": "--" if part == "train" else "-", "linewidth": width}


def marker_of(k: int) -> str:
    """Return what tells a job from the one of the same colour before it."""
    return MARKERS[k // len(palette.LINES["light"]) % len(MARKERS)]


def _markers(k: int, job: Series, points: int) -> dict[str, Any]:
    if points == 1:  # a line would not show it
        return {"marker": BROKEN if job.failure else "o"}
    if job.failure:
        return {"marker": BROKEN, "markevery": [points - 1]} if points else {}
    if not marker_of(k):
        return {}
    every = max(1, points // MARKED)
    # Each job's markers begin elsewhere, so that those of curves close together do not coincide.
    return {"marker": marker_of(k), "markersize": 4, "markevery": (7 * k % every, every)}


def smoothed(values: Floats, weight: float) -> Floats:
    """Return the exponential moving average, without the bias of its beginning; gaps stay."""
    if not weight:
        return values
    average = total = 0.0
    means = []
    for value in values.tolist():
        if math.isfinite(value):
            average = weight * average + (1 - weight) * value
            total = weight * total + (1 - weight)
            means.append(average / total)
        else:
            means.append(math.nan)
    return np.array(means, np.float64)


def _values(job: Series, part: str, panel: Panel) -> Floats:
    """Return what a panel shows, with a gap where a value is too large for axes or not finite."""
    if panel == "loss":
        floats = np.asarray(getattr(job, f"{part}_loss"), np.float64)
        return np.where(np.abs(floats) < 1e30, floats, np.nan)
    floats = np.asarray(getattr(job, f"{part}_accuracy"), np.float64)
    accuracy = 100 * np.where(np.abs(floats) < 1e30, floats, np.nan)
    return 100 - accuracy if panel == "error" else accuracy


def _columns_of_pixels(jobs: int, look: Look) -> int:
    """Return on how many columns of pixels lines are drawn: columns narrower than a line.

    There are fewer, wider ones where many jobs share a large picture.
    """
    lines = 4 * max(1, jobs)
    return min(look.width // 2, MAX_STROKE_PIXELS // (lines * look.height))


def _place_labels(axes: "Axes") -> None:
    """Put the labels where they are by default, without measuring all ticks to find the place."""
    from matplotlib.transforms import ScaledTranslation

    lower = ScaledTranslation(0, LABEL_OFFSET / 72, axes.figure.dpi_scale_trans)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_label_coords(0.5, 0, transform=axes.transAxes + lower)


def _set_ticks(axes: "Axes", *, logarithmic: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    steps = MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    axes.xaxis.set_major_locator(steps)
    low, high = axes.dataLim.intervaly
    if not logarithmic or not (0 < axes.dataLim.minposy <= high < math.inf):
        return
    axes.set_yscale("log")
    decades = math.log10(high / max(low, axes.dataLim.minposy))
    between = DECADE if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=between, numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _say_why_it_is_empty(axes: "Axes", series: Sequence[Series], look: Look) -> None:
    axes.set(xticks=[], yticks=[])
    place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    failed = len(series) == 1 and series[0].failure
    words = "It ended before its first epoch." if failed else "no epoch finished yet"
    axes.text(0.5, 0.5, words, color=as_hex(palette.MUTED[look.theme]), **place)


def wrapped(text: str, width: int, lines: int) -> str:
    """Return a text in lines that fit into a width; a letter takes about 6.5 pixels."""
    return "\n".join(
        textwrap.wrap(text, max(20, int(width / 6.5)), max_lines=lines, placeholder=" …")
    )
