"""What `mlp-service predict` asks about files, and how it shows the answers."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlp_client.models import Models
from mlp_client.predictions import Prediction

Told: TypeAlias = tuple[str, Prediction]
"""The name of an image, and what is said of it."""
MOST_LINES = 50
"""Of a table."""


def ask(models: Models, files: list[Path], ref: str, top_k: int) -> Iterator[Told]:
    """Yield what is said of each image, by name; all pictures are asked about in one request."""
    pictures = [file for file in files if not _is_array(file)]
    predictions = iter(models.predict(pictures, ref, top_k) if pictures else ())
    for file in files:
        if _is_array(file):
            for k, prediction in enumerate(models.predict_array(file, ref, top_k)):
                yield f"{file}[{k}]", prediction
        else:
            yield str(file), next(predictions)


def _is_array(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def show(told: list[Told]) -> None:
    """Print a table on a terminal, else a line for each image, its cells separated by tabs."""
    console = Console()
    if not console.is_terminal:
        writer = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
        writer.writerows((name, *_cells(prediction)) for name, prediction in told)
        return
    table = Table("image", "digit", "probability")
    table.add_column("next", no_wrap=True)
    table.add_column("remarks")
    for name, prediction in told[:MOST_LINES]:
        # Text: a file may be called "[red].png".
        table.add_row(*(Text(cell) for cell in (name, *_cells(prediction))))
    console.print(table)
    if len(told) > MOST_LINES:
        more = len(told) - MOST_LINES
        Console(stderr=True).print(
            f"{more:,} more; `> answers.tsv` behind the command lists all", highlight=False
        )


def _cells(prediction: Prediction) -> tuple[str, str, str, str]:
    """Return digit, probability, the next candidates and remarks."""
    next_best = ", ".join(f"{it.label} {it.probability:.1%}" for it in prediction.top_k[1:])
    remarks = [prediction.problem.detail] if prediction.problem else prediction.warnings
    digit = "-" if prediction.label is None else str(prediction.label)
    sure = "-" if prediction.probability is None else f"{prediction.probability:.1%}"
    return digit, sure, next_best, printable("; ".join(remarks).replace("\n", " "))


def printable(text: str) -> str:
    """Return what a server says without what a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
