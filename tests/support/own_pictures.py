"""Folders of pictures as readers of the guides have them: letters, and photographs of digits."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.support.drawn_digits import mnist, mnist_labels

LETTERS = "ABC"


def write_letters(folder: Path, each: int = 60) -> None:
    """Draw letters in black on white, 32x32, none of them like another one."""
    random = np.random.default_rng(7)
    for letter in LETTERS:
        (folder / letter).mkdir(parents=True)
        for number in range(1, each + 1):
            picture = Image.new("L", (32, 32), 255)
            left, top = (float(at) for at in random.uniform(8, 10.5, 2))
            size = int(random.integers(17, 21))
            ImageDraw.Draw(picture).text((left, top), letter, fill=number, font_size=size)
            picture.save(folder / letter / f"{number}.png")


def write_photos(folder: Path, each: int = 12) -> None:
    """Write test digits of MNIST as if they were photographed: 300x400, grey ink, shaded paper."""
    images, labels = mnist("t10k"), mnist_labels("t10k")
    shade = np.linspace(215, 150, 400)[:, None] * np.linspace(1, 0.9, 300)[None, :]
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
        for row in np.flatnonzero(labels == digit)[:each]:
            ink = np.zeros((400, 300))
            large = Image.fromarray(images[row]).resize((140, 140), Image.Resampling.BICUBIC)
            ink[120:260, 80:220] = np.asarray(large) / 255
            photo = (shade * (1 - 0.8 * ink)).astype(np.uint8)
            Image.fromarray(photo).convert("RGB").save(folder / str(digit) / f"{row}.jpg")
