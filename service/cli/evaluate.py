"""`mlp-service evaluate`: print how good a network is on a whole data set."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from service.cli.options import Json, Url, job_id
from service.cli.tables import print_json, print_rows
from service.cli.terminal import echo_lines, errors_as_messages, percent, printable

if TYPE_CHECKING:
    from mlp_client.evaluations import Evaluation

COLUMNS = ("class", "images", "precision", "recall", "F1", "most often read as")
MOST_CLASSES = 50


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Id of a job, its URL, or latest.")
    ] = "latest",
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set with the same classes.", show_default="the one it was trained on"
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Which images.")
    ] = "test",
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Print how good a network is on a whole data set: its figures, and a row for each class.

    On a terminal, the classes are a table. In a pipe or a file, each is a line with tabs between
    the columns. The figures of the whole go to standard error. If the network or the set is too
    large for one answer, the evaluation is queued first, and waited for.
    """
    from mlp_client import Client

    with errors_as_messages(["--split", "--dataset"]), Client(url) as client:
        found = client.models.evaluation(job_id(model), split, dataset, wait=True)
    if as_json:
        print_json([found])
        return
    echo_lines([printable(line) for line in _summary(found)], err=True)
    print_rows(COLUMNS, _rows(found), wrapped=["class"], most=MOST_CLASSES)


def _summary(found: "Evaluation") -> list[str]:
    low, high = found.accuracy_interval
    return [
        f"{found.model} after {found.epochs_done} epochs, on {found.rows:,} images "
        f"({found.dataset}, {found.split})",
        f"accuracy {percent(found.accuracy)} ({percent(low)} to {percent(high)} with 95 % "
        f"confidence), loss {found.loss:.4f}",
        f"{found.misread:,} images are misread; calibration error {percent(found.calibration.ece)}",
    ]


def _rows(found: "Evaluation") -> list[tuple[str, ...]]:
    worst: dict[str, str] = {}
    for pair in found.confused:  # the most frequent pairs come first
        worst.setdefault(pair.actual, f"{pair.predicted} ({pair.count:,})")
    return [
        (
            each.name,
            f"{each.support:,}",
            *(_share(it) for it in (each.precision, each.recall, each.f1)),
            worst.get(each.name, "-"),
        )
        for each in found.classes
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
