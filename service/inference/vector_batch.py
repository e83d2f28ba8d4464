"""Brings rows of numbers into the form of a table: each column scaled as in the training set."""

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import Manifest
from service.domain.errors import BadImage
from service.inference.feature_scaling import scaled
from service.inference.image_normalization import Normalized
from service.inference.input_batch import Images, NormalizedBatch, Sample

Bytes = NDArray[np.uint8]


def vector_batch(manifest: Manifest, rows: Images) -> NormalizedBatch:
    """Scale all rows as those of the network's set were.

    Args:
        manifest: of the set on which the network was trained.
        rows: floats (n, columns), or for each row floats (columns,), a sample or an error.

    Raises:
        BadImage: the only row can't be read.

    """
    n = len(rows)
    if n == 1 and isinstance(only := rows[0], BadImage):
        raise only
    refused: dict[int, Normalized | BadImage] = {
        at: row for at, row in enumerate(rows) if isinstance(row, BadImage)
    }
    values = np.zeros((n, len(manifest.columns)))
    stored: dict[int, Bytes] = {}
    for at, row in enumerate(rows):
        if isinstance(row, Sample):
            stored[at] = row.pixels
        elif isinstance(row, np.ndarray):
            values[at] = row
    pixels, outside = scaled(values, manifest.columns)
    for at, levels in stored.items():
        pixels[at] = levels
    skipped = refused.keys() | stored.keys()
    names = [column.name for column in manifest.columns]
    clipped = {
        at: [names[column] for column in np.flatnonzero(outside[at])]
        for at in np.flatnonzero(outside.any(axis=1)).tolist()
        if at not in skipped
    }
    return NormalizedBatch(pixels, np.zeros((n, 4), int), refused, clipped=clipped)
