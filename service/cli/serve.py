"""`mlp-service serve`: run the server."""

import gc
from typing import Annotated

import typer

from service.cli.options import DataDir, Host, Port, load_settings


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure",
            help="Allow an address that other machines can reach, although there are no API keys.",
        ),
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C.

    Options override the environment variables (MLP_HOST, MLP_PORT, …).
    """
    # The server turns garbage collection on when it is ready. Imported modules never become
    # garbage, and searching them for some takes a sixth of the time to start.
    gc.disable()
    settings = load_settings(host=host, port=port, data_dir=data_dir, insecure=insecure)
    from service.serve import serve as serve_forever

    raise typer.Exit(serve_forever(settings))
