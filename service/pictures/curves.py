"""Draws learning curves: loss and accuracy after every epoch, of one job or of several."""

import gc
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from service.pictures import palette, png
from service.pictures.curve_panels import (
    BROKEN,
    Look,
    Quantity,
    Scale,
    Series,
    draw_panel,
    marker_of,
    style_of,
    wrapped,
)
from service.pictures.palette import Theme, as_hex
from service.pictures.plain_glyphs import MISSING, one_line, plain, put_back

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["Format", "Quantity", "Scale", "Series", "Theme", "draw"]
Format = Literal["png", "svg"]
Coloured = tuple[str, dict[Theme, palette.Rgb]]
"""A text and its colour on each theme."""
Names = dict[str, str]
"""Lines of text by the ids of their groups in an SVG."""

DPI = 100
SHARPNESS = 2
"""A PNG has this many pixels for each CSS pixel, along each axis."""
MAX_LABEL = 28
LEGEND_ROW = 18
LINE_HEIGHT = 17
FAILURE_LINES = 2
SEPARATOR = " · "
LACKING = f"{MISSING} is a letter that this PNG's font lacks; the SVG has it"


def draw(
    series: Sequence[Series],
    *,
    title: str = "",
    results: Sequence[str] = (),
    caption: Sequence[str] = (),
    format: Format = "png",
    width: int = 1000,
    height: int = 420,
    theme: Theme = "light",
    scale: Scale = "linear",
    quantity: Quantity = "accuracy",
    smooth: float = 0.0,
) -> bytes:
    """Draw loss and accuracy over epochs, side by side: dashed for training, solid for test.

    A single job has one colour for training and one for test; several jobs have a colour each, and
    from the seventh on a marker. The curves of a failed job end in a cross. The same arguments give
    the same bytes.

    Args:
        results: parts of the line below the title, left out from the last on if they don't fit.
        caption: the same, below the panels.
        width: in CSS pixels, like height; a PNG has twice as many.
        scale: of loss and error; an accuracy has always a linear axis.
        quantity: what the second panel shows.
        smooth: weight of what came before in the moving average that is drawn; 0 for none.

    """
    import matplotlib as mpl

    look = Look(width, height, theme, scale, quantity, smooth)
    labels = [one_line(job.label, MAX_LABEL) for job in series]
    notes = _notes([title, *labels] if len(series) > 1 else [title], format, smooth)
    with mpl.rc_context(_settings(theme)):
        picture = _drawn(series, labels, title, results, [*notes, *caption], format, look)
    gc.collect(1)  # a figure refers to itself and holds megabytes of pixels: 50 MB would pile up
    return picture


def _notes(written: Sequence[str], format: Format, smooth: float) -> list[str]:
    """Return what the caption says of the picture itself."""
    notes = [f"moving average with weight {smooth:g}"] if smooth else []
    if format == "png" and any(MISSING in plain(text) for text in written):
        notes.append(LACKING)
    return notes


