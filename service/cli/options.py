"""Options that several commands share, and the settings that result from them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.settings import Settings

Host = Annotated[
    str | None, typer.Option(help="Address to listen on.", show_default="MLP_HOST or 127.0.0.1")
]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on.", show_default="MLP_PORT or 8000")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory of jobs, checkpoints and logs.", show_default="MLP_DATA_DIR or data"
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="MLP_SERVICE_URL",
        help="Address of the server.",
        show_default="http://127.0.0.1:8000",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print each record as one line of JSON.", show_default="off"),
]
FLAWS = {
    **dict.fromkeys(("int_parsing", "int_from_float", "int_type"), "must be a whole number"),
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
}
"""What is wrong with a setting, by pydantic's name for it."""
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, or its URL.")]


def job_id(text: str) -> str:
    """Return the id in a job's URL, and any other text unchanged."""
    found = re.search(r"/(?:jobs|models)/([^/?#]+)", text)
    return found[1] if found else text


def load_settings(**options: Any) -> "Settings":
    """Return the settings, as `read_settings` does, and warn of variables that nothing reads."""
    settings = read_settings(**options)
    for warning in unknown_variables():
        typer.echo(warning, err=True)
    return settings


def read_settings(**options: Any) -> "Settings":
    """Return the settings of the environment, overridden by the options that are not None.

    If a setting or the file `.env` is invalid, the command prints it and exits with 2.
    """
    from pydantic import ValidationError

    from service import env_file
    from service.settings import Settings

    try:
        env_file.check()
        return Settings(**given(options))
    except env_file.UnreadableEnvFile as error:
        typer.echo(str(error), err=True)
    except ValidationError as error:
        for flaw in error.errors(include_url=False, include_input=False):
            variable = "_".join(str(part) for part in ("MLP", *flaw["loc"][:1])).upper()
            wording = FLAWS.get(flaw["type"], flaw["msg"].removeprefix("Value error, "))
            typer.echo(f"{variable}: {wording.format_map(flaw.get('ctx', {}))}", err=True)
    raise typer.Exit(2)


def unknown_variables() -> list[str]:
    """Return a warning for each variable `MLP_…` that nothing reads."""
    from service.env_file import unknown_names
    from service.settings import Settings

    return unknown_names(Settings.model_fields)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def local_url(settings: "Settings") -> str:
    """Return the URL at which this machine reaches a server with these settings over TCP."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  only compared
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
