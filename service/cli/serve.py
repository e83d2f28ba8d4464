"""`mlp-service serve`: run the server."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import DataDir, Host, Port, read_settings, unknown_variables


def serve(
    host: Host = None,
    port: Port = None,
    uds: Annotated[
        Path | None,
        typer.Option(
            help="UNIX socket to listen on, instead of an address and a port.",
            show_default="MLP_UDS or none",
        ),
    ] = None,
    data_dir: DataDir = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure",
            help="Allow an address that other machines can reach, although there are no API keys.",
            show_default="off",
        ),
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C.

    Options override the environment variables (MLP_HOST, MLP_PORT, …).
    """
    # The server turns garbage collection on when it is ready. Imported modules never become
    # garbage, and searching them for some takes a sixth of the time to start.
    gc.disable()
    options = {"host": host, "port": port, "uds": uds, "insecure": insecure, "data_dir": data_dir}
    if uds is None and (host, port) != (None, None):
        options["uds"] = ""  # an address among the options wins over a socket in the environment
    settings = read_settings(**options)
    from service.serve import serve as serve_forever

    raise typer.Exit(serve_forever(settings, unknown_variables()))
