"""Small data sets as people send them, made in memory, and a place for them of their own."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
CLASSES = ("bar", "cross", "dot")


def pictures(seed: int, rows: int, side: int = 12) -> tuple[Bytes, Bytes]:
    """Return noisy pictures of three shapes, white on black, and their labels in turn."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (rows, side, side), dtype=np.uint8)
    labels = (np.arange(rows) % 3).astype(np.uint8)
    middle = side // 2
    images[labels == 0, :, middle] = 255
    images[labels == 1, middle, :] = 255
    images[labels == 1, :, middle] = 255
    images[labels == 2, middle - 1 : middle + 2, middle - 1 : middle + 2] = 255
    return images, labels


def npz(seed: int = 1, train: int = 120, test: int = 30) -> bytes:
    """Return an npz file with a given split and the names of the classes."""
    (x_train, y_train), (x_test, y_test) = pictures(seed, train), pictures(seed + 1000, test)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays, classes=np.array(CLASSES))
    return file.getvalue()


def idx(array: Bytes) -> bytes:
    """Return a packed IDX file."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


def idx_files(seed: int = 1) -> list[tuple[str, bytes]]:
    """Return the four files of MNIST's form, with their names."""
    files = []
    for word, images, labels in (
        ("train", *pictures(seed, 120)),
        ("t10k", *pictures(seed + 1000, 30)),
    ):
        files.append((f"{word}-images-idx3-ubyte.gz", idx(images)))
        files.append((f"{word}-labels-idx1-ubyte.gz", idx(labels)))
    return files


def folders(seed: int = 1, rows: int = 60) -> bytes:
    """Return a zip file of PNGs in a folder for each class."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, (image, label) in enumerate(zip(*pictures(seed, rows), strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            name = f"shapes/{CLASSES[label]}/{index:03}.png"
            archive.writestr(zipfile.ZipInfo(name), png.getvalue())
    return file.getvalue()


def with_shipped(folder: Path, datasets_dir: Path) -> Path:
    """Create a directory of data sets that has the unpacked MNIST of another one."""
    folder.mkdir()
    for unpacked in datasets_dir.glob("sha256-*"):
        (folder / unpacked.name).symlink_to(unpacked)
    return folder
