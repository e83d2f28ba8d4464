"""Writes tables of images in the layouts that people use, and reads them."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Flaw, Unusable
from service.ingest.source import Source
from service.ingest.tables.table_files import read
from tests.support.ingest_files import Images, read_rows, uploaded

SIDE = 9
"""Width and height of the images, large enough for their numbers to be taken for pixels."""
Table = list[list[str]]


def table_images() -> Images:
    """Return 24 images of 9x9 pixels with all levels up to 255, in three classes."""
    pixels = np.random.default_rng(5).integers(0, 256, (24, SIDE, SIDE), np.uint8)
    return Images(pixels, np.arange(24, dtype=np.uint8) * 7 % 3)


def cells(images: Images) -> Table:
    """Return a table with the label first and without names."""
    rows = images.pixels.reshape(len(images), -1).tolist()
    return [
        [str(label), *map(str, row)]
        for label, row in zip(images.labels.tolist(), rows, strict=True)
    ]


def names() -> list[str]:
    return ["label", *(f"pixel{number}" for number in range(SIDE * SIDE))]


def written(table: Table, separator: str = ",", is_quoted: bool = False) -> str:
    buffer = io.StringIO()
    rows = csv.writer(
        buffer,
        delimiter=separator,
        quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL,
        lineterminator="\n",
    )
    rows.writerows(table)
    return buffer.getvalue()


def source_of(*paths: Path, options: IngestOptions | None = None) -> Source:
    return read(uploaded(*paths), options or IngestOptions(), Limits())


def refusal(
    *paths: Path, options: IngestOptions | None = None, limits: Limits | None = None
) -> tuple[Flaw, ...]:
    with pytest.raises(Unusable) as caught:
        read_rows(read, *paths, options=options, limits=limits)
    return caught.value.flaws


def is_read(path: Path, images: Images, options: IngestOptions | None = None) -> bool:
    """Return whether a table is read as these images with these labels."""
    rows = read_rows(read, path, options=options)
    same = (rows.images[..., 0] == images.pixels).all()
    return bool(same) and rows.labels == [str(label) for label in images.labels]