def _drawn(
    series: Sequence[Series],
    labels: list[str],
    title: str,
    results: Sequence[str],
    caption: Sequence[str],
    format: Format,
    look: Look,
) -> bytes:
    above = _above(series, results, look.width)
    legend = _legend(series, labels, look.theme)
    columns = _columns([label for label, _ in legend], look.width)
    rows = math.ceil(len(legend) / columns)
    over = (66 if title else 36) + LINE_HEIGHT * sum(text.count("\n") + 1 for text, _ in above)
    figure = _figure(look.width, look.height, over, under=94 + LEGEND_ROW * rows)
    left, right = figure.subplots(1, 2)
    draw_panel(left, series, "loss", look)
    draw_panel(right, series, look.quantity, look)
    names = _write_legend(figure, legend, columns, look.height)
    names |= _write_title(figure, one_line(title, look.width // 12), above, look)
    names |= _write_caption(figure, _fitted(caption, look.width), look)
    return _saved(figure, format, names)


def _above(series: Sequence[Series], results: Sequence[str], width: int) -> list[Coloured]:
    """Return the texts between the title and the panels: results, and why a single job failed."""
    texts: list[Coloured] = [(plain(_fitted(results, width)), palette.MUTED)] if results else []
    if len(series) == 1 and series[0].failure:
        why = wrapped(plain(one_line(series[0].failure, 500)), width - 60, FAILURE_LINES)
        texts.append((why, palette.BAD))
    return texts


def _legend(
    series: Sequence[Series], labels: Sequence[str], theme: Theme
) -> "list[tuple[str, Line2D]]":
    """Return lines made for the legend; matplotlib's own legend leaves out labels like "_x"."""
    from matplotlib.lines import Line2D

    several = len(labels) > 1
    legend = []
    for k, label in enumerate(labels if several else ()):
        style = style_of(k, "test", len(labels), theme)
        marker = BROKEN if series[k].failure else marker_of(k)
        name = f"{label} (failed)" if series[k].failure else label
        legend.append((name, Line2D([], [], marker=marker, markersize=5, **style)))
    for part in ("train", "test") if labels else ():
        style = style_of(0, part, 1, theme)
        if several:
            style["color"] = as_hex(palette.MUTED[theme])
        legend.append((part, Line2D([], [], **style)))
    return legend


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


def _columns(labels: Sequence[str], width: int) -> int:
    """Return how many entries of a legend fit side by side; a letter takes about 7 pixels."""
    widths = [56 + 7 * len(label) for label in labels] or [1]
    return len(widths) if sum(widths) < width else max(1, width // max(widths))


def _write_legend(
    figure: "Figure", legend: "list[tuple[str, Line2D]]", columns: int, height: int
) -> Names:
    labels, lines = [label for label, _ in legend], [line for _, line in legend]
    place = (0.5, 34 / height)
    drawn = figure.legend(
        lines, map(plain, labels), loc="lower center", bbox_to_anchor=place, ncols=columns
    )
    names = {f"label-{k + 1}": label for k, label in enumerate(labels)}
    for text, group in zip(drawn.get_texts(), names, strict=True):
        text.set_gid(group)
    return names


def _write_title(figure: "Figure", title: str, above: Sequence[Coloured], look: Look) -> Names:
    """Write the title, and below it the results in grey and a failure in red."""
    style: dict[str, Any] = {"ha": "center", "va": "top"}
    figure.text(
        0.5, 1 - 14 / look.height, plain(title), size=13, weight="bold", gid="title", **style
    )
    down = 40 if title else 14
    for text, colours in above:
        place = (0.5, 1 - down / look.height)
        figure.text(*place, text, color=as_hex(colours[look.theme]), **style)
        down += LINE_HEIGHT * (text.count("\n") + 1)
    return {"title": title}


def _write_caption(figure: "Figure", caption: str, look: Look) -> Names:
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "gid": "caption"}
    muted = as_hex(palette.MUTED[look.theme])
    figure.text(0.5, 14 / look.height, plain(caption), color=muted, **style)
    return {"caption": caption}


def _fitted(parts: Sequence[str], width: int) -> str:
    """Return as many parts as fit, at least the first; a letter takes about 7 pixels."""
    room = (width - 16) // 7
    while len(parts) > 1 and len(SEPARATOR.join(parts)) > room:
        parts = parts[:-1]
    return one_line(SEPARATOR.join(parts), room)


def _saved(figure: "Figure", format: Format, names: Names) -> bytes:
    if format == "svg":
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        lacking = {group: name for group, name in names.items() if plain(name) != name}
        return put_back(file.getvalue(), lacking).encode()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    canvas.draw()
    size = canvas.get_width_height(physical=True)
    drawn = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    return png.encode(drawn.convert("RGB"), dpi=SHARPNESS * DPI)
