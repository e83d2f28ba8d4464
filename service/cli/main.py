"""The command `mlp-service`: serve, and drive a server from the shell.

What is heavy is imported inside the commands: `health` runs every few seconds in a container.
"""

import contextlib
import gc
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from service import __version__

if TYPE_CHECKING:
    from service.settings import Settings
    from service.store.api_keys import Key, KeyStore

app = typer.Typer(
    help="Train, watch and query multi-layer perceptrons over HTTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

keys = typer.Typer(
    help="Make, list and revoke API keys, in the data directory of a server that runs or not.",
    no_args_is_help=True,
)
app.add_typer(keys, name="keys")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
DataDir = Annotated[Path | None, typer.Option(help="Where jobs, checkpoints and logs are kept.")]
Url = Annotated[str | None, typer.Option(envvar="MLP_SERVICE_URL", help="The server's address.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mlp-service {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    os.umask(0o077)  # the data directory and copies of it are nobody else's to read


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Allow an address that others can reach.")
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C. Options override the environment (MLP_HOST, MLP_PORT, …)."""
    gc.disable()  # until it serves: what is imported stays, and to look for garbage takes a sixth
    settings = _settings(host=host, port=port, data_dir=data_dir, insecure=insecure)
    from service import serve as server

    raise typer.Exit(server.serve(settings))


class _EachOnce(TyperCommand):
    """Refuses an option that comes twice; of two the last would count, and the first be lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            if order.count(param) > 1 and not getattr(param, "multiple", False):
                hint = " Layers are one list: --hidden 30,20." if param.name == "hidden" else ""
                ctx.fail(f"{param.opts[0]} is given twice; leave one out.{hint}")
        return super().parse_args(ctx, args)


@app.command(cls=_EachOnce)
def train(
    preset: Annotated[
        str | None,
        typer.Option(
            help="linear, mlp-relu, mlp-sigmoid or mlp-augmented.", show_default="mlp-relu"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="For lists and pictures.")] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Units of each hidden layer: 128,64; '' is linear.")
    ] = None,
    activation: Annotated[str | None, typer.Option(help="relu, sigmoid or tanh.")] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    others: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Any other field of a spec, its value as JSON or a word: optimizer=adamw, "
            "schedule=cosine, 'augmentation={}', l2=1e-4. May be repeated.",
        ),
    ] = [],  # noqa: B006  only read
    url: Url = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit only.")] = False,
) -> None:
    """Submit a job, watch it, and say where its results are. Ctrl-C does not stop the job."""
    from mlp_client import Client
    from service.cli import train as training

    options: dict[str, Any] = {
        "preset": preset,
        "name": name,
        "activation": activation,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    try:
        options["hidden"] = None if hidden is None else training.integers(hidden)
        fields = training.fields(options, others)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with _errors_in_one_line(), Client(url) as client:
        job = client.jobs.create(**fields)
        typer.echo(job.url)
        if no_wait:
            _say(training.ways_on(job), err=True)  # scripts read the URL from stdout
            return
        try:
            job.wait(progress=True)
        except KeyboardInterrupt:
            _say(["Stopped waiting; the job goes on.", *training.ways_on(job)], err=True)
            raise typer.Exit(130) from None
        _say(training.result(job, client.base_url))


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="IMAGE")],
    model: Annotated[str, typer.Option(help="Id of a job, or latest.")] = "latest",
    top_k: Annotated[int, typer.Option(help="How many candidates to name.")] = 3,
    url: Url = None,
) -> None:
    """Say which digits pictures show: any size, dark on light or light on dark.

    An .npy file may hold one image or many, 28x28 or 784 numbers each: uint8 0-255, float 0-1.
    A terminal shows a table, cut after 50 lines; a pipe or a file gets all, separated by tabs.
    """
    from mlp_client import Client
    from service.cli import predict as answers

    with _errors_in_one_line(), Client(url) as client:
        told = list(answers.ask(client.models, images, model, top_k))
    answers.show(told)
    if any(prediction.problem for _, prediction in told):
        raise typer.Exit(1)


@app.command()
def backup(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A directory to be made.")],
    data_dir: DataDir = None,
) -> None:
    """Copy the data directory to DEST, also while the server runs and jobs train."""
    settings = _settings(data_dir=data_dir)
    source = settings.data_dir.absolute()
    if destination.absolute().is_relative_to(source):
        raise typer.BadParameter(f"a copy in {source} would be part of its original")
    from service.domain.errors import StoreBroken
    from service.store.backup import backup as copy
    from service.store.files.local import Artifacts

    artifacts = Artifacts(settings.data_dir / "jobs")
    try:
        copied = copy(settings.resolved_database_url(), artifacts, destination)
    except StoreBroken as error:
        typer.echo(f"No backup was made: {error}", err=True)
        raise typer.Exit(1) from None
    size = f"{copied.bytes / 1e6:.1f} MB"
    told = f"{copied.jobs} jobs, {copied.checkpoints} checkpoints, {size}"
    typer.echo(f"{told} of {source} in {destination}")
    for key in copied.lost:
        typer.echo(f"The original has lost the checkpoint {key}; it is not in the copy.", err=True)


