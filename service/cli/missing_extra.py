"""Commands that need the server's packages say so where only the client's are installed."""

from typing import Any

import typer
from typer.core import TyperGroup

OURS = ("service", "mlp_client", "mlp_core")


class NamesTheMissingExtra(TyperGroup):
    """A group of commands that reports a missing package in one line, with the way out."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in OURS:
                raise
            typer.echo(
                f"mlp-service {ctx.invoked_subcommand} needs the server's packages, and {package} "
                "is not installed. Install the project with its extra [server], for example with: "
                "pip install '/path/to/mlp-service[server]'",
                err=True,
            )
            raise typer.Exit(1) from None
