"""`mlp-service migrate`: bring the database to the newest schema."""

import contextlib
import json

import typer

from service.cli.options import DataDir, Json, load_settings


def migrate(as_json: Json = False, data_dir: DataDir = None) -> None:
    """Bring the database to this version's schema, before the first server or host starts it.

    Any number may run at the same time; one of them does the work.
    """
    settings = load_settings(data_dir=data_dir)
    from service import logs
    from service.domain.errors import StoreBroken
    from service.preparation import bring_up_to_date, lock_data_dir
    from service.store.sql.engine import engine_of
    from service.store.sql.migrate import REVISIONS

    logs.configure(settings.log_level, settings.log_format)
    url = settings.resolved_database_url()
    try:
        with contextlib.ExitStack() as cleanup:
            if engine_of(url).file:  # a server that runs would go on with the old schema
                cleanup.enter_context(lock_data_dir(settings.data_dir))
            applied = bring_up_to_date(url)
    except StoreBroken as error:
        typer.echo(f"Not migrated: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"schema": REVISIONS[-1], "applied": applied}))
    elif applied:
        typer.echo(f"Brought the database to schema {REVISIONS[-1]}: applied {', '.join(applied)}.")
    else:
        typer.echo(f"The database has had schema {REVISIONS[-1]} already.")
