"""Reads Parquet files of Hugging Face's kind: a column of pictures or of pixels, and a label.

It needs the optional dependency pyarrow, which the extra `[parquet]` installs.
"""

import functools
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.ingest.arrays.pixel_arrays import as_images, image_shape
from service.ingest.arrays.pixel_scale import refuse_outside, scale_of_rows
from service.ingest.labels import label_text
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.pictures.picture_blocks import Picture, PictureBlocks
from service.ingest.pictures.picture_decoding import size_of_set
from service.ingest.refusal import unusable
from service.ingest.row_origins import origin_of
from service.ingest.source import Block, Doubt, Source, UploadedFile
from service.ingest.split_words import split_in
from service.ingest.tables.json_lines import PIXEL_NAMES, pixels_in
from service.ingest.tables.table_layout import LABEL_NAMES, asked_column

BUFFER_BYTES = 1024**2
MOST_METADATA = 16 * 1024**2
"""Bytes of a text in a file's description."""
PICTURES_AT_ONCE, ROWS_AT_ONCE = 128, 16
BATCH_BYTES = 8 * 1024**2
"""Large rows are read in batches of about this size."""
SMALLER = (
    "Write it with fewer rows in a group: "
    'pyarrow.parquet.write_table(table, "data.parquet", row_group_size=10)'
)
FEATURES = b"huggingface"
"""The key under which Hugging Face's library describes the columns."""
CONVERTED = (
    'import io, numpy, pandas; from PIL import Image; table = pandas.read_parquet("data.parquet"); '
    'images = [numpy.asarray(Image.open(io.BytesIO(it["bytes"]))) for it in table["image"]]; '
    'numpy.savez("data.npz", images=numpy.stack(images), labels=table["label"])'
)
Row = tuple[int, Any, str]
"""The number of a row in its file, what its column of images holds, and its label."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a file hold."""

    images: str
    is_pictures: bool
    """Whether images are the files of pictures; else they are lists of numbers."""
    bytes_path: str
    """The column to read: of pictures, perhaps the field `bytes` of `images`."""
    label: str
    classes: tuple[str, ...]
    """The names of the labels 0, 1, …, if the file tells them."""


@dataclass(frozen=True)
class ParquetFile:
    """An uploaded file."""

    file: UploadedFile
    columns: Columns
    rows: int

    def place(self, row: int) -> str:
        """Name a row, counted from 0."""
        return f"{self.file.name}, row {row}" if self.file.name else f"row {row}"

    def read(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            Unusable: the file is damaged, or a row has no label.

        """
        number = 0
        with _told_where(self.file.name), _opened(self.file.path) as opened:
            for batch in self._batches(opened):
                images = batch.column(self.columns.images)
                if self.columns.bytes_path != self.columns.images:
                    images = images.field(0)
                labels = batch.column(self.columns.label).to_pylist()
                for image, label in zip(images.to_pylist(), labels, strict=True):
                    yield number, image, self._label(label, number)
                    number += 1

    def _batches(self, opened: Any) -> Iterator[Any]:
        """Yield some rows at a time, of about `BATCH_BYTES` if the file tells sizes rightly."""
        wanted = [self.columns.bytes_path, self.columns.label]
        most = PICTURES_AT_ONCE if self.columns.is_pictures else ROWS_AT_ONCE
        for at in range(opened.num_row_groups):  # one by one, else two are held at their border
            group = opened.metadata.row_group(at)
            row_bytes = max(1, group.total_byte_size // max(1, group.num_rows))
            at_once = min(most, max(1, BATCH_BYTES // row_bytes))
            yield from opened.iter_batches(
                at_once, row_groups=[at], columns=wanted, use_threads=False
            )

    def _label(self, value: object, row: int) -> str:
        names = self.columns.classes
        if names and isinstance(value, int) and 0 <= value < len(names):
            return names[value]
        label = label_text(value) if isinstance(value, str | int | float) else ""
        if not label or names:
            detail = f"{value!r} is none of its {len(names)} labels." if names else "It is missing."
            raise unusable("no_label", detail, f"{self.place(row)}, column {self.columns.label!r}")
        return label


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return the images of some Parquet files, with splits from their names.

    Raises:
        Unusable: pyarrow is not installed; or they are damaged, too large, or hold no images.

    """
    if importlib.util.find_spec("pyarrow") is None:
        raise unusable(
            "not_read",
            "This is a Parquet file, which the service can't read as it is installed.",
            files[0].name,
            "Install what it needs with pip install 'mlp-service[parquet]', or convert the file "
            f"first: {CONVERTED}",
        )
    several = [_file(file, options) for file in files]
    rows = sum(file.rows for file in several)
    if rows > limits.rows:
        raise unusable("too_large", f"It has {rows:,} rows; at most {limits.rows:,} are read.")
    if len({file.columns for file in several}) > 1:
        raise unusable("columns_differ", "The files have different columns.")
    columns = several[0].columns
    found: dict[str, Any] = {"format": "parquet", "images": columns.images, "label": columns.label}
    if splits := {split: file.name for file in files if (split := split_in(file.name))}:
        found["split"] = splits
    make = _pictures if columns.is_pictures else _pixels
    return make(several, options, limits, found)


def _file(file: UploadedFile, options: IngestOptions) -> ParquetFile:
    with _told_where(file.name), _opened(file.path) as opened:
        columns = _columns(opened.schema_arrow, options, file.name)
        return ParquetFile(file, columns, opened.metadata.num_rows)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(
        path,
        buffer_size=BUFFER_BYTES,  # else whole columns are held in memory
        pre_buffer=False,
        thrift_string_size_limit=MOST_METADATA,
    ) as opened:
        yield opened


@contextmanager
def _told_where(place: str) -> Iterator[None]:
    """Turn the errors of damaged files into ones that name the place.

    Raises:
        Unusable: the block has found the file to be damaged.

    """
    import pyarrow

    try:
        yield
    except MemoryError as exc:
        detail = "It unpacks to more than fits into the memory of a check."
        raise unusable("too_large", detail, place, SMALLER) from exc
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, KeyError) as exc:
        raise unusable(
            "damaged", "The file is damaged.", place, "Fetch or write it again."
        ) from exc


