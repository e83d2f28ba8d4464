"""The colours of all pictures: RdBu for weights, a light and a dark theme, colours for lines."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Theme = Literal["light", "dark"]
Rgb = tuple[int, int, int]

# ColorBrewer's 11-class RdBu, the anchors of matplotlib's "RdBu": low is red, high is blue.
_ANCHORS = "67001f b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac 053061"
_CHANNELS = np.array([tuple(bytes.fromhex(colour)) for colour in _ANCHORS.split()]).T
_INTERPOLATED = [np.interp(np.linspace(0, 10, 256), np.arange(11), each) for each in _CHANNELS]
RDBU: NDArray[np.uint8] = np.stack(_INTERPOLATED, axis=1).round().astype(np.uint8)
"""(256, 3): red for the lowest weight, white for 0 in the middle, blue for the highest."""
NOT_FINITE = 128
"""The grey of a weight that is not finite."""

PAPER: dict[Theme, Rgb] = {"light": (255, 255, 255), "dark": (22, 27, 34)}
TEXT: dict[Theme, Rgb] = {"light": (31, 35, 40), "dark": (230, 237, 243)}
MUTED: dict[Theme, Rgb] = {"light": (101, 109, 118), "dark": (145, 152, 161)}
RULES: dict[Theme, Rgb] = {"light": (223, 227, 232), "dark": (48, 54, 61)}

BAD: dict[Theme, Rgb] = {"light": (179, 38, 30), "dark": (255, 144, 134)}
"""The colour of words that say what went wrong."""

# Searched for these papers: each has a contrast of 3 : 1 or more, and people who confuse red and
# green, or blue and yellow, can tell them apart. From the seventh line on, markers help.
LINES: dict[Theme, tuple[str, ...]] = {
    "light": ("#206bb4", "#b5720a", "#8f3f6b", "#1f9d88", "#0b2a86", "#4f2f17"),
    "dark": ("#45bcfa", "#fdc85e", "#c25fa6", "#9df9e8", "#7f8a00", "#c9988a"),
}


def as_hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
