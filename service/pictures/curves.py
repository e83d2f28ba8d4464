"""Draws learning curves: loss and accuracy after every epoch, of one job or of several."""

import gc
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from service.pictures import palette, png
from service.pictures.palette import Theme, as_hex
from service.pictures.thinning import Floats, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Format = Literal["png", "svg"]

DPI = 100
SHARPNESS = 2
"""A PNG has this many pixels for each CSS pixel, along each axis."""
LABEL_OFFSET = -20.5
"""Points from an axis to the top of its label; the ticks and their labels are in between."""
MAX_LABEL = 28
LEGEND_ROW = 18
SEPARATOR = " · "
MAX_STROKE_PIXELS = 15_000_000
"""Most pixels that all lines may cover if they are noisy; drawing them takes a second."""


@dataclass(frozen=True)
class Series:
    """The finished epochs of one job; all sequences are as long as `epochs`."""

    label: str
    epochs: Sequence[float]
    """Their numbers, from 1."""
    train_loss: Sequence[float]
    """In nats, like test_loss."""
    test_loss: Sequence[float]
    train_accuracy: Sequence[float]
    """From 0 to 1, like test_accuracy."""
    test_accuracy: Sequence[float]


def draw(
    series: Sequence[Series],
    *,
    caption: Sequence[str] = (),
    title: str = "",
    format: Format = "png",
    width: int = 1000,
    height: int = 420,
    theme: Theme = "light",
) -> bytes:
    """Draw loss and accuracy over epochs, side by side: dashed for training, solid for test.

    A single job has one colour for training and one for test; several jobs have a colour each. The
    same arguments give the same bytes.

    Args:
        series: the jobs.
        caption: parts of the line below the panels; the last ones are left out if they don't fit.
        title: the line above them.
        width: in CSS pixels, like height; a PNG has twice as many.

    """
    import matplotlib as mpl

    with mpl.rc_context(_settings(theme)):
        legend = _legend([_line(job.label, MAX_LABEL) for job in series], theme)
        columns = _columns([label for label, _ in legend], width)
        rows = math.ceil(len(legend) / columns)
        figure = _figure(width, height, over=66 if title else 36, under=94 + LEGEND_ROW * rows)
        for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            _panel(axes, series, quantity, theme, _columns_of_pixels(len(series), width, height))
        place = (0.5, 34 / height)
        lines, labels = [line for _, line in legend], [label for label, _ in legend]
        figure.legend(lines, labels, loc="lower center", bbox_to_anchor=place, ncols=columns)
        _write(figure, height, _line(title, width // 12), _fitted(caption, width), theme)
        picture = _saved(figure, format)
    del figure, axes, lines
    gc.collect(1)  # a figure refers to itself and holds megabytes of pixels: 50 MB would pile up
    return picture


def _settings(theme: Theme) -> Any:  # matplotlib's stubs spell out all 300 keys
    paper, text = as_hex(palette.PAPER[theme]), as_hex(palette.TEXT[theme])
    muted, rules = as_hex(palette.MUTED[theme]), as_hex(palette.RULES[theme])
    return {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "axes.edgecolor": rules,
        "axes.labelcolor": muted,
        "axes.titlecolor": text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titley": 1.0,  # the default place, without measuring all ticks to find it
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": rules,
        "grid.linewidth": 0.7,
        "text.color": text,
        "xtick.color": rules,
        "ytick.color": rules,
        "xtick.labelcolor": muted,
        "ytick.labelcolor": muted,
        "font.size": 9.5,
        "font.family": ["DejaVu Sans"],
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        # A "$" in a job's name is a dollar, not the start of a formula.
        "text.parse_math": False,
        # Text stays text, and the ids in an SVG do not change from run to run.
        "svg.fonttype": "none",
        "svg.hashsalt": "mlp-service",
    }


def _figure(width: int, height: int, over: int, under: int) -> "Figure":
    """Return an empty figure with fixed margins; computing a layout takes as long as drawing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=SHARPNESS * DPI)
    figure.subplots_adjust(
        left=min(0.4, 56 / width),
        right=1 - min(0.1, 20 / width),
        bottom=min(0.6, under / height),
        top=1 - min(0.3, over / height),
        wspace=max(0.16, 68 / max(1, width - 110)),  # 34 pixels, in panels
    )
    return figure


def _panel(
    axes: "Axes", series: Sequence[Series], quantity: str, theme: Theme, columns: int
) -> None:
    """Draw the loss or the accuracy of all jobs, on a number of columns of pixels."""
    from matplotlib.ticker import MaxNLocator
    from matplotlib.transforms import ScaledTranslation

    axes.set_title({"loss": "Loss (nats)", "accuracy": "Accuracy (%)"}[quantity])
    axes.set_xlabel("Epoch")
    # The default place of the labels, without measuring all ticks to find it.
    lower = ScaledTranslation(0, LABEL_OFFSET / 72, axes.figure.dpi_scale_trans)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_label_coords(0.5, 0, transform=axes.transAxes + lower)
    axes.margins(x=0.02)
    unit = 100 if quantity == "accuracy" else 1
    for k, job in enumerate(series):
        for part in ("train", "test"):
            values = unit * _safe(getattr(job, f"{part}_{quantity}"))
            # A single epoch is a point, which a line would not show.
            marker = "o" if len(values) == 1 else ""
            style = _style(k, part, len(series), theme)
            kept = thinned(values, columns)
            points = np.asarray(job.epochs)[kept], values[kept]
            axes.plot(*points, marker=marker, gid=f"{quantity}-{part}-{k + 1}", **style)
    if any(len(job.epochs) for job in series):
        steps = MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
        axes.xaxis.set_major_locator(steps)
        return
    axes.set(xticks=[], yticks=[])
    place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, "no epoch finished yet", color=as_hex(palette.MUTED[theme]), **place)


def _style(k: int, part: str, jobs: int, theme: Theme) -> dict[str, Any]:
    """Return dashes for training and a colour for each job, or for each part of a single one."""
    colours = palette.LINES[theme]
    colour = colours[part == "train"] if jobs == 1 else colours[k % len(colours)]
    return {"color": colour, "linestyle": "--" if part == "train" else "-"}


def _columns_of_pixels(jobs: int, width: int, height: int) -> int:
    """Return on how many columns of pixels lines are drawn: columns narrower than a line.

    There are fewer, wider ones where many jobs share a large picture.
    """
    lines = 4 * max(1, jobs)
    return min(width // 2, MAX_STROKE_PIXELS // (lines * height))


def _safe(values: Sequence[float]) -> Floats:
    """Leave a gap where a loss is not finite, or too large for the arithmetic of axes."""
    floats = np.asarray(values, np.float64)
    return np.where(np.abs(floats) < 1e30, floats, np.nan)


def _legend(labels: Sequence[str], theme: Theme) -> "list[tuple[str, Line2D]]":
    """Return lines made for the legend; matplotlib's own legend leaves out labels like "_x"."""
    from matplotlib.lines import Line2D

    several = len(labels) > 1
    legend = []
    for k, label in enumerate(labels if several else ()):
        legend.append((label, Line2D([], [], **_style(k, "test", len(labels), theme))))
    for part in ("train", "test") if labels else ():
        style = _style(0, part, 1, theme)
        if several:
            style["color"] = as_hex(palette.MUTED[theme])
        legend.append((part, Line2D([], [], **style)))
    return legend


def _columns(labels: Sequence[str], width: int) -> int:
    """Return how many entries of a legend fit side by side; a letter takes about 7 pixels."""
    widths = [56 + 7 * len(label) for label in labels] or [1]
    return len(widths) if sum(widths) < width else max(1, width // max(widths))


def _write(figure: "Figure", height: int, title: str, caption: str, theme: Theme) -> None:
    muted = as_hex(palette.MUTED[theme])
    figure.text(0.5, 14 / height, caption, ha="center", va="bottom", color=muted)
    figure.text(0.5, 1 - 14 / height, title, ha="center", va="top", size=13, weight="bold")


def _fitted(parts: Sequence[str], width: int) -> str:
    """Return as many parts as fit, at least the first; a letter takes about 7 pixels."""
    room = (width - 16) // 7
    while len(parts) > 1 and len(SEPARATOR.join(parts)) > room:
        parts = parts[:-1]
    return _line(SEPARATOR.join(parts), room)


def _line(text: str, longest: int) -> str:
    """Return one printable line that the font can show; a missing glyph would warn each time."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    line = "".join(c if c.isprintable() else " " for c in text)
    line = "".join(c if ord(c) in known else "\N{WHITE SQUARE}" for c in " ".join(line.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _saved(figure: "Figure", format: Format) -> bytes:
    if format == "svg":
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return file.getvalue()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    canvas.draw()
    size = canvas.get_width_height(physical=True)
    drawn = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    return png.encode(drawn.convert("RGB"), dpi=SHARPNESS * DPI)
