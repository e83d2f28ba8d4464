"""Curves show the given values, work with any job names, and always have the same bytes."""

import io
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from PIL import Image

from service.pictures import curves, palette
from service.pictures.curve_panels import smoothed
from service.pictures.palette import Theme

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "$x^2$ costs $5",
    "$\\frac{",
    '<script>alert(1)</script> & "quotes" ]]>',
    "_hidden",
    "数字 🙂 \u202e\ud800",
    "a\nb\x00c",
    "long " * 60,
    "",
    "train",
]

THEMES: tuple[Theme, Theme] = ("light", "dark")


def job(label: str = "mlp-relu", epochs: Any = 5) -> Any:
    numbers = range(1, epochs + 1)
    return curves.Series(
        label=label,
        epochs=list(numbers),
        train_loss=[1 / n for n in numbers],
        test_loss=[1.1 / n for n in numbers],
        train_accuracy=[1 - 0.1 / n for n in numbers],
        test_accuracy=[1 - 0.2 / n for n in numbers],
    )


def svg(series: Any, **options: Any) -> Any:
    return ElementTree.fromstring(curves.draw(series, format="svg", **options))


def texts(root: Any) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def line(root: Any, name: str) -> Any:
    """The points of one curve as (x, y) in the drawing's units, y downwards."""
    group = next(g for g in root.iter(f"{SVG}g") if g.get("id") == name)
    path = group.find(f"{SVG}path")
    numbers = re.findall(r"[ML] (\S+) (\S+)", path.get("d"))
    return [(float(x), float(y)) for x, y in numbers], path.get("style")


def test_png_has_two_pixels_for_each_css_pixel() -> None:
    picture = Image.open(io.BytesIO(curves.draw([job()], format="png", width=600, height=300)))
    assert (picture.format, picture.size) == ("PNG", (1200, 600))


def test_png_carries_neither_date_nor_program() -> None:
    picture = Image.open(io.BytesIO(curves.draw([job()], format="png")))
    assert set(picture.info) <= {"dpi"}


@pytest.mark.parametrize("format", ["png", "svg"])
def test_same_epochs_give_the_same_bytes(format: Literal["png", "svg"]) -> None:
    series = [job("a"), job("b", 3)]
    assert curves.draw(series, format=format) == curves.draw(series, format=format)


def test_each_job_has_four_lines_train_dashed_and_test_solid() -> None:
    root = svg([job("a"), job("b"), job("c")])
    names = [g.get("id") for g in root.iter(f"{SVG}g")]
    for k in (1, 2, 3):
        for quantity in ("loss", "accuracy"):
            assert names.count(f"{quantity}-train-{k}") == 1
            assert "dasharray" in line(root, f"{quantity}-train-{k}")[1]
            assert "dasharray" not in line(root, f"{quantity}-test-{k}")[1]


def test_a_line_passes_through_the_epochs_in_proportion() -> None:
    points, _ = line(svg([job(epochs=4)]), "loss-train-1")
    (x1, y1), (x2, y2), (x3, _), (x4, y4) = points
    assert x2 - x1 == pytest.approx(x3 - x2) == pytest.approx(x4 - x3)
    # Losses 1, 1/2 and 1/4: the drop from the first to the last is 3/2 of that to the second.
    assert (y4 - y1) / (y2 - y1) == pytest.approx(1.5, abs=1e-3)


def test_several_jobs_have_a_colour_each_and_a_single_job_has_two() -> None:
    three = {line(svg([job("a"), job("b"), job("c")]), f"loss-test-{k}")[1] for k in (1, 2, 3)}
    assert len(three) == 3
    alone = svg([job()])
    styles = [line(alone, f"loss-{part}-1")[1] for part in ("train", "test")]
    train, test = (re.findall("stroke: (#[0-9a-f]+)", style) for style in styles)
    assert train != test


def test_title_caption_and_legend_are_written_as_text() -> None:
    words = texts(
        svg([job("first"), job("second")], title="Two jobs", caption=("5 s", "batch size 64"))
    )
    for word in ("Two jobs", "5 s · batch size 64", "first", "second", "train", "test"):
        assert word in words


@pytest.mark.parametrize(
    ("width", "title", "caption"),
    [
        (1600, "t" * 64, "a" * 20 + " · " + "b" * 20 + " · " + "c" * 20),
        (400, "t" * 32 + "…", "a" * 20 + " · " + "b" * 20),
        (200, "t" * 15 + "…", "a" * 20),
    ],
)
def test_in_a_small_picture_caption_and_title_are_shortened(
    width: int, title: str, caption: str
) -> None:
    parts = [letter * 20 for letter in "abc"]
    words = texts(svg([job()], title="t" * 64, caption=parts, width=width))
    assert {title, caption} <= set(words)


