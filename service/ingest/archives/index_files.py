"""Finds the labels of pictures, in their folders or in a table that stands beside them."""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.ingest.archives import class_folders
from service.ingest.archives.archive_members import Member, shown
from service.ingest.archives.class_folders import PARENT, PATH, Found, Placed
from service.ingest.archives.index_tables import (
    JSON_SUFFIXES,
    TEXT_SUFFIXES,
    IndexTable,
    table_in,
)
from service.ingest.archives.picture_names import PictureNames
from service.ingest.archives.unlabelled_pictures import (
    Read,
    are_no_classes,
    no_classes,
    refuse_annotated,
)
from service.ingest.labels import label_text
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable
from service.ingest.source import MOST_EXAMPLES, Doubt
from service.ingest.split_words import SPLIT_COLUMNS, split_named, split_of_folder
from service.ingest.tables.table_cells import is_number

MAX_TABLE_BYTES = 16 * 1024**2
MAX_JSON_BYTES = 8 * 1024**2
"""A document of JSON takes ten times its length in memory."""
MOST_TABLES = 8
LOOKED_AT = 50
"""Rows by which it is found which column names the pictures."""
NAMED = 0.5
"""A column names pictures if this share of its cells are names of some."""
LABEL_NAMES = (
    *("label", "labels", "class", "class_name", "classname", "category", "target", "digit"),
    *("letter", "character", "choice", "breed", "diagnosis", "species", "emotion"),
    *("name", "class_id", "classid", "label_id", "y"),
)
"""The columns of labels, the surest first."""
ANSWERS = re.compile("submission", re.IGNORECASE)
"""Tables of this name show the form of an answer to a competition, with made-up labels."""
FEW_ROWS = 10
"""The most rows that may all have different labels; of more, such labels are mere numbers."""


@dataclass
class Labelled:
    """The pictures of which a label is known, and what else was found."""

    placed: list[Placed]
    found: dict[str, Any]
    ignored: Counter[str] = field(default_factory=Counter)
    doubts: list[Doubt] = field(default_factory=list)


@dataclass
class Index:
    """A table, and what it says of the pictures."""

    table: IndexTable
    label_name: str
    split_at: int | None
    placed: dict[int, Placed] = field(default_factory=dict)
    """What the table says of each picture, by the number of the picture."""
    missing: int = 0
    """The rows that name no picture."""
    examples: list[str] = field(default_factory=list)
    """Some of these rows."""
    _labels: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> set[str]:
        """All different labels."""
        return set(self._labels)

    def without(self, place: str) -> None:
        """Count a row that names no picture."""
        self.missing += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(place)

    def add(self, member: Member, label: str, split: str | None, place: str) -> Flaw | None:
        """Add a row; return what is wrong with it, if anything is."""
        if not label:
            return Flaw("no_label", "The label is missing.", place)
        earlier = self.placed.get(member.number)
        if earlier and earlier.label != label:
            labels = f"{shown(earlier.label)} and {shown(label)}"
            detail = f"{shown(member.path)} has two labels, {labels}."
            return Flaw("two_labels", detail, place, "Each picture needs exactly one.")
        folder, _, name = member.path.partition("/")
        split = split or (split_of_folder(folder) if name else None)
        label = self._labels.setdefault(label, label)  # one text for all pictures of a class
        self.placed[member.number] = Placed(member, split, label)
        return None


def labelled(
    pictures: Sequence[Member], others: Sequence[Member], read: Read, options: IngestOptions
) -> Labelled:
    """Return the pictures with their labels and splits.

    A table wins if it names half of the pictures or more, unless the folders say the same.

    Args:
        pictures: in the order in which they are to be rows.
        others: the files that are no pictures.
        read: yields files with their bytes.
        options: `label` says where to look.

    Raises:
        Unusable: there are no labels, or it can't be told which of several are meant.

    """
    wants_column = isinstance(options.label, Mapping) and "column" in options.label
    indexes = []
    if options.label is None or wants_column:
        indexes = list(_indexes(pictures, others, read, options))
    named = {number for index in indexes for number in index.placed}
    if wants_column:
        if not named:
            raise unusable("no_index", "No table beside the pictures names them.", "label")
        return _by_tables(pictures, indexes)
    if indexes and len(named) >= NAMED * len(pictures) and not _agree(pictures, indexes):
        return _by_tables(pictures, indexes)
    found = class_folders.find(pictures, options.label)
    if options.label is None:
        refuse_annotated(pictures, others, found.labels, read)
    if not found.placed or (options.label is None and are_no_classes(found.labels)):
        raise no_classes(pictures)
    result = _by_folders(found, options)
    if others:
        result.ignored["no picture"] = len(others)
    return result


