"""Writes tables as CSV."""

import csv
import io
from collections.abc import Iterable
from itertools import chain


def csv_lines(*tables: Iterable[Iterable[object]]) -> bytes:
    """Return the rows of tables, one after the other."""
    text = io.StringIO()
    csv.writer(text).writerows(chain(*tables))
    return text.getvalue().encode()
