"""Reads the tables that stand beside pictures, as CSV or JSON, to rows of text."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.ingest.refusal import unusable

TEXT_SUFFIXES = {"csv", "tsv", "txt"}
JSON_SUFFIXES = {"json", "jsonl", "ndjson"}
SEPARATORS = "\t;,|"
MAX_COLUMNS = 1_000
LONGEST_TEXT = 1_000
"""Characters of a text in JSON that are kept: no name of a file or class has more."""
MAX_ROWS = 1_000_000
FIRST_LINE_BYTES = 64 * 1024
LINE_END = re.compile("[\r\n]")
"""Old programs of the Macintosh end lines with a carriage return alone."""


@dataclass(frozen=True)
class IndexTable:
    """A table, which may name pictures and their labels.

    Its rows are read each time that they are asked for, since all together they take much memory.
    """

    path: str
    names: tuple[str, ...]
    """The names of the columns; if no line has them, their numbers from 1."""
    has_names: bool
    cells: Callable[[], Iterator[list[str]]]
    """Reads all rows, also that of the names."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows with their numbers, counted from 1 with the line of names.

        A row may be shorter or longer than the names are many.

        Raises:
            Unusable: the table is damaged or has too many rows.

        """
        for number, row in enumerate(self.cells(), 1):
            if number > MAX_ROWS:
                raise unusable("too_many", f"It has more than {MAX_ROWS:,} rows.", self.path)
            if row and (number > 1 or not self.has_names):
                yield number, row

    def column(self, name: str) -> int:
        """Return the place of a column by its name.

        Raises:
            Unusable: there is none of this name.

        """
        for at, known in enumerate(self.names):
            if known.casefold() == name.casefold():
                return at
        listed = ", ".join(self.names[:20])
        raise unusable("no_label", f"It has no column {name!r}, but {listed}.", self.path)

    def without_names(self) -> "IndexTable":
        """Return the table, if its first line holds no names, but a row like the others."""
        numbers = tuple(str(number) for number in range(1, len(self.names) + 1))
        return replace(self, names=numbers, has_names=False)


def table_in(path: str, data: bytes) -> IndexTable | None:
    """Return the table in a file; None if it is none.

    Args:
        path: of the file in its archive, which tells by its end what it is.
        data: its bytes.

    """
    suffix = path.rpartition(".")[2].lower()
    return _of_records(path, data) if suffix in JSON_SUFFIXES else _of_lines(path, data)


# --- Lines ----------------------------------------------------------------------------------------


def _of_lines(path: str, data: bytes) -> IndexTable | None:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    if b"\0" in data[:FIRST_LINE_BYTES] and encoding != "utf-16":
        return None
    begin = data[:FIRST_LINE_BYTES].decode(encoding, "replace")
    first = LINE_END.split(begin.lstrip("\r\n"), maxsplit=1)[0]
    separator = max(SEPARATORS, key=first.count)
    separator = separator if separator in first else " "
    if not 0 < first.count(separator) < MAX_COLUMNS:
        return None

    def cells() -> Iterator[list[str]]:
        file = io.TextIOWrapper(io.BytesIO(data), encoding, "replace", newline="")
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
        try:
            yield from (row for row in rows if row)
        except csv.Error as exc:
            place = f"{path}, line {rows.line_num}"
            raise unusable("damaged", f"It is no row of a table: {exc}.", place) from exc

    names = tuple(cell.strip() for cell in next(csv.reader([first], delimiter=separator)))
    return IndexTable(path, names, True, cells)


# --- JSON -----------------------------------------------------------------------------------------


def _of_records(path: str, data: bytes) -> IndexTable | None:
    """Return the table of a file of JSON, or of one with an object in each line."""
    try:
        records = _records(json.loads(data))
    except (ValueError, RecursionError):
        records = []
        is_lines = True
        first = next(_each_line(data), None)
    else:
        is_lines = False
        first = next((record for record in records if isinstance(record, dict)), None)
    if not isinstance(first, dict):
        return None
    names = tuple(first)[:MAX_COLUMNS]

    def cells() -> Iterator[list[str]]:
        yield list(names)
        for record in _each_line(data) if is_lines else records:
            if isinstance(record, dict):
                yield [_as_text(record.get(name)) for name in names]

    return IndexTable(path, names, True, cells)


def _records(found: Any) -> list[Any]:
    """Return the records in a document: a list, the only list in it, or a record for each name."""
    if not isinstance(found, Mapping):
        return found if isinstance(found, list) else []
    lists = [value for value in found.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0]
    return [
        value | {"file": name} if isinstance(value, dict) else {"file": name, "label": value}
        for name, value in found.items()
        if isinstance(value, dict | str | int)
    ]


def _each_line(data: bytes) -> Iterator[Any]:
    """Yield what the lines hold, up to one that is no JSON."""
    for line in io.BytesIO(data):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                return


def _as_text(value: Any) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)[:LONGEST_TEXT]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ""
