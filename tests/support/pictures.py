"""Reads the pictures that the service answers with."""

import io
import re
from html import unescape

import numpy as np
from PIL import Image


def picture(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def texts(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/svg+xml"
    return [unescape(found) for found in re.findall(r"<text[^>]*>([^<]*)</text>", answer.text)]


def split_of(datasets_dir, name):
    [images] = datasets_dir.glob(f"mnist-*/{name}-images-idx3-ubyte.npy")
    [labels] = datasets_dir.glob(f"mnist-*/{name}-labels-idx1-ubyte.npy")
    return np.load(images).reshape(-1, 28, 28), np.load(labels)
