"""Reads labelled images from arrays: IDX, npy and npz files, one or several together."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.array_files import StoredArray, array_in, arrays_in
from service.ingest.arrays.array_pairs import Pair, Pairs, pairs_of
from service.ingest.arrays.label_arrays import labels_of
from service.ingest.arrays.pixel_arrays import (
    Scale,
    ValueRange,
    as_images,
    image_shape,
    range_of,
    scale_of,
)
from service.ingest.arrays.pixel_scale import asked_scale
from service.ingest.file_kind import HEAD_BYTES, FileKind, kind_of
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable
from service.ingest.row_origins import origin_of
from service.ingest.source import Block, Doubt, Source, UploadedFile, unlabelled
from service.ingest.split_words import split_in, words_of

MOST_COLUMNS = 65_536
ONE_CLASS_EACH = 256
Rows = Callable[[Pair, NDArray[Any], int], tuple[NDArray[np.uint8], NDArray[np.float64] | None]]
"""Returns the images and the values of a piece of a pair, which begins at a row of the pair."""


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return the images and labels of some files of arrays, with splits from their names.

    Raises:
        Unusable: they are damaged, are no images and labels, or hold more than the limits allow.

    """
    kinds, arrays, ignored = _arrays(files, limits)
    found = pairs_of(arrays)
    _refuse_too_many(found.pairs, limits)
    ignored["other arrays"] += len(found.others)
    names = _class_names(found, limits)
    facts: dict[str, Any] = {
        "format": str(kinds[0]),
        "split": {pair.split: pair.images.name for pair in found.pairs if pair.split},
        "label": _written(found.pairs[0].labels),
    }
    if found.names and names:
        facts["names"] = found.names.name
    columns: Sequence[str] = ()
    doubts = [unlabelled(array.name) for array in found.unlabelled]
    if options.input == "vector":
        columns = _columns(found)
        rows: Rows = _vectors
    else:
        shapes = _shapes(found.pairs, options, limits)
        scale = _scale(found.pairs, options, limits, doubts)
        facts["range"] = [scale.low, scale.high]
        rows = _images(scale, shapes)
    return Source(
        blocks=lambda: _blocks(found.pairs, names, rows),
        place=lambda row: _place(found.pairs, row),
        found=facts,
        rows=sum(len(pair.images) for pair in found.pairs),
        ignored=+ignored,
        doubts=doubts,
        columns=columns,
        classes=list(names.values()),
    )


def _arrays(
    files: Sequence[UploadedFile], limits: Limits
) -> tuple[list[FileKind], list[tuple[StoredArray, str | None]], Counter[str]]:
    """Return the kinds of files, their arrays with the splits of the files, and what is ignored."""
    kinds: list[FileKind] = []
    arrays: list[tuple[StoredArray, str | None]] = []
    ignored: Counter[str] = Counter()
    for file in files:
        with file.path.open("rb") as opened:
            kinds.append(kind_of(opened.read(HEAD_BYTES)))
        some = [array_in(file.path, file.name)] if kinds[-1] in (FileKind.IDX, FileKind.NPY) else []
        if not some:
            prefix = f"{file.name}/" if len(files) > 1 else ""
            some, others = arrays_in(file.path, limits, prefix, file.name)
            ignored.update(others)
        arrays += [(array, split_in(file.name)) for array in some]
    return kinds, arrays, ignored


def _refuse_too_many(pairs: Sequence[Pair], limits: Limits) -> None:
    rows = sum(len(pair.images) for pair in pairs)
    size = sum(len(pair.images) * pair.images.row_size for pair in pairs)
    places = ", ".join(pair.images.place for pair in pairs)
    if rows > limits.rows:
        detail = f"These are {rows:,} rows; at most {limits.rows:,} are read."
        raise unusable("too_large", detail, places, "Send fewer of them.")
    if size > limits.pixel_bytes:
        detail = f"These are {size:,} pixels; at most {limits.pixel_bytes:,} are read."
        raise unusable("too_large", detail, places, "Send fewer or smaller images.")


def _written(labels: StoredArray) -> str:
    return f"{labels.name} (one-hot)" if labels.row_size > 1 else labels.name


