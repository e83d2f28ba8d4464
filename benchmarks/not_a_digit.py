"""How well the probability tells digits from what is none: letters, clothes, noise, blank paper.

Asks a running server and prints a table: python -m benchmarks.not_a_digit [URL] [MODEL]
"""

import gzip
import string
import sys
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mlp_client import Client
from mlp_core import read_idx
from service.inference.classification_metrics import roc_auc

Images = NDArray[np.uint8]

FACES = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "STIXGeneral",
    "cmtt10",
)
LIKE_DIGITS = set("OoIlSsZzBbqgiD")
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")


def letters(rng: np.random.Generator) -> Images:
    """Return letters that no digit looks like, in six typefaces, slightly turned."""
    made = []
    for face in FACES:
        font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{face}.ttf", 20)
        for letter in sorted(set(string.ascii_letters) - LIKE_DIGITS):
            for angle in rng.uniform(-12, 12, 5):
                picture = Image.new("L", (40, 40))
                ImageDraw.Draw(picture).text((20, 20), letter, 255, font, "mm")
                turned = picture.rotate(angle, Image.Resampling.BICUBIC)
                made.append(np.asarray(turned.crop((6, 6, 34, 34))))
    return np.stack(made)


def kinds() -> dict[str, Images]:
    """Return images that show no digit, by name."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 2, (1000, 7, 7), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    found = {
        "letters": letters(rng),
        "noise, pixel by pixel": rng.integers(0, 256, (1000, 28, 28), dtype=np.uint8),
        "noise, blocks of 4x4": coarse * 255,
        "blank": np.zeros((100, 28, 28), np.uint8),
    }
    if FASHION.exists():
        found["clothes (Fashion-MNIST)"] = read_idx(gzip.decompress(FASHION.read_bytes()))[:2000]
    return found


def main(url: str = "http://localhost:8000", ref: str = "latest") -> None:
    with Client(url) as client:
        digits = client.models.set_probabilities(ref).max(axis=1).astype(float)
        print(f"{'images':26}{'AUROC':>8}{'refused':>9}{'below 0.9':>11}{'below 0.5':>11}")
        print(_row("MNIST's test digits", digits, None, 0.0))
        for name, images in kinds().items():
            sure = client.models.probabilities(images, ref).max(axis=1).astype(float)
            refused = np.isnan(sure)
            scores = np.concatenate([digits, sure[~refused]])
            area = roc_auc(scores, np.arange(len(scores)) < len(digits))
            print(_row(name, sure[~refused], area, refused.mean()))


def _row(name: str, sure: NDArray[np.float64], area: float | None, refused: float) -> str:
    shares = "".join(
        f"{(sure < at).mean():>11.1%}" if len(sure) else f"{'-':>11}" for at in (0.9, 0.5)
    )
    return f"{name:26}{'-' if area is None else f'{area:.3f}':>8}{refused:>9.1%}{shares}"


if __name__ == "__main__":
    main(*sys.argv[1:])
