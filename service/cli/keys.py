"""`mlp-service keys`: create, list and revoke API keys in a data directory."""

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import DataDir, load_settings

if TYPE_CHECKING:
    from service.store.api_keys import ApiKey, ApiKeyStore

app = typer.Typer(
    help="Create, list and revoke API keys in a data directory. Its server need not be running.",
    no_args_is_help=True,
)


@app.command()
def create(
    owner: Annotated[
        str,
        typer.Option(help="Owner of the key's jobs: up to 64 letters, digits, '.', '_' or '-'."),
    ],
    scope: Annotated[
        list[str], typer.Option(help="read, predict, train or admin; may be repeated.")
    ] = ["read", "predict", "train"],  # noqa: B006  (never changed)
    expires: Annotated[
        str | None,
        typer.Option(help="How long the key is valid: 90d, 12h, 30m. By default it never expires."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it; it can't be shown again.

    As soon as there is a key, every request needs one, except for health checks and documentation.
    """
    from service.store.api_keys import OWNER, SCOPES

    if not OWNER.fullmatch(owner):
        flaw = f"{owner[:100]!r} is not a name of 1 to 64 letters, digits, '.', '_' or '-'"
        raise typer.BadParameter(flaw, param_hint="--owner")
    if unknown := set(scope) - set(SCOPES):
        flaw = f"{min(unknown)[:100]!r} is not one of {', '.join(SCOPES)}"
        raise typer.BadParameter(flaw, param_hint="--scope")
    lifetime = None if expires is None else _parse_duration(expires)
    with _key_store(data_dir, create_database=True) as store:
        typer.echo(store.create(owner, scope, lifetime))
    typer.echo(
        "Keep this key: only its SHA-256 is stored. Clients read it from MLP_API_KEY.", err=True
    )


@app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List all keys with id, owner, scopes and validity."""
    with _key_store(data_dir) as store:
        found = store.all()
    for key in found:
        typer.echo(f"{key.id}  {key.owner}  {','.join(sorted(key.scopes))}  {_validity(key)}")
    if not found:
        typer.echo("There are no keys: everyone who can reach the server may use it.", err=True)


@app.command()
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the key, as `keys list` shows it.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key for good. A running server refuses it after about a second."""
    with _key_store(data_dir) as store:
        store.revoke(key)
    typer.echo(f"{key} is revoked", err=True)


@contextlib.contextmanager
def _key_store(data_dir: Path | None, *, create_database: bool = False) -> Iterator["ApiKeyStore"]:
    """Open the keys of a data directory; print errors to stderr and exit with 1."""
    from service.domain.errors import ServiceError
    from service.store.api_keys import ApiKeyStore
    from service.store.sql.database import Database
    from service.store.sql.engine import is_there
    from service.store.sql.migrate import migrate

    settings = load_settings(data_dir=data_dir)
    url = settings.resolved_database_url()
    try:
        if not is_there(url):
            _report_missing_database(settings.data_dir.absolute(), create_database)
        with contextlib.closing(Database(url)) as database:
            migrate(url)
            yield ApiKeyStore(database)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _report_missing_database(directory: Path, create_database: bool) -> None:
    """Say that a database will be created, or exit with 1."""
    if create_database:
        typer.echo(f"{directory} has no database yet. It is created for a new server.", err=True)
        return
    typer.echo(
        f"{directory} has no database. Set --data-dir or MLP_DATA_DIR to the server's directory.",
        err=True,
    )
    raise typer.Exit(1)


def _parse_duration(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes"}
    found = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", text)
    if found is None:
        raise typer.BadParameter(
            f"{text[:100]!r} is not a duration such as 90d, 12h or 30m", param_hint="--expires"
        )
    return timedelta(**{units[found[2]]: int(found[1])})


def _validity(key: "ApiKey") -> str:
    def day(at: datetime) -> str:
        return at.strftime("%Y-%m-%d %H:%M UTC")

    if key.revoked_at:
        return f"revoked {day(key.revoked_at)}"
    if key.expires_at:
        return f"{'expired' if key.expired else 'expires'} {day(key.expires_at)}"
    return "valid"