# --- Folders --------------------------------------------------------------------------------------


def _by_folders(found: Found, options: IngestOptions) -> Labelled:
    words = {None: "parent folder", PARENT: "parent folder", PATH: "folders"}
    label = "name of the file" if isinstance(options.label, Mapping) else words[options.label]
    facts: dict[str, Any] = {"top": found.top, "label": label}
    if found.splits:
        facts["split"] = "folders " + ", ".join(sorted(found.splits)[:MOST_EXAMPLES])
    result = Labelled(found.placed, facts)
    if found.without_class:
        count = len(found.without_class)
        result.ignored["no class"] = count
        result.doubts.append(
            Doubt(
                "no_class",
                f"{count:,} pictures lie in the folder of no class, and were left out.",
                count,
                [shown(member.path) for member in found.without_class[:MOST_EXAMPLES]],
            )
        )
    return result


def _agree(pictures: Sequence[Member], indexes: Sequence[Index]) -> bool:
    """Return whether folders tell all pictures of the tables apart as these do."""
    try:
        found = class_folders.find(pictures)
    except Unusable:
        return False
    if {number for index in indexes for number in index.placed} - {
        picture.member.number for picture in found.placed
    }:
        return False  # tables know pictures that lie in no folder of a class
    pairs = set()
    for picture in found.placed:
        for index in indexes:
            if row := index.placed.get(picture.member.number):
                pairs.add((picture.label, row.label))
    folders, labels = ({pair[at] for pair in pairs} for at in (0, 1))
    return len(pairs) == len(folders) == len(labels) > 1


# --- Tables ---------------------------------------------------------------------------------------


def _by_tables(pictures: Sequence[Member], indexes: Sequence[Index]) -> Labelled:
    rows = {number: row for index in reversed(indexes) for number, row in index.placed.items()}
    placed = [rows[picture.number] for picture in pictures if picture.number in rows]
    first = indexes[0]
    paths = ", ".join(shown(index.table.path) for index in indexes)
    facts = {"label": f"column {first.label_name} of {paths}", "top": ""}
    if any(index.split_at is not None for index in indexes):
        facts["split"] = f"a column of {paths}"
    elif any(row.split for row in placed):
        facts["split"] = "the names of tables or folders"
    result = Labelled(placed, facts)
    without_row = [it for it in pictures if it.number not in rows]
    if without_row:
        count = result.ignored["no row"] = len(without_row)
        detail = f"{count:,} pictures have no row in {paths}, and were left out."
        examples = [shown(it.path) for it in without_row[:MOST_EXAMPLES]]
        result.doubts.append(Doubt("files_without_row", detail, count, examples))
    if missing := sum(index.missing for index in indexes):
        detail = f"{missing:,} rows of {paths} name no picture, and were left out."
        examples = [place for index in indexes for place in index.examples]
        result.doubts.append(Doubt("rows_without_file", detail, missing, examples[:MOST_EXAMPLES]))
    return result


def _indexes(
    pictures: Sequence[Member], others: Sequence[Member], read: Read, options: IngestOptions
) -> Iterator[Index]:
    """Yield the tables that name pictures."""
    tables = [
        member
        for member in others
        if not ANSWERS.search(member.path)
        and (
            (member.suffix in TEXT_SUFFIXES and member.size <= MAX_TABLE_BYTES)
            or (member.suffix in JSON_SUFFIXES and member.size <= MAX_JSON_BYTES)
        )
    ]
    if not tables or not pictures:
        return
    tables = sorted(tables, key=lambda it: (it.path.count("/"), -it.size))[:MOST_TABLES]
    names = PictureNames(pictures)
    for member, data in read(sorted(tables, key=lambda it: it.number)):
        table = table_in(member.path, data)
        if table and (index := _index_in(table, names, options)):
            yield index


def _index_in(table: IndexTable, names: PictureNames, options: IngestOptions) -> Index | None:
    """Return what a table says of the pictures; None if it names none.

    Raises:
        Unusable: rows have no label, or a picture has two.

    """
    folder = table.path.rpartition("/")[0]
    sample = [row for _, row in itertools.islice(table.rows(), LOOKED_AT)]
    file_at, share = _naming_column([table.names, *sample], names, folder)
    if share < NAMED:
        return None
    if names.named(table.names[file_at], folder):
        table = table.without_names()
    split_at = _split_column(table)
    label_at, one_hot = _label_column(table, file_at, split_at, options)
    if label_at is None and not one_hot:
        return None
    index = Index(table, table.names[label_at] if label_at is not None else "with a 1", split_at)
    read_row = functools.partial(_read_row, index, names, folder, (file_at, label_at, one_hot))
    read = (read_row(number, row) for number, row in table.rows() if len(row) > file_at)
    flaws = list(itertools.islice((flaw for flaw in read if flaw), MOST_FLAWS))
    if flaws:
        raise Unusable(flaws)
    is_named = isinstance(options.label, Mapping) or index.label_name.lower() in LABEL_NAMES
    only_counts = not is_named and len(index.placed) == len(index.labels) > FEW_ROWS
    return index if index.placed and not only_counts else None


