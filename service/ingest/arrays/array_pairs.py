"""Finds out which arrays are images, which are their labels, and of which split they are.

People name arrays in many ways: `x_train` and `y_train`, `train_images` and `train_labels`, `data`
and `target`, `arr_0` and `arr_1`. Words for splits are taken out of a name, and what is left says
what the array holds. Where it says nothing, the shape does.
Images without any labels whose names differ, such as `cat.npy` and `dog.npy`, are classes.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from service.ingest.arrays.array_files import StoredArray
from service.ingest.refusal import Flaw, Unusable, unusable
from service.ingest.split_words import split_in, words_of

SPLIT_ORDER = ("train", "validation", "test", None)
IMAGES = {"x", "images", "image", "imgs", "img", "data", "features", "pixels", "arr0", "pictures"}
LABELS = {"y", "labels", "label", "target", "targets", "class", "arr1", "t", "lbl", "lbls"}
NAMES = {"names", "classes", "categories"}
"""Words of arrays that name the classes, in the order of the labels."""
NEITHER = {"description", "descr", "mean", "std", "info", "feature", "filename", "filenames"}

WITHOUT_NAME = "arr_0"
"""What NumPy calls an array that was saved without a name."""
LONGEST_CLASS = 64
"""Characters."""
MOST_READ = 64 * 1024**2
"""Elements of an array that is read only to tell what else is wrong with it."""


class Role(StrEnum):
    """What an array holds."""

    IMAGES = "images"
    LABELS = "labels"
    NAMES = "names"


@dataclass(frozen=True)
class Pair:
    """Images and their labels."""

    split: str | None
    """`train`, `validation` or `test`; None if the names do not say."""
    images: StoredArray
    labels: StoredArray


@dataclass
class Pairs:
    """The pairs among some arrays, train first, and what the other arrays are."""

    pairs: list[Pair]
    names: StoredArray | None = None
    """The names of the classes, in the order of the labels."""
    others: list[StoredArray] = field(default_factory=list)
    unlabelled: list[StoredArray] = field(default_factory=list)
    """Images to test or validate on that have no labels."""


@dataclass(frozen=True)
class Meaning:
    """What the name of an array says; each is None if it does not."""

    array: StoredArray
    split: str | None
    role: Role | None


def pairs_of(arrays: Sequence[tuple[StoredArray, str | None]]) -> Pairs:
    """Return the pairs among some arrays.

    Args:
        arrays: each with the split that the name of its file says, or None.

    Raises:
        Unusable: an array has no counterpart, or it can't be told what the arrays are.

    """
    in_file = Counter(_file_of(array.name) for array, _ in arrays)
    meanings = [
        _meaning(array, split, is_alone=in_file[_file_of(array.name)] == 1)
        for array, split in arrays
    ]
    if _are_classes(meanings):
        return Pairs([_of_class(it.array, name) for it, name in _named_classes(meanings)])
    found = Pairs([])
    for split in SPLIT_ORDER:
        roles = _roles([it for it in meanings if it.split == split], found)
        if found.pairs and split and set(roles) == {Role.IMAGES}:
            found.unlabelled.append(roles[Role.IMAGES])
        elif roles:
            found.pairs.append(_pair(split, roles))
    if not found.pairs:
        names = ", ".join(array.name for array, _ in arrays) or "none"
        raise unusable(
            "no_images",
            f"There are no images and labels among its arrays ({names}).",
            hint="Name them x_train, y_train, x_test and y_test, or images and labels.",
        )
    return found


def _file_of(name: str) -> str:
    """Return the file of an array among several files; empty if it is the name of a file itself."""
    return name.rpartition("/")[0]


def _meaning(array: StoredArray, split_of_file: str | None, *, is_alone: bool) -> Meaning:
    """Return what an array's name says, or that of its file if the array has none of its own."""
    name = array.name
    if is_alone and name.endswith(f"/{WITHOUT_NAME}"):
        name = _file_of(name)
    words = words_of(name)
    split = split_in(array.name) or split_of_file
    return Meaning(array, split, _role({*words, "".join(words)}))


# --- An array for each class ----------------------------------------------------------------------


def _are_classes(meanings: Sequence[Meaning]) -> bool:
    """Return whether arrays are the images of one class each.

    None of their names says what they hold or which split they are, and images that go on in a
    further file, as `part1` and `part2`, are no classes.
    """
    if len(meanings) < 2 or any(it.role or it.split or it.array.row_size < 2 for it in meanings):
        return False
    unnumbered = {re.sub(r"\d+", "", it.array.name) for it in meanings}
    numbers_only = all(name.isdecimal() for _, name in _named_classes(meanings))
    return len({it.array.shape[1:] for it in meanings}) == 1 and (
        len(unnumbered) == len(meanings) or numbers_only
    )


