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

# Okabe and Ito's colours, which colour-blind people can tell apart. Each theme leaves out the one
# too close to its paper and begins with a pair that stands out on it.
LINES: dict[Theme, tuple[str, ...]] = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c8c8c"),
    "dark": ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#8c8c8c"),
}


def as_hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