@app.command()
def health(url: Url = None) -> None:
    """Ask a server whether it is ready; the exit code is 0 if it is, else 1."""
    import httpx2

    headers = {}
    if url is None:
        settings = _settings()
        url = _local_url(settings)
        # The server refuses names that are not its own, and 127.0.0.1 may not be.
        if "*" not in settings.allowed_hosts:
            headers["Host"] = settings.allowed_hosts[0]
    elif "://" not in url:
        url = f"http://{url}"
    try:
        # trust_env=False: the server is asked itself, never a proxy.
        answer = httpx2.get(
            f"{url.rstrip('/')}/readyz", headers=headers, timeout=5, trust_env=False
        )
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        typer.echo(f"{url} does not answer: {error}", err=True)
        raise typer.Exit(1) from None
    if not answer.is_success:
        typer.echo(f"{url} is not ready: {answer.status_code} {answer.text}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{url} is ready")


@app.command()
def demo(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Where pictures are saved.")] = Path("demo"),
    epochs: Annotated[int | None, typer.Option(help="Fewer epochs, for a quick look.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End instead of serving on.")] = False,
) -> None:
    """Start a server, train the three presets over REST, show what came out, keep serving."""
    from service.cli import demo as tour

    settings = _settings(host=host, port=port, data_dir=data_dir)
    server = tour.Server(settings.host, settings.port, settings.data_dir, _local_url(settings))
    raise typer.Exit(tour.run(server, out, epochs, leave))


@keys.command()
def create(
    owner: Annotated[
        str, typer.Option(help="Whose jobs it sees: up to 64 letters, digits, '.', '_', '-'.")
    ],
    scope: Annotated[
        list[str], typer.Option(help="read, predict, train or admin; may be repeated.")
    ] = ["read", "predict", "train"],  # noqa: B006  only read
    expires: Annotated[
        str | None, typer.Option(help="How long it is valid: 90d, 12h, 30m; default for ever.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make an API key and print it: it can't be shown again. From the first one on all need one."""
    from service.store.api_keys import OWNER, SCOPES

    if not OWNER.fullmatch(owner):
        flaw = f"{owner[:100]!r} is no name of 1 to 64 letters, digits, '.', '_', '-'"
        raise typer.BadParameter(flaw, param_hint="--owner")
    if unknown := set(scope) - set(SCOPES):
        flaw = f"{min(unknown)[:100]!r} is none of {', '.join(SCOPES)}"
        raise typer.BadParameter(flaw, param_hint="--scope")
    lifetime = None if expires is None else _duration(expires)
    with _key_store(data_dir, new=True) as store:
        typer.echo(store.create(owner, scope, lifetime))
    typer.echo("Keep it: only its digest is stored. Clients read it from MLP_API_KEY.", err=True)


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the keys: id, owner, scopes, and until when."""
    with _key_store(data_dir) as store:
        found = store.all()
    for key in found:
        typer.echo(f"{key.id}  {key.owner}  {','.join(sorted(key.scopes))}  {_validity(key)}")
    if not found:
        typer.echo("There are no keys: the service is open to all that reach it.", err=True)


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Make a key invalid for good; a server that runs notices it in about a second."""
    with _key_store(data_dir) as store:
        store.revoke(key)
    typer.echo(f"{key} is revoked", err=True)


@contextlib.contextmanager
def _key_store(data_dir: Path | None, *, new: bool = False) -> Iterator["KeyStore"]:
    from service.domain.errors import ServiceError
    from service.store.api_keys import KeyStore
    from service.store.sql.connector import Database, is_there, migrate

    settings = _settings(data_dir=data_dir)
    url, place = settings.resolved_database_url(), settings.data_dir.absolute()
    try:
        if not is_there(url):
            if not new:
                flaw = f"{place} holds no database; --data-dir (MLP_DATA_DIR) names it."
                typer.echo(flaw, err=True)
                raise typer.Exit(1)
            made = f"{place} holds no database yet; a new one is made for a new server."
            typer.echo(made, err=True)
        with contextlib.closing(Database(url)) as database:
            migrate(url)
            yield KeyStore(database)
    except ServiceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _duration(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes"}
    found = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", text)
    if found is None:
        raise typer.BadParameter(
            f"{text[:100]!r} is no duration such as 90d, 12h or 30m", param_hint="--expires"
        )
    return timedelta(**{units[found[2]]: int(found[1])})


def _validity(key: "Key") -> str:
    def day(at: datetime) -> str:
        return at.strftime("%Y-%m-%d %H:%M UTC")

    if key.revoked_at:
        return f"revoked {day(key.revoked_at)}"
    if key.expires_at:
        return f"{'expired' if key.expired else 'expires'} {day(key.expires_at)}"
    return "valid"


def _settings(**options: Any) -> "Settings":
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**_given(options))
    except ValidationError as error:
        for flaw in error.errors():
            variable = "_".join(str(part) for part in ("MLP", *flaw["loc"][:1])).upper()
            typer.echo(f"{variable}: {flaw['msg']}", err=True)
        raise typer.Exit(2) from None


def _local_url(settings: "Settings") -> str:
    """Return the URL under which this machine reaches a server with these settings."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    from mlp_client import ClientError
    from service.cli.predict import printable

    try:
        yield
    except (ClientError, OSError) as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("Stopped waiting. A job that was submitted goes on.", err=True)
        raise typer.Exit(130) from None


def _say(lines: list[str], *, err: bool = False) -> None:
    typer.echo("\n".join(lines), err=err)