def _class_names(found: Pairs, limits: Limits) -> dict[str, str]:
    """Return the names that an array gives to the labels 0, 1, …; none if they don't fit.

    Raises:
        Unusable: rows have no label.

    """
    written: set[str] = set()
    for pair in found.pairs:
        for some in labels_of(pair.labels, pair.labels.rows_at_once()):
            written.update(some)
    if found.names is None or len(found.names) > limits.classes:
        return {}
    texts = [name for some in labels_of(found.names, limits.classes) for name in some]
    names = {str(number): name for number, name in enumerate(texts)}
    return names if written <= names.keys() and len(set(texts)) == len(texts) else {}


def _shapes(
    pairs: Sequence[Pair], options: IngestOptions, limits: Limits
) -> dict[str | None, tuple[int, int, int]]:
    return {
        pair.split: image_shape(pair.images.shape, pair.images.place, limits, options.size)
        for pair in pairs
    }


def _scale(
    pairs: Sequence[Pair], options: IngestOptions, limits: Limits, doubts: list[Doubt]
) -> Scale:
    """Return the scale of all images together, for those of one split may all be dark.

    Raises:
        Unusable: it can't be told.

    """
    found = ValueRange()
    for pair in pairs:
        range_of(pair.images, found, limits)
    if options.range is None:
        places = ", ".join(pair.images.place for pair in pairs)
        return scale_of(found, [pair.images.dtype for pair in pairs], places)
    return asked_scale(found, options.range, doubts)


def _columns(found: Pairs) -> list[str]:
    """Return the names of the columns of vectors.

    Raises:
        Unusable: the arrays have no columns, or not the same ones.

    """
    for pair in found.pairs:
        shape = pair.images.shape
        if len(shape) != 2 or not 1 <= shape[1] <= MOST_COLUMNS or pair.images.dtype.kind in "US":
            raise unusable(
                "not_vectors",
                "These are no rows of numbers.",
                pair.images.place,
                "Give it the shape (n, columns), or leave out the option `input`.",
            )
    widths = {pair.images.shape[1] for pair in found.pairs}
    if len(widths) > 1:
        places = " and ".join(pair.images.place for pair in found.pairs)
        raise unusable("columns_differ", "They have different numbers of columns.", places)
    (width,) = widths
    named = [it for it in found.others if "feature" in words_of(it.name) and it.shape == (width,)]
    names = [name for array in named[:1] for some in labels_of(array, width) for name in some]
    is_usable = len(set(names)) == width
    return names if is_usable else [f"column {place}" for place in range(1, width + 1)]


# --- Rows ---


def _blocks(pairs: Sequence[Pair], names: dict[str, str], rows: Rows) -> Iterator[Block]:
    """Yield the rows of all pairs, as many at a time as make a piece of the images."""
    start = 0
    for pair in pairs:
        at_once = pair.images.rows_at_once()
        done = 0
        labels = labels_of(pair.labels, at_once)
        for piece, some in zip(pair.images.pieces(at_once), labels, strict=True):
            images, values = rows(pair, piece, done)
            numbers = range(start + done, start + done + len(piece))
            named = [names.get(label, label) for label in some]
            yield Block(numbers, images, named, [pair.split] * len(piece), values)
            done += len(piece)
        start += done


def _place(pairs: Sequence[Pair], row: int) -> str:
    at, number = origin_of(row, (len(pair.images) for pair in pairs))
    return f"{pairs[at].images.name}, row {number}"


def _images(scale: Scale, shapes: dict[str | None, tuple[int, int, int]]) -> Rows:
    return lambda pair, piece, _: (as_images(scale.applied(piece), shapes[pair.split]), None)


def _vectors(
    pair: Pair, piece: NDArray[Any], start: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
    values = piece.astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))[:MOST_FLAWS]
    if len(bad):
        raise Unusable(
            [
                Flaw(
                    "gap",
                    "It is no finite number, and no gap is filled in.",
                    f"{pair.images.place}, row {start + row}, column {column + 1}",
                    "Leave such rows or columns out.",
                )
                for row, column in bad.tolist()
            ]
        )
    return np.empty((len(values), 0, 0, 0), np.uint8), values
