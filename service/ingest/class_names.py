"""Names the classes of a set, in an order that people expect."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.ingest.labels import classes_of
from service.ingest.refusal import unusable
from service.ingest.source import MOST_EXAMPLES, Doubt

LONGEST_NAME = 64
GARBLED = re.compile("[\u2500-\u259f\u2310-\u2321\u2219\u00ab\u00ac\u00bb]")
"""Frames and signs, which letters of other countries become in the encoding of old archives."""
JOINERS = "\u200c\u200d"
"""Invisible characters that scripts such as Persian, and emoji, need between others."""


@dataclass(frozen=True)
class Classes:
    """The classes of a set."""

    names: tuple[str, ...]
    sources: tuple[str, ...]
    """For each class, its labels as they are written in the source; empty if no row has it."""
    of_written: NDArray[np.uint8]
    """The class of each label that the source writes."""


def named_classes(
    written: Sequence[str], option: Sequence[str] | Mapping[str, str] | None
) -> tuple[Classes, list[Doubt]]:
    """Return the classes of a set, and a doubt if names could not stay as they are written.

    Args:
        written: all different labels of the source.
        option: names in the order of the labels, or by what is written; None keeps what is written.

    Raises:
        Unusable: there are too many classes, or names for other labels than there are.

    """
    ordered = classes_of(written)
    if isinstance(option, Mapping):
        # A name may be given to several labels, and to one that no row has.
        everything = classes_of([*ordered, *map(str, option)])
        return _classes(written, everything, [option.get(label, label) for label in everything])
    if option is None:
        classes, doubts = _classes(written, ordered, ordered)
        return classes, [*doubts, *_garbled(classes.names)]
    return _in_order(written, ordered, list(option))


def _in_order(
    written: Sequence[str], ordered: Sequence[str], names: Sequence[str]
) -> tuple[Classes, list[Doubt]]:
    if len(set(names)) < len(names):
        raise unusable("classes", "A name is listed twice in the option `classes`.")
    if set(ordered) <= set(names):
        return _classes(written, names, names)
    places = {str(place) for place in range(len(names))}
    if set(ordered) <= places:  # labels count from 0, and some of them may have no row
        return _classes(written, [str(place) for place in range(len(names))], names)
    if len(ordered) == len(names):
        return _classes(written, ordered, names)
    raise unusable(
        "classes",
        f"The option `classes` has {len(names)} names for {len(ordered)} labels: "
        f"{', '.join(ordered[:MOST_EXAMPLES])}{' …' if len(ordered) > MOST_EXAMPLES else ''}.",
        hint='List a name for each label, or name labels one by one, as {"1": "A"}.',
    )


def _classes(
    written: Sequence[str], labels: Sequence[str], names: Sequence[str]
) -> tuple[Classes, list[Doubt]]:
    """Return classes in the order of `labels`; those of one name are one class."""
    shown, changed = _shown(names)
    unique = list(dict.fromkeys(shown))
    place = {name: number for number, name in enumerate(unique)}
    of_label = {label: place[name] for label, name in zip(labels, shown, strict=True)}
    present = set(written)
    sources: list[list[str]] = [[] for _ in unique]
    for label in labels:
        if label in present:
            sources[of_label[label]].append(label)
    classes = Classes(
        tuple(unique),
        tuple(", ".join(labels) for labels in sources),
        np.array([of_label[label] for label in written], np.uint8),
    )
    return classes, _names_changed(changed)


def _shown(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names as they can stand in a picture and in a header, and what became of others."""
    composed = [unicodedata.normalize("NFC", name).strip() for name in names]
    taken = {name for name in composed if _can_be_shown(name)}
    shown, changed = [], []
    for place, name in enumerate(composed):
        new = name
        if name not in taken:
            new = f"class-{place}"
            while new in taken:
                new += "_"
            changed.append(f"{name[:LONGEST_NAME]!r} is {new}")
        shown.append(new)
    return shown, changed


def _can_be_shown(name: str) -> bool:
    visible = name.translate(dict.fromkeys(map(ord, JOINERS)))
    return bool(visible) and visible.isprintable() and len(name) <= LONGEST_NAME


def _garbled(names: Sequence[str]) -> list[Doubt]:
    """Return the doubt about names that were packed in an encoding which nothing tells."""
    found = [name for name in names if GARBLED.search(name)]
    if not found:
        return []
    detail = (
        "These names seem to be in the encoding of a country, which the archive does not name. "
        "Pack it with names in UTF-8, or give other names by the option `classes`."
    )
    return [Doubt("names_changed", detail, len(found), found[:MOST_EXAMPLES])]


def _names_changed(changed: Sequence[str]) -> list[Doubt]:
    if not changed:
        return []
    detail = (
        f"Names of classes have 1 to {LONGEST_NAME} characters that can be seen; "
        "the option `classes` gives others."
    )
    return [Doubt("names_changed", detail, len(changed), list(changed[:MOST_EXAMPLES]))]
