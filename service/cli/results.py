"""`mlp-service epochs`, `curves` and `weights`: what a job leaves behind."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.cli.options import JobArgument, Json, Url, job_id
from service.cli.tables import print_json, print_rows
from service.cli.terminal import errors_as_messages, percent

if TYPE_CHECKING:
    from mlp_client.model_calls import WeightsFormat
    from mlp_client.pictures import PictureFormat
    from mlp_client.records import Epoch

Format = TypeVar("Format")

EPOCH_COLUMNS = (
    "epoch",
    "train loss",
    "train accuracy",
    "test loss",
    "test accuracy",
    "seconds",
)
PICTURES: "dict[str, PictureFormat]" = {".png": "png", ".svg": "svg"}
FILES: "dict[str, WeightsFormat | PictureFormat]" = {
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".json": "json",
    **PICTURES,
}
STDOUT = Path("-")


def epochs(job: JobArgument, as_json: Json = False, url: Url = None) -> None:
    """Print loss, accuracy and time of each finished epoch of a job."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        found = client.jobs.get(job_id(job)).epochs()
    if as_json:
        print_json(found)
    else:
        print_rows(EPOCH_COLUMNS, [_row(epoch) for epoch in found])


def curves(
    jobs: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", help="Ids of jobs, or their URLs; several are compared."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="File to write, .png or .svg; - writes a PNG to standard output."),
    ] = Path("curves.png"),
    url: Url = None,
) -> None:
    """Save a picture of learning curves: of one job, or of several in one picture."""
    from mlp_client import Client

    format = _format(out, PICTURES, piped="png")
    with errors_as_messages(), Client(url) as client:
        ids = [job_id(job) for job in jobs]
        one = client.jobs.get(ids[0]) if len(ids) == 1 else None
        _save(out, one.curves(format) if one else client.curves(ids, format))


def weights(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Id of a job, its URL, or latest.")
    ] = "latest",
    out: Annotated[
        Path,
        typer.Option(
            help="File to write. Its suffix chooses what: .safetensors, .npz and .json hold all "
            "weights, .png and .svg are a picture of one layer's; - writes safetensors to "
            "standard output."
        ),
    ] = Path("weights.safetensors"),
    layer: Annotated[int, typer.Option(min=1, help="Layer of the picture, counted from 1.")] = 1,
    url: Url = None,
) -> None:
    """Save the weights of a network as a file, or a picture of one layer's weights."""
    from mlp_client import Client

    ref, format = job_id(model), _format(out, FILES, piped="safetensors")
    with errors_as_messages(), Client(url) as client:
        if format == "png" or format == "svg":  # unlike `in`, this narrows the type
            _save(out, client.models.picture(ref, layer, format))
        else:
            _save(out, client.models.weights(ref, format))


def _format(out: Path, formats: Mapping[str, Format], *, piped: Format) -> Format:
    """Return the format that a file's suffix names; `piped` for standard output."""
    if out == STDOUT:
        return piped
    if found := formats.get(out.suffix.lower()):
        return found
    known = " or ".join(formats)
    raise typer.BadParameter(f"{out.name!r} must end in {known}", param_hint="--out")


def _save(out: Path, data: bytes) -> None:
    """Write a file and print its name, or write to standard output."""
    if out == STDOUT:
        sys.stdout.buffer.write(data)
        return
    out.write_bytes(data)
    typer.echo(str(out))


def _row(epoch: "Epoch") -> tuple[str, ...]:
    return (
        str(epoch.epoch),
        f"{epoch.train_loss:.6f}",
        percent(epoch.train_accuracy),
        f"{epoch.test_loss:.6f}",
        percent(epoch.test_accuracy),
        f"{epoch.seconds:.2f}",
    )
