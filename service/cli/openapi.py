"""`mlp-service openapi`: print the OpenAPI document."""

import typer

from service.cli.options import load_settings


def openapi() -> None:
    """Print the OpenAPI document, from which clients can be generated; no server is needed."""
    import json

    from service.app import create_app

    typer.echo(json.dumps(create_app(load_settings()).openapi(), indent=2))
