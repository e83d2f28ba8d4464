"""The colours of curves: the same on the page and in pictures, and strong enough to be seen."""

import re

from service.pictures.palette import LINES
from tests.support.documents import ROOT

PAGE = re.findall(
    r"--c[1-6]: light-dark\((#\w+), (#\w+)\)", (ROOT / "service/web/style.css").read_text()
)
GROUNDS = {"light": "#ffffff", "dark": "#171a1d"}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_page_and_the_pictures_have_the_same_colours() -> None:
    assert {
        "light": tuple(light for light, _ in PAGE),
        "dark": tuple(dark for _, dark in PAGE),
    } == LINES


def test_every_curve_stands_out_from_its_ground() -> None:
    assert len(PAGE) == 6
    for light, dark in PAGE:
        assert contrast(light, GROUNDS["light"]) >= 3
        assert contrast(dark, GROUNDS["dark"]) >= 3
