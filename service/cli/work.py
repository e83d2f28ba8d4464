"""`mlp-service work`: train the jobs of a shared database, without serving."""

from typing import Annotated

import typer

from service.cli.options import DataDir, read_settings, unknown_variables


def work(
    slots: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many jobs to train at the same time.",
            show_default="MLP_CONCURRENT_JOBS or one per usable core",
        ),
    ] = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="End after so many seconds without any work.",
            show_default="never",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Work on the jobs of the PostgreSQL database in MLP_DATABASE_URL until Ctrl-C.

    Workers save their work when the host is stopped, and other hosts continue it.
    """
    settings = read_settings(concurrent_jobs=slots, data_dir=data_dir)
    from service.host import work as work_forever

    raise typer.Exit(work_forever(settings, until_idle, unknown_variables()))
