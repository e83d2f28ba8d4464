"""`mlp-service move`: move a service from a data directory to several machines, or back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import Json, load_settings
from service.cli.terminal import counted

if TYPE_CHECKING:
    from service.store.moving import Moved


def move(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Move the service in this data directory to the settings'.",
            show_default="none",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Move the settings' service to this data directory.",
            show_default="none",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Move a whole service between a data directory and the database and bucket in the settings.

    Nothing may run at either place. What was moved stays as it was; if the move is interrupted,
    repeat it.
    """
    if (source is None) == (target is None):
        raise typer.BadParameter("give either --from or --to, with a data directory")
    settings = load_settings()
    from service import logs
    from service.domain.errors import StoreBroken
    from service.move import move_from, move_to

    logs.configure(settings.log_level, settings.log_format)
    try:
        if source is not None:
            moved = move_from(source, settings, _note)
        elif target is not None:
            moved = move_to(target, settings, _note)
    except StoreBroken as error:
        typer.echo(f"Not moved: {error}", err=True)
        raise typer.Exit(1) from None
    _report(moved, as_json=as_json)


def _note(what: str) -> None:
    typer.echo(what, err=True)


def _report(moved: "Moved", *, as_json: bool) -> None:
    for what in moved.lost:
        typer.echo(f"{what} is missing or damaged in the source, so it is not moved.", err=True)
    if as_json:
        typer.echo(json.dumps(asdict(moved)))
        return
    files = f"{counted(moved.files, 'file')} ({moved.bytes / 1e6:.1f} MB)"
    sets = counted(moved.datasets, "data set")
    typer.echo(f"Moved {counted(moved.rows, 'row')}, {files} and {sets}.")
