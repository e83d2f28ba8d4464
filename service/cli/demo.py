"""`mlp-service demo`: show everything with one command."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import DataDir, Host, Port, load_settings, local_url


def demo(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Directory for pictures.")] = Path("demo"),
    epochs: Annotated[
        int | None,
        typer.Option(help="Number of epochs, for a shorter demo.", show_default="50"),
    ] = None,
    leave: Annotated[
        bool,
        typer.Option("--exit", help="Exit instead of serving until Ctrl-C.", show_default="off"),
    ] = False,
) -> None:
    """Start a server, train three presets over REST, show the results, and keep serving."""
    from service.cli.demo_server import DemoServer
    from service.cli.demo_tour import run

    settings = load_settings(host=host, port=port, data_dir=data_dir)
    server = DemoServer(settings.host, settings.port, settings.data_dir, local_url(settings))
    raise typer.Exit(run(server, out, epochs, leave))
