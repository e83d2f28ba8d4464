"""`mlp-service predict`: print to which classes pictures belong."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from service.cli.latest_model import resolved
from service.cli.options import Json, Url
from service.cli.tables import print_rows
from service.cli.terminal import echo_lines, errors_as_messages, printable

if TYPE_CHECKING:
    from mlp_client.models import Models
    from mlp_client.predictions import Prediction

NamedPrediction: TypeAlias = "tuple[str, Prediction]"
"""The name of an image, and its prediction."""
MAX_TABLE_ROWS = 50
COLUMNS = ("image", "class", "probability", "next", "remarks")


def _refuse_folders(paths: list[Path]) -> list[Path]:
    """Return the paths, unless one is a folder: then say how its pictures are named.

    Raises:
        typer.BadParameter: a path is a folder.

    """
    for folder in filter(Path.is_dir, paths):
        raise typer.BadParameter(
            f"{folder} is a folder. Name the pictures in it, as in: mlp-service predict "
            f"{_pattern(folder)}"
        )
    return paths


def _pattern(folder: Path) -> str:
    """Return what a shell completes to the files that are like the first one in a folder."""
    found = (it.relative_to(folder) for it in folder.rglob("*") if it.is_file())
    file = next((it for it in found if not it.name.startswith(".")), Path("picture.png"))
    return "/".join([shlex.quote(str(folder)), *["*"] * (len(file.parts) - 1), f"*{file.suffix}"])


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            exists=True, callback=_refuse_folders, metavar="IMAGE", help="Pictures, .npy files."
        ),
    ],
    model: Annotated[str, typer.Option(help="Id of a job, or latest.")] = "latest",
    top_k: Annotated[
        int, typer.Option(min=1, max=256, help="Number of candidates for each image.")
    ] = 3,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Print which digits pictures show, or to which other classes they belong.

    Pictures of digits may have any size, and dark or light ink. Others are fitted to the size of
    the network's data set. An .npy file may hold any number of images of that size, such as 28x28
    or 784 numbers each: uint8 0-255, float 0-1; for a table, rows of its columns.
    On a terminal, the result is a table of at most 50 rows. In a pipe or a file, it is a line for
    each image with tabs between the columns. Which job `latest` means goes to standard error, and
    whether a newer one was passed over because it learned nothing.
    """
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        ref, sentence = resolved(client, model)
        if sentence:
            echo_lines([printable(sentence)], err=True)
        predictions = list(_predict_files(client.models, images, ref, top_k))
    if as_json:
        echo_lines([_json_line(*each) for each in predictions])
    else:
        _print_predictions(predictions)
    if any(prediction.problem for _, prediction in predictions):
        raise typer.Exit(1)


def _predict_files(
    models: "Models", files: list[Path], ref: str, top_k: int
) -> Iterator[NamedPrediction]:
    """Yield a prediction for each image, in the order of the files.

    All pictures are sent in one request; each array has requests of its own.
    """
    pictures = [file for file in files if not _is_array(file)]
    predictions = iter(models.predict(pictures, ref, top_k=top_k) if pictures else ())
    for file in files:
        if _is_array(file):
            for index, prediction in enumerate(models.predict_array(file, ref, top_k)):
                yield f"{file}[{index}]", prediction
        else:
            yield str(file), next(predictions)


def _is_array(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def _print_predictions(predictions: list[NamedPrediction]) -> None:
    rows = [(name, *_cells(prediction)) for name, prediction in predictions]
    print_rows(COLUMNS, rows, wrapped=["remarks"], most=MAX_TABLE_ROWS)


def _json_line(name: str, prediction: "Prediction") -> str:
    return json.dumps({"image": name} | prediction.model_dump(mode="json", exclude_none=True))


def _cells(prediction: "Prediction") -> tuple[str, str, str, str]:
    """Return the class, its probability, the next candidates and remarks."""
    following = prediction.top_k[1:]
    candidates = ", ".join(f"{printable(it.shown)} {it.probability:.1%}" for it in following)
    remarks = [prediction.problem.detail] if prediction.problem else prediction.warnings
    first = "-" if prediction.label is None else str(prediction.label)
    named = first if prediction.name is None else printable(prediction.name)
    probability = "-" if prediction.probability is None else f"{prediction.probability:.1%}"
    return named, probability, candidates, printable("; ".join(remarks).replace("\n", " "))
