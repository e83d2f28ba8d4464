"""How many digits of few pixels are read, how many blurred ones, and pictures of any size."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks import drawn
from benchmarks.ink import COUNT, LOOKS, SOURCES, Contenders, compared, enlarged, seen, wrong
from benchmarks.report import Figure, figure
from tests.support.drawn_digits import mnist, mnist_labels
from tests.support.ink_masks import Pixels

SIZES = (20, 28, 64, 1000, 2000)
COARSE, LARGE = (8, 8), (96, 96)
ENLARGED = {
    "as they are": None,
    "enlarged, bicubic": Image.Resampling.BICUBIC,
    "enlarged, bilinear": Image.Resampling.BILINEAR,
    "enlarged, nearest": Image.Resampling.NEAREST,
}
LEAST = {"mlp-relu": 96.0, "mlp-augmented": 97.5}


def coarse(networks: Contenders) -> Iterator[Figure]:
    """Measure MNIST's test digits, 20x20 counted down to 8x8, also enlarged to 96x96."""
    labels = mnist_labels("t10k")[:COUNT]
    small = [_counted_down(digit) for digit in mnist("t10k")[:COUNT]]
    for what, how in ENLARGED.items():
        given = small if how is None else [image.resize(LARGE, how) for image in small]
        pictures = [seen(np.asarray(image)) for image in given]
        for name, network in networks.items():
            right = 100 - wrong(network, pictures, labels)
            yield figure(f"8x8 {what}: {name}, read rightly", right, "%", at_least=LEAST[name])


def _counted_down(digit: Pixels) -> Image.Image:
    image = Image.fromarray(digit)
    ink = image.crop(image.getbbox())
    box = Image.new("L", (20, 20))
    box.paste(ink, ((20 - ink.width) // 2, (20 - ink.height) // 2))
    return box.resize(COARSE, Image.Resampling.BOX)


def sizes(networks: Contenders) -> Iterator[Figure]:
    labels = SOURCES["MNIST enlarged"][1]
    for side in SIZES:
        masks = enlarged(0.1, 0.1, side)
        yield compared(f"{side}x{side}", networks, masks, labels, LOOKS["dark on light"])


def measure(contenders: Contenders | None = None) -> list[Figure]:
    networks = contenders or drawn.compared()
    return [*coarse(networks), *sizes(networks)]
