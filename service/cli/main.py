"""The command `mlp-service` and its subcommands.

Every subcommand imports heavy modules only when it runs, because a container runs `health` every
few seconds.
"""

import os
from typing import Annotated

import typer

from service import __version__
from service.cli import datasets, jobs, keys
from service.cli.backup import backup
from service.cli.demo import demo
from service.cli.evaluate import evaluate
from service.cli.health import health
from service.cli.hosts import hosts
from service.cli.job_actions import cancel, delete, pause, resume, show, watch
from service.cli.migrate import migrate
from service.cli.missing_extra import NamesTheMissingExtra
from service.cli.move import move
from service.cli.openapi import openapi
from service.cli.predict import predict
from service.cli.prune import prune
from service.cli.results import curves, epochs, weights
from service.cli.serve import serve
from service.cli.train import EachOptionOnce, train
from service.cli.work import work

app = typer.Typer(
    cls=NamesTheMissingExtra,
    help="Train, watch and query multi-layer perceptrons over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


USE, JOBS, OPERATE = "Train and predict", "Jobs and their results", "Run a service"
"""The headings under which `mlp-service --help` lists the commands."""

app.command(cls=EachOptionOnce, rich_help_panel=USE)(train)
app.command(rich_help_panel=USE)(predict)
app.add_typer(datasets.app, name="datasets", rich_help_panel=USE)
jobs.app.command()(prune)
app.add_typer(jobs.app, name="jobs", rich_help_panel=JOBS)
for command in (show, watch, pause, resume, cancel, delete, epochs, curves, evaluate, weights):
    app.command(rich_help_panel=JOBS)(command)
for operation in (serve, work, hosts, demo, backup, migrate, move, health, openapi):
    app.command(rich_help_panel=OPERATE)(operation)
app.add_typer(keys.app, name="keys", rich_help_panel=OPERATE)
