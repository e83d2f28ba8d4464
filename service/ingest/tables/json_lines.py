"""Reads JSON lines: an object on each line, with the pixels and the label of an image.

If the option `input` is `vector`, each other field of an object is a number of the vector.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.pixel_arrays import Scale, as_images, image_shape
from service.ingest.arrays.pixel_scale import refuse_outside, scale_of_rows
from service.ingest.labels import label_text
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable
from service.ingest.source import Block, Doubt, Source, UploadedFile
from service.ingest.split_words import SPLIT_COLUMNS, split_in, split_named
from service.ingest.tables.line_numbers import LineNumbers, line_place
from service.ingest.tables.table_layout import LABEL_NAMES, asked_column
from service.ingest.tables.table_rows import Rows
from service.ingest.tables.table_text import UTF8, lines_of

PIXEL_NAMES = ("image", "pixels", "img", "x", "data")
"""The fields of pixels, in the order in which they are taken."""
MOST_FIELDS = 65_536
TO_LINES = (
    "Write an object on each line: import json, pathlib; "
    'rows = json.loads(pathlib.Path("data.json").read_text()); '
    'pathlib.Path("data.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))'
)
FROM_COLUMNS = (
    "Save its lists as arrays: import json, numpy; "
    'found = json.load(open("data.json")); '
    'numpy.savez("data.npz", **{name: numpy.array(it) for name, it in found.items()})'
)
EXAMPLE = 'Each line must be an object such as {"image": [[0, 255], [0, 0]], "label": "a"}.'
VECTOR = 'If its fields are numbers of another kind, set the option `input` to "vector".'
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Fields:
    """What the fields of an object hold."""

    label: str
    numbers: tuple[str, ...]
    """One field of pixels, or those of a vector."""
    is_vector: bool
    split: str | None = None


@dataclass
class JsonLines:
    """An uploaded file of JSON lines."""

    file: UploadedFile
    place: str
    """Names the file in errors; empty if there is only one."""
    fields: Fields
    limits: Limits
    shape: tuple[int, ...] = ()
    """The shape of the pixels in the first row."""
    flaws: list[Flaw] = field(default_factory=list)

    def rows(self) -> Iterator[Rows]:
        """Yield the rows, some at a time.

        Raises:
            Unusable: lines are no rows, with their places.

        """
        self.flaws = []
        for lines in lines_of(self.file.path, UTF8, self.limits, self.place):
            rows = self._parsed(list(lines))
            if len(self.flaws) >= MOST_FLAWS:
                break
            if rows.labels and not self.flaws:
                yield rows
        if self.flaws:
            raise Unusable(self.flaws)

    def where(self, line: int) -> str:
        """Name a line."""
        return line_place(self.place, line)

    def _parsed(self, lines: Sequence[tuple[int, bytes]]) -> Rows:
        numbers, values, labels, splits = [], [], [], []
        for number, line in lines:
            try:
                record = record_in(line, self.where(number))
                value, label = self._value(record, number), self._label(record, number)
                split = self._split(record, number)
            except Unusable as exc:
                self.flaws += exc.flaws
                continue
            numbers.append(number)
            values.append(value)
            labels.append(label)
            splits.append(split)
        return Rows(numbers, np.array(values), labels, splits)

    def _value(self, record: Record, number: int) -> NDArray[Any]:
        if self.fields.is_vector:
            return self._vector(record, number)
        (name,) = self.fields.numbers
        values = pixels_in(record.get(name), f"{self.where(number)}, field {name!r}")
        self.shape = self.shape or values.shape
        if values.shape != self.shape:
            raise unusable(
                "sizes_differ",
                f"Its pixels have the shape {values.shape}, and the first ones {self.shape}.",
                self.where(number),
            )
        return values

    def _vector(self, record: Record, number: int) -> NDArray[np.float64]:
        for name in self.fields.numbers:
            value = record.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise unusable(
                    "not_a_number",
                    "It is no number, and no gap is filled in.",
                    f"{self.where(number)}, field {name!r}",
                    f"Leave it out with the option `ignore_columns`: {json.dumps([name])}.",
                )
        values = np.array([float(record[name]) for name in self.fields.numbers])
        if not np.isfinite(values).all():
            raise unusable("not_a_number", "It holds no finite number.", self.where(number))
        return values

    def _label(self, record: Record, number: int) -> str:
        value = record.get(self.fields.label)
        label = label_text(value) if isinstance(value, str | int | float) else ""
        if not label:
            place = f"{self.where(number)}, field {self.fields.label!r}"
            raise unusable("no_label", "The label is missing.", place)
        return label

    def _split(self, record: Record, number: int) -> str | None:
        if self.fields.split is None:
            return split_in(self.file.name)
        split = split_named(str(record.get(self.fields.split)))
        if split is None:
            place = f"{self.where(number)}, field {self.fields.split!r}"
            raise unusable("no_split", "The split must be train, validation or test.", place)
        return split


def pixels_in(value: Any, place: str) -> NDArray[Any]:
    """Return pixels as an array.

    Raises:
        Unusable: they are no numbers, or rows of different lengths.

    """
    if not isinstance(value, list):
        hint = "Send pictures in a zip file, in a folder for each class."
        detail = "Its pixels must be a list of numbers, or a list of such lists."
        raise unusable("not_pixels", detail, place, hint if isinstance(value, str) else EXAMPLE)
    try:
        values = np.array(value)
    except (ValueError, OverflowError) as exc:
        detail = "Its rows of pixels have different lengths."
        raise unusable("not_pixels", detail, place) from exc
    if values.dtype.kind not in "buif" or not values.size or not np.isfinite(values).all():
        raise unusable("not_a_number", "Its pixels must be finite numbers.", place)
    return values


def record_in(line: bytes, place: str) -> Record:
    """Return the object on a line.

    Raises:
        Unusable: there is none.

    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        detail = "The line is not a complete JSON object."
        raise unusable("damaged", detail, place, EXAMPLE) from exc
    if not isinstance(record, dict):
        raise unusable("not_json_lines", "The line is JSON, but not an object.", place, TO_LINES)
    return record


