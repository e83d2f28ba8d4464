"""The command `mlp-service`, run in this process."""

from typer.testing import CliRunner, Result

from service.cli.main import app


def run(*arguments: object, typed: str = "") -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def usage_error(result: Result) -> str:
    """Return the message about wrong usage, without the frame around it and its line breaks."""
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())
