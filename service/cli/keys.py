"""`mlp-service keys`: create, list and revoke API keys in a data directory."""

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import DataDir, Json, load_settings
from service.cli.stored_data import database_of
from service.cli.tables import print_rows

if TYPE_CHECKING:
    from service.store.api_keys import ApiKey

app = typer.Typer(
    help="Create, list and revoke API keys in a data directory. Its server need not be running.",
    no_args_is_help=True,
)
COLUMNS = ("id", "name", "owner", "scopes", "created", "last used", "validity")


Owner = Annotated[
    str, typer.Option(help="Owner of the key's jobs: up to 64 letters, digits, '.', '_' or '-'.")
]
Name = Annotated[
    str | None,
    typer.Option(
        help="A name by which you know the key, such as 'laptop at home'.", show_default="none"
    ),
]
Scopes = Annotated[list[str], typer.Option(help="read, predict, train or admin; may be repeated.")]
ModelsOf = Annotated[
    str | None,
    typer.Option(
        metavar="OWNER",
        help="Let the key predict with the models of another owner; needs --scope predict "
        "and no other scope.",
        show_default="only its own",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(help="How long the key is valid: 90d, 12h, 30m.", show_default="it never expires"),
]


@app.command()
def create(
    owner: Owner,
    name: Name = None,
    scope: Scopes = ["read", "predict", "train"],  # noqa: B006  (never changed)
    models_of: ModelsOf = None,
    expires: Expires = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it; it can't be shown again.

    As soon as there is a key, every request needs one, except for health checks and documentation.
    """
    from service.store.api_keys import ApiKeyStore
    from service.store.jobs import JobStore

    _check_owner(owner, "--owner")
    _check_name(name)
    _check_scopes(scope, models_of)
    lifetime = None if expires is None else _parse_duration(expires)
    with database_of(load_settings(data_dir=data_dir), create=True) as database:
        if models_of and not JobStore(database).seen_by(models_of, everything=False).page(1).jobs:
            typer.echo(f"{models_of} has no jobs yet, so there are no models to use.", err=True)
        store = ApiKeyStore(database)
        typer.echo(store.create(owner, scope, lifetime, name=name, models_of=models_of))
    typer.echo(
        "Keep this key: only its SHA-256 is stored. Clients read it from MLP_API_KEY.", err=True
    )


@app.command("list")
def list_keys(
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List all keys: id, name, owner, scopes, time of creation and of last use, and validity.

    Times are in UTC. The last use is written about once a minute.
    """
    from service.store.api_keys import ApiKeyStore

    with database_of(load_settings(data_dir=data_dir)) as database:
        found = ApiKeyStore(database).all()
    if as_json:
        for key in found:
            typer.echo(json.dumps(_record(key)))
    elif found:
        print_rows(COLUMNS, [_row(key) for key in found], wrapped=COLUMNS[1:])
    else:
        typer.echo("There are no keys: everyone who can reach the server may use it.", err=True)


@app.command()
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the key, as `keys list` shows it.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key for good. A running server refuses it after about a second."""
    from service.store.api_keys import ApiKeyStore

    with database_of(load_settings(data_dir=data_dir)) as database:
        ApiKeyStore(database).revoke(key)
    typer.echo(f"{key} is revoked", err=True)


def _check_owner(owner: str, option: str) -> None:
    from service.store.api_keys import OWNER

    if not OWNER.fullmatch(owner):
        flaw = f"{owner[:100]!r} is not a name of 1 to 64 letters, digits, '.', '_' or '-'"
        raise typer.BadParameter(flaw, param_hint=option)


def _check_name(name: str | None) -> None:
    from service.store.api_keys import NAME_LENGTH

    if name is None:
        return
    if not (name.strip() and name.isprintable() and len(name) <= NAME_LENGTH):
        flaw = f"{name[:100]!r} is not a name of 1 to {NAME_LENGTH} printable characters"
        raise typer.BadParameter(flaw, param_hint="--name")


def _check_scopes(scopes: list[str], models_of: str | None) -> None:
    from service.store.api_keys import SCOPES

    if unknown := set(scopes) - set(SCOPES):
        flaw = f"{min(unknown)[:100]!r} is not one of {', '.join(SCOPES)}"
        raise typer.BadParameter(flaw, param_hint="--scope")
    if models_of is None:
        return
    _check_owner(models_of, "--models-of")
    if set(scopes) != {"predict"}:
        flaw = (
            "a key can use another owner's models only if it can do nothing but predict: add "
            "--scope predict, and no other scope"
        )
        raise typer.BadParameter(flaw, param_hint="--models-of")


def _parse_duration(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes"}
    found = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", text)
    if found is None:
        raise typer.BadParameter(
            f"{text[:100]!r} is not a duration such as 90d, 12h or 30m", param_hint="--expires"
        )
    return timedelta(**{units[found[2]]: int(found[1])})


def _row(key: "ApiKey") -> tuple[str, ...]:
    scopes = ", ".join(sorted(key.scopes))
    return (
        key.id,
        key.name or "-",
        key.owner,
        f"{scopes} (models of {key.models_of})" if key.models_of else scopes,
        _minute(key.created_at),
        _minute(key.last_used_at) if key.last_used_at else "never",
        _validity(key),
    )


def _record(key: "ApiKey") -> dict[str, object]:
    def text(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "scopes": sorted(key.scopes),
        "models_of": key.models_of,
        "created_at": text(key.created_at),
        "last_used_at": text(key.last_used_at),
        "expires_at": text(key.expires_at),
        "revoked_at": text(key.revoked_at),
        "valid": not (key.revoked_at or key.expired),
    }


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def _validity(key: "ApiKey") -> str:
    if key.revoked_at:
        return f"revoked {_minute(key.revoked_at)} UTC"
    if key.expires_at:
        return f"{'expired' if key.expired else 'expires'} {_minute(key.expires_at)} UTC"
    return "valid"