def _named_classes(meanings: Sequence[Meaning]) -> Iterator[tuple[Meaning, str]]:
    """Yield the arrays with their names, without the words with which all of them begin."""
    names = [it.array.name.removesuffix(".npy").removesuffix(f"/{WITHOUT_NAME}") for it in meanings]
    names = [name.removesuffix(".npz") for name in names]
    words = [re.findall(r"[^\W_]+|[\W_]+", name) for name in names]
    while len({some[0] for some in words}) == 1 and min(map(len, words)) > 1:
        words = [some[1:] for some in words]
    for it, some in zip(meanings, words, strict=True):
        yield it, "".join(some)[:LONGEST_CLASS]


def _of_class(images: StoredArray, name: str) -> Pair:
    """Return images with the same label for each."""
    text, count = name.encode(), len(images)
    labels = StoredArray(
        "the name of each array",
        (count,),
        np.dtype(f"S{len(text)}"),
        False,
        lambda: nullcontext(io.BytesIO(text * count)),
    )
    return Pair(None, images, labels)


# --- Images and labels of a split -----------------------------------------------------------------


def _role(words: set[str]) -> Role | None:
    if words & NEITHER:
        return None
    if words & NAMES:
        return Role.NAMES
    if words & LABELS:
        return Role.LABELS
    return Role.IMAGES if words & IMAGES else None


def _roles(meanings: Sequence[Meaning], found: Pairs) -> dict[Role, StoredArray]:
    """Return the images and labels of a split, and put its other arrays where they belong."""
    named: dict[Role, StoredArray] = {}
    for it in meanings:
        if it.role and it.array.shape:
            if it.role in named:
                raise _ambiguous(it.role, named[it.role], it.array)
            named[it.role] = it.array
    rest = [it.array for it in meanings if not (it.role and it.array.shape)]
    for role, array in _by_shape([array for array in rest if array.shape], named):
        if role in named:
            raise _ambiguous(role, named[role], array)
        named[role] = array
    found.others += [array for array in rest if array not in named.values()]
    names = named.pop(Role.NAMES, None)
    if names and Role.IMAGES in named and Role.LABELS not in named:
        named[Role.LABELS] = names  # `classes` may be the labels
    elif names:
        found.names = names
    return named


def _by_shape(
    arrays: Sequence[StoredArray], named: dict[Role, StoredArray]
) -> Iterator[tuple[Role, StoredArray]]:
    """Yield what arrays are whose names say nothing, as far as that is missing."""
    missing = {Role.IMAGES, Role.LABELS} - set(named)
    for array in arrays:
        if set(words_of(array.name)) & NEITHER:
            continue
        role = Role.IMAGES if len(array.shape) > 2 or array.row_size > 1 else Role.LABELS
        if role in missing:
            yield role, array


def _ambiguous(role: Role, first: StoredArray, second: StoredArray) -> Unusable:
    return unusable(
        "ambiguous_arrays",
        f"Both {first.place} and {second.place} may be the {role}.",
        hint="Send only the arrays that are meant, as x_train, y_train, x_test and y_test.",
    )


def _pair(split: str | None, roles: dict[Role, StoredArray]) -> Pair:
    for role, other in ((Role.IMAGES, Role.LABELS), (Role.LABELS, Role.IMAGES)):
        if role not in roles:
            raise _alone(roles[other], other, role)
    images, labels = roles[Role.IMAGES], roles[Role.LABELS]
    if len(images) != len(labels):
        raise unusable(
            "rows_differ",
            f"{len(images):,} images have {len(labels):,} labels.",
            f"{images.place} and {labels.place}",
            "Each image needs exactly one label.",
        )
    return Pair(split, images, labels)


def _alone(array: StoredArray, role: Role, missing: Role) -> Unusable:
    """Return the error for an array without a counterpart, and what else is wrong with it."""
    flaws = _flaws_in(array)
    flaws.append(
        Flaw(
            "no_counterpart",
            f"There are {role} here, and no {missing} for them.",
            array.place,
            f"Send them together with their {missing}, in one npz file or as several files.",
        )
    )
    if role is Role.LABELS and len(array.shape) > 1 and array.row_size > 1:
        flaws.append(Flaw("no_label", "Labels are one number or text for each row.", array.place))
    return Unusable(flaws)


def _flaws_in(array: StoredArray) -> list[Flaw]:
    """Return what is found to be wrong when an array of ordinary size is read."""
    if math.prod(array.shape) > MOST_READ:
        return []
    try:
        for _ in array.pieces():
            pass
    except Unusable as exc:
        return list(exc.flaws)
    return []
