"""MNIST, which is part of the package: its description, and its arrays out of the packed files."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlp_core import read_idx
from service.domain.dataset_manifest import InputForm, Manifest
from service.domain.errors import StoreBroken


@dataclass(frozen=True)
class PackedFile:
    """A file of the package, compressed by gzip, and the digest of what is in it."""

    name: str
    sha256: str


NAME = "mnist"
MANIFEST = Manifest(
    sha256="f992c9837bf99e29d7ce66f1e4127105534dae2a2ae422a7dac56d6e34c434f4",
    shape=(28, 28),
    classes=tuple(str(digit) for digit in range(10)),
    class_counts={
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    },
    input=InputForm.DIGIT,
)
DESCRIPTION = "Handwritten digits, white on black, 28x28 grey pixels."
LICENSE = "CC BY-SA 3.0"
ATTRIBUTION = (
    "Yann LeCun and Corinna Cortes hold the copyright of MNIST, "
    "which is derived from the original NIST data sets."
)
PACKED = Path(__file__).parent / "mnist"
FILES = {
    "train.images": PackedFile(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train.labels": PackedFile(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test.images": PackedFile(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test.labels": PackedFile(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
"""The packed files, by the names of their arrays."""


def unpacked(name: str) -> np.ndarray:
    """Return an array out of its packed file: images uint8 (n, 784), or labels uint8 (n,).

    Raises:
        StoreBroken: the package is damaged.

    """
    file = FILES[name]
    data = gzip.decompress((PACKED / f"{file.name}.gz").read_bytes())
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise StoreBroken(
            f"the file {file.name}.gz of the data set {NAME} is damaged; install the package again"
        )
    array = read_idx(data)
    return array.reshape(len(array), -1) if array.ndim > 1 else array