# --- Several files --------------------------------------------------------------------------------


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return the images of some files of JSON lines.

    Raises:
        Unusable: they are damaged or too large, or have no pixels and labels.

    """
    several = [_file(file, len(files) > 1, options, limits) for file in files]
    fields = several[0].fields
    found: dict[str, Any] = {"format": "json_lines", "label": fields.label}
    splits = {split: file.name for file in files if (split := split_in(file.name))}
    if fields.split or splits:
        found["split"] = fields.split or splits
    numbers = LineNumbers([file.place for file in several], limits)
    if fields.is_vector:
        blocks = _Blocks(several, numbers, _vectors)
        return Source(blocks, numbers.place, found, columns=fields.numbers)
    doubts: list[Doubt] = []
    place = ", ".join(it.place for it in several if it.place)
    values = (_flat(rows) for file in several for rows in file.rows())
    scale = scale_of_rows(values, options, place, doubts)
    found["range"] = [scale.low, scale.high]
    shape = image_shape((1, *several[0].shape), place, limits, options.size)
    images = _Images(scale, shape, clips=options.range is not None)
    return Source(_Blocks(several, numbers, images), numbers.place, found, doubts=doubts)


def _file(file: UploadedFile, is_named: bool, options: IngestOptions, limits: Limits) -> JsonLines:
    place = file.name if is_named else ""
    for lines in lines_of(file.path, UTF8, limits, place):
        for number, line in lines:
            where = line_place(place, number)
            if line.lstrip().startswith(b"["):
                raise unusable("not_json_lines", "It is one list of JSON.", place, TO_LINES)
            fields = _fields(record_in(line, where), options, where)
            return JsonLines(file, place, fields, limits)
    raise unusable("empty", "The file is empty.", place)


def _fields(record: Record, options: IngestOptions, place: str) -> Fields:
    asked = asked_column(options)
    if asked is None and (name := _list_of_labels(record)):
        detail = f"It is one document of JSON, with all labels in {name!r}."
        raise unusable("not_json_lines", detail, place, FROM_COLUMNS)
    names = [asked] if asked is not None else LABEL_NAMES
    label = next((name for name in names if name in record), None)
    if label is None:
        known = ", ".join(list(record)[:10])
        raise unusable(
            "no_label",
            f"None of its fields ({known}) is the label.",
            place,
            'Name it `label`, or set the option `label`, as {"column": "name"}.',
        )
    split = next((name for name in SPLIT_COLUMNS if name in record and name != label), None)
    if options.input == "vector":
        without = {label, split, *options.ignore_columns}
        numbers = tuple(name for name in record if name not in without)
        if not 1 <= len(numbers) <= MOST_FIELDS:
            raise unusable("not_vectors", "It has no numbers beside the label.", place)
        return Fields(label, numbers, True, split)
    pixels = next((name for name in PIXEL_NAMES if name in record and name != label), None)
    if pixels is None:
        raise unusable("not_pixels", "It has no field of pixels.", place, f"{EXAMPLE} {VECTOR}")
    return Fields(label, (pixels,), False, split)


def _list_of_labels(record: Record) -> str:
    """Return the name of a list of labels beside a list of images; empty if there is none."""
    if any(isinstance(record.get(name), str | int | float) for name in LABEL_NAMES):
        return ""
    lists = {name: it for name, it in record.items() if isinstance(it, list) and len(it) > 1}
    images = [it for it in lists.values() if isinstance(it[0], list)]
    labels = (
        name
        for name, it in lists.items()
        if all(isinstance(label, int | str) for label in it)
        and any(len(it) == len(some) for some in images)
    )
    return next(labels, "")


@dataclass(frozen=True)
class _Blocks:
    """Reads all rows from the beginning."""

    files: Sequence[JsonLines]
    numbers: LineNumbers
    content: Callable[[JsonLines, Rows], tuple[NDArray[np.uint8], NDArray[np.float64] | None]]
    """Returns images and values of some rows."""

    def __call__(self) -> Iterator[Block]:
        self.numbers.restart()
        for at, file in enumerate(self.files):
            for rows in file.rows():
                numbers = self.numbers.of(at, rows.lines)
                images, values = self.content(file, rows)
                yield Block(numbers, images, rows.labels, rows.splits, values)


@dataclass(frozen=True)
class _Images:
    """Turns rows of pixels into images."""

    scale: Scale
    shape: tuple[int, int, int]
    clips: bool
    """Whether values outside of the scale become black or white; else they are refused."""

    def __call__(self, file: JsonLines, rows: Rows) -> tuple[NDArray[np.uint8], None]:
        def place(row: int, at: int) -> str:
            return f"{file.where(rows.lines[row])}, pixel {at + 1}"

        if not self.clips:
            refuse_outside(_flat(rows), self.scale, place)
        return as_images(self.scale.applied(rows.values), self.shape), None


def _vectors(_: JsonLines, rows: Rows) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    return np.empty((len(rows.labels), 0, 0, 0), np.uint8), rows.values


def _flat(rows: Rows) -> NDArray[Any]:
    return rows.values.reshape(len(rows.values), -1)
