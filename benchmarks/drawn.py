"""How many digits a network reads that were drawn or photographed in other styles than MNIST's."""

import functools
import io
import itertools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks import networks
from benchmarks.report import ROOT, Figure, figure
from benchmarks.strokes import Hand
from benchmarks.styles import STYLES
from mlp_client.job_spec import PresetName
from mlp_core import Network, predict_probabilities, scaled
from service.domain.errors import BadImage
from service.inference import image_decoding, image_normalization
from service.inference.grey_levels import Grey

SHEET = ROOT / "docs" / "drawn.png"
COMPARED = ("mlp-relu", "mlp-augmented")
SEED, WRITERS = 28, 20
REFUSED = -1
TILE = 48


@dataclass(frozen=True)
class Read:
    """The pictures of a style as the service passes them to a network."""

    X: NDArray[np.float32]
    """(n, 784)."""
    labels: NDArray[np.int64]
    """What was written; REFUSED where the service finds no digit."""


def files(style: str, writers: int = WRITERS) -> Iterator[tuple[int, bytes]]:
    """Yield the label and file of each digit of each writer; every style has writers of its own."""
    for writer in range(writers):
        rng = np.random.default_rng([SEED, list(STYLES).index(style), writer])
        hand = Hand.random(rng)
        for digit in range(10):
            yield digit, STYLES[style](hand.write(digit, rng), rng)


@functools.cache
def read(style: str) -> Read:
    """Process each file as `POST /v1/models/{ref}/predict` does, up to the network."""
    seen = [_seen(label, file) for label, file in files(style)]
    pixels = np.stack([image for _, image in seen])
    return Read(scaled(pixels.reshape(len(seen), -1)), np.array([label for label, _ in seen]))


def _seen(label: int, file: bytes) -> tuple[int, Grey]:
    try:
        return label, image_normalization.normalize(image_decoding.decode(file)).pixels
    except BadImage:
        return REFUSED, np.zeros((28, 28), np.uint8)


def score(network: Network) -> dict[str, float]:
    """Return the share of each style's pictures that a network classifies correctly."""
    shares = {}
    for style in STYLES:
        pictures = read(style)
        answers = predict_probabilities(network, pictures.X).argmax(axis=1)
        shares[style] = float((answers == pictures.labels).mean())
    return shares


def compared() -> dict[str, Network]:
    presets = typing.get_args(PresetName)
    return {name: networks.trained(name) for name in COMPARED if name in presets}


def measure(contenders: Mapping[str, Network] | None = None) -> list[Figure]:
    contact_sheet()
    scores = {name: score(network) for name, network in (contenders or compared()).items()}
    figures = []
    for name, shares in scores.items():
        wrong = 100 * (1 - float(np.mean(list(shares.values()))))
        figures.append(figure(f"{name}: all styles, read wrongly", wrong, "%"))
    for style in STYLES:
        wrong = {name: 100 * (1 - shares[style]) for name, shares in scores.items()}
        *others, last = wrong
        beside = ", ".join(f"{name} {wrong[name]:.3g}%" for name in others)
        figures.append(figure(f"{last}: {style}, read wrongly", wrong[last], "%", note=beside))
    refused = sum(int((read(style).labels == REFUSED).sum()) for style in STYLES)
    total = sum(len(read(style).labels) for style in STYLES)
    figures.append(figure("refused as blank", 100 * refused / total, "%", note=f"of {total:,}"))
    return figures


# --- The contact sheet ----------------------------------------------------------------------------


def contact_sheet() -> None:
    """Write docs/drawn.png, with all digits of two writers in a row for each style."""
    columns, left = 10, 196
    sheet = Image.new("RGB", (left + 2 * columns * TILE, len(STYLES) * TILE), (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, style in enumerate(STYLES):
        draw.text((6, (row + 0.5) * TILE), style, (31, 35, 40), font, "lm")
        for column, (_, file) in enumerate(itertools.islice(files(style, 2), 2 * columns)):
            sheet.paste(_tile(file), (left + column * TILE, row * TILE))
    sheet.quantize(256, Image.Quantize.MAXCOVERAGE).save(SHEET, "PNG", optimize=True)


def _tile(file: bytes) -> Image.Image:
    """Return a picture in a thin frame, centred in a square, with white under transparency."""
    picture = Image.open(io.BytesIO(file)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255)), picture)
    square = Image.new("RGB", (TILE, TILE), (255, 255, 255))
    side = TILE - 4
    picture.thumbnail((side, side))
    left, top = (TILE - picture.width) // 2, (TILE - picture.height) // 2
    square.paste(picture, (left, top))
    frame = (left - 1, top - 1, left + picture.width, top + picture.height)
    ImageDraw.Draw(square).rectangle(frame, outline=(208, 213, 219))
    return square
