"""Turns labels, however they are written, into named classes in the order that people expect."""

import re
from collections.abc import Iterable

from service.ingest.limits import Limits
from service.ingest.natural_order import natural_key
from service.ingest.refusal import unusable

WHOLE = re.compile(r"(-?\d+)\.0+")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def label_text(value: object) -> str:
    """Return a label as a name: without space around it, and with 7.0 as 7."""
    name = str(value).strip()
    whole = WHOLE.fullmatch(name)
    return whole[1] if whole else name


def classes_of(labels: Iterable[str], most: int = Limits.classes) -> list[str]:
    """Return the names of the classes among some labels: numbers by their value, 2 before 10.

    Raises:
        Unusable: there are more than `most` classes.

    """
    names = set(labels)
    if len(names) > most:
        raise unusable(
            "too_many_classes",
            f"There are {len(names):,} classes; a network can tell {most} apart.",
            hint="Check which column or folder holds the labels; the option `label` names it.",
        )
    return sorted(names, key=_order)


def _order(name: str) -> tuple[int, float, list[tuple[int, int, str]], str]:
    """Return a key by which no two names are equal, so that the order is always the same."""
    if NUMBER.fullmatch(name):
        return (0, float(name), [], name)
    return (1, 0.0, natural_key(name), name)
