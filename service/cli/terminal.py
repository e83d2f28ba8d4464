"""Output of the commands: lines of text, and errors without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def echo_lines(lines: list[str], *, err: bool = False) -> None:
    """Print lines to stdout, or to stderr."""
    typer.echo("\n".join(lines), err=err)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 epoch` or `20 epochs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_interactive() -> bool:
    """Return whether someone can answer a question of the command."""
    return sys.stdin.isatty()


def percent(share: float) -> str:
    """Return 0.9786 as `97.86%`."""
    return f"{share:.2%}"


def printable(text: str) -> str:
    """Return a server's text with all control characters replaced, except for line breaks."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def _message(error: Exception) -> str:
    """Return an error's text; that of the operating system begins with the name of the file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Print errors of the client to stderr and exit with 1; on Ctrl-C exit with 130."""
    from mlp_client import ClientError

    try:
        yield
    except (ClientError, OSError) as error:
        typer.echo(printable(_message(error)), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted. A job that was already submitted continues.", err=True)
        raise typer.Exit(130) from None
