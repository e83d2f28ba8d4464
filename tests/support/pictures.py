"""Reads the pictures that the service answers with."""

import io
import re
from html import unescape
from pathlib import Path

import numpy as np
from httpx2 import Response
from numpy.typing import NDArray
from PIL import Image

from tests.support.shipped_files import shipped_file


def picture(answer: Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def texts(answer: Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/svg+xml"
    return [unescape(found) for found in re.findall(r"<text[^>]*>([^<]*)</text>", answer.text)]


def split_of(datasets_dir: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = shipped_file(datasets_dir, f"{name}.images")
    labels = shipped_file(datasets_dir, f"{name}.labels")
    return np.load(images).reshape(-1, 28, 28), np.load(labels)
