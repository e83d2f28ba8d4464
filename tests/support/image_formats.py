"""Writes a set of images in the formats in which people have them."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class SplitImages:
    """The images of one split, uint8 (n, h, w), and their labels, uint8 (n,)."""

    name: str
    images: Pixels
    labels: Pixels


Splits = tuple[SplitImages, SplitImages]
IDX_NAMES = {"train": "train", "test": "t10k"}


def idx(folder: Path, splits: Splits) -> list[Path]:
    return [
        _written(folder / f"{IDX_NAMES[split.name]}-{role}", _idx(array))
        for split in splits
        for role, array in (
            ("images-idx3-ubyte", split.images),
            ("labels-idx1-ubyte", split.labels),
        )
    ]


def idx_gz(folder: Path, splits: Splits) -> list[Path]:
    return [
        _written(path.with_name(f"{path.name}.gz"), gzip.compress(path.read_bytes(), 1))
        for path in idx(folder, splits)
    ]


def npz(folder: Path, splits: Splits) -> list[Path]:
    train, test = splits
    path = folder / "data.npz"
    np.savez(
        path,
        x_train=train.images,
        y_train=train.labels.astype(np.int64),
        x_test=test.images,
        y_test=test.labels.astype(np.int64),
    )
    return [path]


def fractions(folder: Path, splits: Splits) -> list[Path]:
    """Write images as float32 from 0 to 1 and labels as one-hot rows, as they are trained on."""
    train, test = splits
    path = folder / "fractions.npz"
    np.savez(
        path,
        X_train=train.images[..., None] / np.float32(255),
        y_train=np.eye(10, dtype=np.float32)[train.labels],
        X_test=test.images[..., None] / np.float32(255),
        y_test=np.eye(10, dtype=np.float32)[test.labels],
    )
    return [path]


def tables(folder: Path, splits: Splits) -> list[Path]:
    paths = []
    for split in splits:
        path = folder / f"{split.name}.csv"
        pixels = split.images[0].size
        rows = np.column_stack((split.labels, split.images.reshape(-1, pixels)))
        header = ",".join(["label", *(f"pixel{number}" for number in range(pixels))])
        with path.open("w") as file:
            file.write(header + "\n")
            file.writelines(",".join(map(str, row)) + "\n" for row in rows.tolist())
        paths.append(path)
    return paths


def json_lines(folder: Path, splits: Splits) -> list[Path]:
    paths = []
    for split in splits:
        path = folder / f"{split.name}.jsonl"
        with path.open("w") as file:
            for image, label in zip(split.images, split.labels.tolist(), strict=True):
                file.write(json.dumps({"image": image.tolist(), "label": label}) + "\n")
        paths.append(path)
    return paths


def class_folders(folder: Path, splits: Splits) -> list[Path]:
    path = folder / "folders.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, label, split, data in _pictures(splits):
            archive.writestr(f"mnist_png/{split}/{label}/{name}", data)
    return [path]


def index_and_pictures(folder: Path, splits: Splits) -> list[Path]:
    path = folder / "indexed.tar.gz"
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("file", "label", "split"))
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, label, split, data in _pictures(splits):
            rows.writerow((f"images/{split}-{name}", label, split))
            _add(archive, f"images/{split}-{name}", data)
        _add(archive, "index.csv", table.getvalue().encode())
    return [path]


FORMATS: dict[str, Callable[[Path, Splits], list[Path]]] = {
    "IDX": idx,
    "IDX, packed with gzip": idx_gz,
    "npz of bytes": npz,
    "npz of fractions and one-hot labels": fractions,
    "CSV": tables,
    "JSON lines": json_lines,
    "a zip file of PNGs in class folders": class_folders,
    "a tar.gz of PNGs with a table": index_and_pictures,
}


def _pictures(splits: Splits) -> Iterator[tuple[str, int, str, bytes]]:
    """Yield name, label, split and bytes of all images as PNGs, numbered through each split."""
    for split in splits:
        for number, (image, label) in enumerate(
            zip(split.images, split.labels.tolist(), strict=True)
        ):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG", compress_level=1)
            yield f"{number}.png", label, split.name, buffer.getvalue()


def _idx(array: Pixels) -> bytes:
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.tobytes()


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
