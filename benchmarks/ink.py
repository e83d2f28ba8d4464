"""How many digits are misread because their ink was not found: strokes, margins and colours.

The peer is a plain normaliser that is told where the ink is: box, fit into 20x20, centre of mass.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks import drawn
from benchmarks.report import Figure, figure
from benchmarks.strokes import Hand
from benchmarks.styles import encoded, pen
from mlp_core import Network, predict_probabilities, scaled
from service.domain.errors import BadImage
from service.inference import image_decoding, image_normalization
from tests.support.drawn_digits import mnist, mnist_labels
from tests.support.ink_masks import (
    Mask,
    Pixels,
    broadened,
    painted,
    placed,
    plainly_normalized,
    transparent,
    trimmed,
)

COUNT, SEED, SIDE = 1000, 15, 280
WIDTHS = (0.04, 0.08, 0.14, 0.22)
MARGINS = (0.0, 0.1, 0.25, 0.4)
LEAST_ROOM = 2.5
"""A digit needs room for this many strokes side by side."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
Look = Callable[[Mask], Pixels]
LOOKS: dict[str, Look] = {
    "dark on light": partial(painted, ink=BLACK, paper=WHITE),
    "light on dark": partial(painted, ink=WHITE, paper=BLACK),
    "transparent": partial(transparent, ink=BLACK),
    "transparent, white, half opaque": partial(transparent, ink=WHITE, opacity=0.5),
}
COLOURS = {
    "red on green": ((255, 0, 0), (0, 128, 0)),
    "magenta on grey": ((255, 0, 255), (105, 105, 105)),
    "blue on red": ((0, 0, 255), (128, 0, 0)),
    "yellow on white": ((255, 255, 0), (255, 255, 255)),
    "navy on black": ((0, 0, 128), (0, 0, 0)),
    "orange on sky blue": ((255, 165, 0), (135, 206, 235)),
}
Contenders = Mapping[str, Network]


def written(width: float, margin: float, side: int = SIDE) -> Iterator[Mask]:
    """Draw the strokes of benchmarks/strokes.py with a round pen."""
    for index in range(COUNT):
        rng = np.random.default_rng([SEED, index])
        strokes = Hand.random(rng).write(index % 10, rng)
        points = np.concatenate(strokes)
        extent = np.ptp(points, axis=0)
        scale = side * (1 - 2 * margin - width) / max(extent)
        corner = (side - scale * extent) / 2 - scale * points.min(axis=0)
        yield pen([scale * stroke + corner for stroke in strokes], (side, side), width * side)


def enlarged(width: float, margin: float, side: int = SIDE) -> Iterator[Mask]:
    """Enlarge MNIST's test digits and give their strokes a width."""
    for digit in mnist("t10k")[:COUNT]:
        yield placed(broadened(digit, width / (1 - 2 * margin)), side, margin)


SOURCES = {
    "written": (written, np.arange(COUNT) % 10),
    "MNIST enlarged": (enlarged, mnist_labels("t10k")[:COUNT]),
}


def seen(picture: Pixels) -> Pixels:
    """Return what a network gets to see; a picture that is refused stays blank."""
    try:
        return image_normalization.normalize(image_decoding.decode(encoded(picture))).pixels
    except BadImage:
        return np.zeros((28, 28), np.uint8)


def wrong(network: Network, pictures: Sequence[Pixels], labels: NDArray[np.integer]) -> float:
    """Return the percentage of pictures that a network reads wrongly."""
    pixels = np.stack(pictures)
    answers = predict_probabilities(network, scaled(pixels.reshape(len(pixels), -1))).argmax(axis=1)
    return 100 * float((~((answers == labels) & pixels.any(axis=(1, 2)))).mean())


def compared(
    what: str, networks: Contenders, masks: Iterable[Mask], labels: NDArray[np.integer], look: Look
) -> Figure:
    """Return by how many points of percent more digits are misread than by the plain normaliser."""
    # One mask at a time: a thousand of the largest would take 16 GB.
    plain, ours = zip(
        *((plainly_normalized(mask), seen(look(mask))) for mask in masks), strict=True
    )
    both = {
        name: (wrong(network, ours, labels), wrong(network, plain, labels))
        for name, network in networks.items()
    }
    note = "; ".join(f"{name} {mine:.3g}% to {peer:.3g}%" for name, (mine, peer) in both.items())
    more = max(mine - peer for mine, peer in both.values())
    return figure(what, more, "%", at_most=1, note=note)


def matrix(networks: Contenders) -> Iterator[Figure]:
    for source, (draw, labels) in SOURCES.items():
        for width in WIDTHS:
            for margin in (margin for margin in MARGINS if 1 - 2 * margin >= LEAST_ROOM * width):
                masks = list(draw(width, margin))
                for look, paint in LOOKS.items():
                    what = f"{source}: strokes {width:.0%}, margin {margin:.0%}, {look}"
                    yield compared(what, networks, masks, labels, paint)
            cut = [trimmed(mask) for mask in draw(width, 0.0)]
            for look, paint in LOOKS.items():
                what = f"{source}: strokes {width:.0%}, trimmed, {look}"
                yield compared(what, networks, cut, labels, paint)


def colours(networks: Contenders) -> Iterator[Figure]:
    masks, labels = list(written(0.1, 0.15)), SOURCES["written"][1]
    for name, (ink, paper) in COLOURS.items():
        yield compared(name, networks, masks, labels, partial(painted, ink=ink, paper=paper))


def measure(contenders: Contenders | None = None) -> list[Figure]:
    networks = contenders or drawn.compared()
    return [*colours(networks), *matrix(networks)]
