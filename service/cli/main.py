"""The command `mlp-service` and its subcommands.

Every subcommand imports heavy modules only when it runs, because a container runs `health` every
few seconds.
"""

import os
from typing import Annotated

import typer

from service import __version__
from service.cli import keys
from service.cli.backup import backup
from service.cli.demo import demo
from service.cli.health import health
from service.cli.missing_extra import NamesTheMissingExtra
from service.cli.openapi import openapi
from service.cli.predict import predict
from service.cli.prune import prune
from service.cli.serve import serve
from service.cli.train import EachOptionOnce, train

app = typer.Typer(
    cls=NamesTheMissingExtra,
    help="Train, watch and query multi-layer perceptrons over HTTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mlp-service {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    os.umask(0o077)  # only their owner may read the data directory and its backups


app.command()(serve)
app.command()(demo)
app.command(cls=EachOptionOnce)(train)
app.command()(predict)
jobs = typer.Typer(help="Look after the jobs of a data directory.", no_args_is_help=True)
jobs.command()(prune)
app.add_typer(jobs, name="jobs")
app.add_typer(keys.app, name="keys")
app.command()(backup)
app.command()(health)
app.command()(openapi)