# --- Columns --------------------------------------------------------------------------------------


def _columns(schema: Any, options: IngestOptions, place: str) -> Columns:
    """Return what the columns of a file hold.

    Raises:
        Unusable: there are no images, or no labels.

    """
    classes = _class_names(schema.metadata)
    label = _label_column(schema.names, classes, options, place)
    images, path, is_pictures = _image_column(schema, label, place)
    return Columns(images, is_pictures, path, label, classes.get(label, ()))


def _label_column(
    names: Sequence[str],
    classes: Mapping[str, tuple[str, ...]],
    options: IngestOptions,
    place: str,
) -> str:
    asked = asked_column(options)
    wanted = [asked] if asked is not None else [*LABEL_NAMES, *classes]
    label = next((name for name in wanted if name in names), None)
    if label is None:
        raise unusable(
            "no_label",
            f"None of its columns ({', '.join(names[:10])}) is the label.",
            place,
            'Set the option `label`, as {"column": "name"}.',
        )
    return label


def _image_column(schema: Any, label: str, place: str) -> tuple[str, str, bool]:
    """Return the name of the column of images, the path to read, and whether it has pictures."""
    from pyarrow import types

    fields = [field for field in schema if field.name != label]
    for field in fields:
        if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return field.name, f"{field.name}.bytes", True
    for field in fields:
        if types.is_binary(field.type) or types.is_large_binary(field.type):
            return field.name, field.name, True
    named = sorted(fields, key=lambda field: field.name not in PIXEL_NAMES)
    for field in named:
        if any(is_list(field.type) for is_list in (types.is_list, types.is_fixed_size_list)):
            return field.name, field.name, False
    raise unusable(
        "not_pixels",
        f"None of its columns ({', '.join(schema.names[:10])}) holds pictures or lists of pixels.",
        place,
        "Tables of numbers are read as CSV: import pandas; "
        'pandas.read_parquet("data.parquet").to_csv("data.csv", index=False)',
    )


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the names of the labels of each column, as Hugging Face's library writes them."""
    try:
        features = json.loads((metadata or {})[FEATURES])["info"]["features"]
        named = {column: it for column, it in features.items() if it.get("_type") == "ClassLabel"}
        return {column: tuple(map(str, it["names"])) for column, it in named.items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


# --- Rows -----------------------------------------------------------------------------------------


def _place(files: Sequence[ParquetFile]) -> Callable[[int], str]:
    def place(row: int) -> str:
        at, number = origin_of(row, (file.rows for file in files))
        return files[at].place(number)

    return place


def _numbered(files: Sequence[ParquetFile]) -> Iterator[tuple[ParquetFile, int, Row]]:
    """Yield all rows, with their numbers in the source."""
    start = 0
    for file in files:
        for row in file.read():
            yield file, start + row[0], row
        start += file.rows


def _pictures(
    files: Sequence[ParquetFile], options: IngestOptions, limits: Limits, found: dict[str, Any]
) -> Source:
    """Return the source of files that hold pictures."""

    def pictures() -> Iterator[Picture]:
        for file, number, (row, data, label) in _numbered(files):
            place = file.place(row)
            if data is None:
                raise unusable(
                    "no_picture",
                    "It has no bytes of a picture, and pictures outside of the file are not read.",
                    place,
                    "Write the file with datasets.Dataset.to_parquet, which puts them into it.",
                )
            yield Picture(number, place, label, split_in(file.file.name), data)

    size = size_of_set(lambda: ((it.place, it.data) for it in pictures()), options, limits)
    count = sum(file.rows for file in files)
    source = Source(
        blocks=lambda: PictureBlocks(count, options, size, source).of(pictures()),
        place=_place(files),
        found=found,
        rows=count,
        classes=files[0].columns.classes,
    )
    return source


@dataclass(frozen=True)
class _Piece:
    """Some rows of one file."""

    file: ParquetFile
    numbers: list[int]
    """The numbers of the rows in the source."""
    values: np.ndarray[Any, Any]
    labels: list[str]


def _pieces(files: Sequence[ParquetFile]) -> Iterator[_Piece]:
    """Yield rows of pixels, all of one shape.

    Raises:
        Unusable: pixels are no numbers, or of different shapes.

    """
    shape: tuple[int, ...] = ()
    waiting: list[tuple[int, np.ndarray[Any, Any], str]] = []
    last: ParquetFile | None = None
    for file, number, (row, value, label) in _numbered(files):
        if last and (last is not file or len(waiting) >= PICTURES_AT_ONCE):
            yield _piece(last, waiting)
            waiting = []
        last = file
        values = pixels_in(value, file.place(row))
        shape = shape or values.shape
        if values.shape != shape:
            detail = f"Its pixels have the shape {values.shape}, and the first ones {shape}."
            raise unusable("sizes_differ", detail, file.place(row))
        waiting.append((number, values, label))
    if last and waiting:
        yield _piece(last, waiting)


def _piece(file: ParquetFile, rows: Sequence[tuple[int, np.ndarray[Any, Any], str]]) -> _Piece:
    numbers, values, labels = zip(*rows, strict=True)
    return _Piece(file, list(numbers), np.stack(values), list(labels))


def _pixels(
    files: Sequence[ParquetFile], options: IngestOptions, limits: Limits, found: dict[str, Any]
) -> Source:
    """Return the source of files that hold lists of pixels."""
    doubts: list[Doubt] = []
    names = ", ".join(file.file.name for file in files)
    first = next(_pieces(files), None)
    if first is None:
        raise unusable("empty", "It has no rows.", names)
    shape = image_shape((1, *first.values.shape[1:]), names, limits, options.size)
    values = (it.values.reshape(len(it.values), -1) for it in _pieces(files))
    scale = scale_of_rows(values, options, names, doubts)
    clips, place = options.range is not None, _place(files)

    def blocks() -> Iterator[Block]:
        for it in _pieces(files):
            splits = [split_in(it.file.file.name)] * len(it.labels)
            if not clips:
                flat = it.values.reshape(len(it.values), -1)
                refuse_outside(flat, scale, functools.partial(_pixel_place, it, place))
            images = as_images(scale.applied(it.values), shape)
            yield Block(it.numbers, images, it.labels, splits)

    found["range"] = [scale.low, scale.high]
    return Source(
        blocks,
        place,
        found,
        rows=sum(file.rows for file in files),
        doubts=doubts,
        classes=files[0].columns.classes,
    )


def _pixel_place(piece: _Piece, place: Callable[[int], str], row: int, at: int) -> str:
    return f"{place(piece.numbers[row])}, pixel {at + 1}"