def _read_row(
    index: Index,
    names: PictureNames,
    folder: str,
    columns: tuple[int, int | None, list[int]],
    number: int,
    row: Sequence[str],
) -> Flaw | None:
    """Add a row of a table to an index; return what is wrong with it, if anything is.

    Args:
        index: of the table.
        names: of all pictures.
        folder: that the table lies in.
        columns: of the picture's name, of the label, and those with a 1 for each class.
        number: of the row.
        row: its cells.

    """
    file_at, label_at, one_hot = columns
    if not row[file_at].strip():
        return None
    place = f"{shown(index.table.path)}, line {number}"
    member = names.named(row[file_at], folder)
    if member is None:
        index.without(f"{place}: {shown(row[file_at])}")
        return None
    split = _split_in(row, index.split_at) or split_of_folder(index.table.path.rpartition("/")[2])
    return index.add(member, _label_of(row, label_at, one_hot, index.table), split, place)


def _naming_column(
    sample: Sequence[Sequence[str]], names: PictureNames, folder: str
) -> tuple[int, float]:
    """Return the column whose cells name most different pictures, and how often they name any.

    The number of a class may be the name of a picture too: of its sign, in a folder of all signs.
    """
    best, most = 0, (0, 0)
    for at in range(len(sample[0])):
        named = [names.named(row[at], folder) for row in sample if at < len(row)]
        numbers = [member.number for member in named if member]
        if (found := (len(set(numbers)), len(numbers))) > most:
            best, most = at, found
    return best, most[1] / max(1, len(sample) - 1)


def _split_column(table: IndexTable) -> int | None:
    for at, name in enumerate(table.names):
        if table.has_names and name.lower() in SPLIT_COLUMNS:
            cells = (row[at].strip() for _, row in table.rows() if at < len(row))
            if all(split_named(cell) for cell in cells if cell):
                return at
    return None


def _split_in(row: Sequence[str], at: int | None) -> str | None:
    if at is None or at >= len(row):
        return None
    return split_named(row[at].strip())


def _label_column(
    table: IndexTable, file_at: int, split_at: int | None, options: IngestOptions
) -> tuple[int | None, list[int]]:
    """Return the column of the label, or the columns that have a 1 for each class, or neither.

    Raises:
        Unusable: it can't be told which column it is.

    """
    if isinstance(options.label, Mapping):
        return table.column(options.label["column"]), []
    lower = [name.lower() for name in table.names] if table.has_names else []
    others = [at for at in range(len(table.names)) if at not in (file_at, split_at)]
    for name in LABEL_NAMES:
        if name in lower and lower.index(name) in others:
            return lower.index(name), []
    if len(others) == 1:
        return others[0], []
    if table.has_names and _is_one_hot(table, others):
        return None, others
    if not table.has_names and len(texts := _columns_of_text(table, others)) < 2:
        return (texts[0] if texts else None), []  # else the numbers are places in the picture
    raise unusable(
        "no_label",
        "It names pictures, and it can't be told which column is the label: "
        f"{', '.join(map(shown, table.names[:20]))}.",
        shown(table.path),
        'Name it `label`, or set the option `label` to {"column": name}.',
    )


def _columns_of_text(table: IndexTable, columns: Sequence[int]) -> list[int]:
    """Return the columns that hold anything but numbers in the first rows."""
    sample = [row for _, row in itertools.islice(table.rows(), LOOKED_AT)]
    return [at for at in columns if any(at < len(row) and not is_number(row[at]) for row in sample)]


def _is_one_hot(table: IndexTable, columns: Sequence[int]) -> bool:
    one_of_them = ["0"] * (len(columns) - 1) + ["1"]
    return all(
        sorted(label_text(row[at]) for at in columns) == one_of_them
        for _, row in table.rows()
        if len(row) > columns[-1]
    )


def _label_of(row: Sequence[str], at: int | None, one_hot: Sequence[int], table: IndexTable) -> str:
    if at is not None:
        return label_text(row[at]) if at < len(row) else ""
    return next((table.names[it] for it in one_hot if it < len(row) and row[it][:1] == "1"), "")