def test_epochs_are_marked_by_whole_numbers() -> None:
    words = texts(svg([job(epochs=3)]))
    assert {"1", "2", "3"} <= set(words)
    assert "1.5" not in words


def test_axis_labels_are_where_matplotlib_would_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = curves.draw([job()])
    monkeypatch.setattr(Axis, "set_label_coords", lambda *args, **kwargs: None)
    assert curves.draw([job()]) == placed


def test_without_an_epoch_the_panels_say_so() -> None:
    for series in ([], [job(epochs=0)]):
        assert texts(svg(series)).count("no epoch finished yet") == 2


def test_one_epoch_is_visible_as_a_point() -> None:
    root = svg([job(epochs=1)])
    group = next(g for g in root.iter(f"{SVG}g") if g.get("id") == "loss-test-1")
    assert list(group.iter(f"{SVG}use"))


@pytest.mark.parametrize("format", ["png", "svg"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_a_diverged_loss_leaves_a_gap(format: Literal["png", "svg"], value: Any) -> None:
    series = curves.Series("x", [1, 2], [1.0, value], [value, value], [0.5, value], [0.5, 0.1])
    assert curves.draw([series], format=format)


@pytest.mark.parametrize("format", ["png", "svg"])
@pytest.mark.parametrize("label", HOSTILE)
def test_any_name_can_be_drawn(format: Literal["png", "svg"], label: str) -> None:
    data = curves.draw([job(label), job(label)], title=label, caption=[label], format=format)
    if format == "svg":
        assert {element.tag for element in ElementTree.fromstring(data).iter()}.isdisjoint(
            {f"{SVG}script", "script"}
        )


def test_dollars_and_underscores_reach_the_legend_unchanged() -> None:
    words = texts(svg([job("$x^2$ or $5"), job("_hidden")]))
    assert "$x^2$ or $5" in words
    assert "_hidden" in words


def test_a_long_name_is_shortened() -> None:
    words = texts(svg([job("n" * 300), job("b")]))
    assert max(len(word) for word in words) < 40
    assert any(word.startswith("nnn") and word.endswith("…") for word in words)


def test_the_dark_theme_has_a_dark_background() -> None:
    light, dark = (
        np.asarray(Image.open(io.BytesIO(curves.draw([job()], theme=theme))).convert("L"))
        for theme in THEMES
    )
    assert light[1, 1] > 240
    assert dark[1, 1] < 40


@pytest.mark.parametrize(("width", "height"), [(200, 120), (3000, 300), (240, 2000)])
def test_odd_sizes_can_be_drawn(width: int, height: int) -> None:
    many = [job(f"a rather long name {k}") for k in range(12)]
    assert curves.draw(many, width=width, height=height)


def test_matplotlib_is_not_loaded_before_the_first_curve_and_pyplot_never() -> None:
    code = (
        "import sys; from service.pictures import curves; assert 'matplotlib' not in sys.modules;"
        "curves.draw([]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def noisy(epochs: Any = 10_000) -> Any:
    values = np.random.default_rng(0).random(epochs)
    values[777], values[4242] = -3, 5
    return curves.Series("noisy", range(1, epochs + 1), *[values] * 4)


@pytest.mark.parametrize("width", [200, 1000])
def test_a_long_curve_has_two_points_a_column_and_keeps_its_extremes(width: int) -> None:
    points, _ = line(svg([noisy()], width=width), "loss-test-1")
    assert len(points) <= width + 2
    heights = sorted(y for _, y in points)
    # All other values are between 0 and 1, so these two are 8 apart and the next at most 1.
    assert heights[-1] - heights[0] == pytest.approx(8 * (heights[-2] - heights[1]), rel=0.02)
    across = [x for x, _ in points]
    assert across == sorted(across)


def test_many_jobs_in_a_large_picture_have_fewer_points() -> None:
    alone, _ = line(svg([noisy()], width=2000, height=1500), "loss-test-1")
    shared, _ = line(svg([noisy()] * 16, width=2000, height=1500), "loss-test-16")
    assert len(shared) < len(alone) / 4


# --- Scales, error, and moving averages ---


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors() -> None:
    points, _ = line(svg([job(epochs=8)], scale="log"), "loss-train-1")
    heights = [points[number - 1][1] for number in (1, 2, 4, 8)]  # losses 1, 1/2, 1/4, 1/8
    steps = np.diff(heights)
    assert steps == pytest.approx(steps[0], rel=1e-3)


def test_an_axis_within_one_decade_still_has_several_ticks() -> None:
    words = texts(svg([job(epochs=5)], scale="log"))
    assert {"0.2", "0.3", "0.5", "0.7", "1"} <= set(words)


def test_the_error_is_what_is_missing_to_all() -> None:
    accuracy, _ = line(svg([job()]), "accuracy-test-1")
    root = svg([job()], quantity="error")
    error, _ = line(root, "accuracy-test-1")
    assert "Error (%)" in texts(root)
    assert "Accuracy (%)" not in texts(root)
    (low, high), (first, last) = ((y[0][1], y[-1][1]) for y in (accuracy, error))
    assert low - high == pytest.approx(last - first, rel=0.02)


def test_an_error_of_zero_leaves_a_gap_on_a_logarithmic_axis() -> None:
    perfect = curves.Series("x", [1, 2, 3], [1, 0, 1], [1, 1, 1], [0.5, 1, 0.9], [1, 1, 1])
    for format in ("png", "svg"):
        assert curves.draw([perfect], scale="log", quantity="error", format=format)


def test_a_moving_average_is_drawn_and_said() -> None:
    losses, accuracies = [1.0, 3.0] * 4, [0.5] * 8
    jagged = curves.Series("x", list(range(1, 9)), losses, losses, accuracies, accuracies)
    raw, _ = line(svg([jagged]), "loss-test-1")
    root = svg([jagged], smooth=0.5)
    smooth, _ = line(root, "loss-test-1")
    assert "moving average with weight 0.5" in texts(root)
    # They are 1, (0.5 * 3 + 0.25) / 0.75 = 7/3, and (0.5 + 0.25 * 3 + 0.125) / 0.875 = 11/7.
    average = [1.0, 7 / 3, 11 / 7]
    heights = [y for _, y in smooth[:3]]
    steps = (heights[1] - heights[0]) / (heights[2] - heights[1])
    assert steps == pytest.approx((average[1] - average[0]) / (average[2] - average[1]), rel=1e-3)
    assert len(smooth) == len(raw)


def test_gaps_stay_gaps_in_a_moving_average() -> None:
    found = smoothed(np.array([1.0, math.nan, 3.0]), 0.5)
    assert found[[0, 2]].tolist() == pytest.approx([1.0, 7 / 3])
    assert math.isnan(found[1])


# --- Many jobs ---


def test_sixteen_jobs_differ_in_colour_or_marker() -> None:
    root = svg([job(str(k), 30) for k in range(16)])
    looks = set()
    for k in range(1, 17):
        group = next(g for g in root.iter(f"{SVG}g") if g.get("id") == f"loss-test-{k}")
        colour = re.findall("stroke: (#[0-9a-f]+)", group.find(f"{SVG}path").get("style"))[0]
        marker = [use.get("{http://www.w3.org/1999/xlink}href") for use in group.iter(f"{SVG}use")][
            :1
        ]
        looks.add((colour, *marker))
    assert len(looks) == 16


def contrast(one: Any, other: Any) -> Any:
    """The contrast of two colours, as WCAG 2.2 defines it."""

    def luminance(colour: Any) -> Any:
        parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_every_line_stands_out_from_its_paper(theme: Theme) -> None:
    paper = palette.as_hex(palette.PAPER[theme])
    assert len(set(palette.LINES[theme])) == 6
    assert min(contrast(colour, paper) for colour in palette.LINES[theme]) >= 3


# --- Failures ---


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_the_picture_of_a_failed_job_says_why(epochs: int) -> None:
    failed = replace(job(epochs=epochs), failure="Failed: the loss is not finite.")
    root = svg([failed], title="x")
    words = texts(root)
    assert "Failed: the loss is not finite." in words
    assert words.count("It ended before its first epoch.") == (2 if epochs == 0 else 0)
    if epochs:
        group = next(g for g in root.iter(f"{SVG}g") if g.get("id") == "loss-test-1")
        assert len(list(group.iter(f"{SVG}use"))) == 1


def test_a_failed_job_among_others_is_marked_in_the_legend() -> None:
    words = texts(svg([job("good"), replace(job("bad"), failure="why")]))
    assert {"good", "bad (failed)"} <= set(words)


def test_results_are_written_below_the_title() -> None:
    words = texts(svg([job()], title="x", results=["784-128-10 relu", "test accuracy 97.94%"]))
    assert words.index("784-128-10 relu · test accuracy 97.94%") > words.index("x")


# --- Names in other scripts ---


def test_any_name_stays_readable_in_an_svg() -> None:
    names = ["数字", "한국어 🙂", "тест <&>", "مرحبا"]
    words = texts(svg([job(name) for name in names], title="数字 1"))
    assert {*names, "数字 1"} <= set(words)


def test_a_png_says_that_its_font_lacks_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = Figure.text

    def note(self: Any, x: float, y: float, s: str, **options: Any) -> Any:
        written.append(s)
        return write(self, x, y, s, **options)

    monkeypatch.setattr(Figure, "text", note)
    curves.draw([job()], title="数字 1")
    assert "□□ 1" in written
    assert any("font lacks" in text for text in written)
    written.clear()
    curves.draw([job()], title="тест 1")
    assert "тест 1" in written
    assert not any("font lacks" in text for text in written)
