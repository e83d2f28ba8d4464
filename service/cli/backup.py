"""`mlp-service backup`: copy the data directory."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import DataDir, Json, load_settings
from service.cli.terminal import counted

if TYPE_CHECKING:
    from service.store.backup import Copied

SHA256_LENGTH = 64
"""Data sets are named by their digests, files by keys with slashes."""


def backup(
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The copy; it must not exist yet.")
    ],
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Copy the data directory to DEST. The server may run and jobs may train meanwhile.

    With a shared database and bucket, the copy is a data directory that one machine serves alone.
    """
    settings = load_settings(data_dir=data_dir)
    source = settings.data_dir.absolute()
    if destination.absolute().is_relative_to(source):
        raise typer.BadParameter(f"the backup can't be inside {source}, which it copies")
    from service.domain.errors import StoreBroken
    from service.storage import Storage, refuse_unshared
    from service.store.backup import Original
    from service.store.backup import backup as copy_data

    try:
        refuse_unshared(settings)
        with closing(Storage(settings)) as stored:
            url, artifacts = settings.resolved_database_url(), stored.artifacts
            original = Original(url, artifacts, stored.dataset_files, stored.uploads)
            copied = copy_data(original, destination)
    except StoreBroken as error:
        typer.echo(f"No backup was made: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"destination": str(destination)} | asdict(copied)))
    else:
        copied_from = "the shared database" if settings.artifacts_url else source
        typer.echo(f"Copied {copied_from} to {destination}: {_contents(copied)}")
    for key in copied.lost:
        typer.echo(
            f"{'The data set' if len(key) == SHA256_LENGTH else 'The file'} {key} is missing or "
            "damaged in the original, so the copy does not contain it.",
            err=True,
        )


def _contents(copied: "Copied") -> str:
    rows = f"{counted(copied.jobs, 'job')}, {counted(copied.checkpoints, 'checkpoint')}"
    rows += f", {counted(copied.snapshots, 'snapshot')}"
    rows += f", {counted(copied.datasets, 'data set')}" if copied.datasets else ""
    return f"{rows}, {copied.bytes / 1e6:.1f} MB"
