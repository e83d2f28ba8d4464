"""Output of the commands: lines of text, and errors without a traceback."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import typer

QUERY_PARAMETER = re.compile(r"(?<![^\s`(\"'])\?([a-z_]+)(?:=(\w*))?")
"""A parameter that an error of the server names, as in `?force=true`; not one within an address."""


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


def as_options(text: str, options: Iterable[str]) -> str:
    """Return a server's text with query parameters as the options of a command.

    `?force=true` becomes `--force`, and `?split=` becomes `--split`. Parameters that the command
    does not have stay as they are.

    Args:
        text: of an error.
        options: the command's, such as `--force`.

    """
    known = set(options)

    def spelled(found: re.Match[str]) -> str:
        option, value = f"--{found[1].replace('_', '-')}", found[2]
        if option not in known:
            return found[0]
        return option if value in (None, "", "true") else f"{option} {value}"

    return QUERY_PARAMETER.sub(spelled, text)


def _message(error: Exception, options: Iterable[str]) -> str:
    """Return an error's text; that of the operating system begins with the name of the file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return as_options(str(error), options)


def each_or_exit(
    names: Sequence[str], act: Callable[[str], None], options: Iterable[str] = ()
) -> None:
    """Do something with each of several jobs or data sets; exit with 1 if one was refused."""
    if not all_succeed(names, act, options):
        raise typer.Exit(1)


def all_succeed(
    names: Sequence[str], act: Callable[[str], None], options: Iterable[str] = ()
) -> bool:
    """Do something with each of several jobs or data sets, and return whether none was refused.

    What is refused does not keep the others from it; its reason goes to stderr.

    Args:
        names: of the jobs or data sets.
        act: does it with one of them.
        options: of the command that errors of the server may name as query parameters.

    """
    from mlp_client import KeyRefused, NotFoundError, RefusedError

    succeeded = True
    for name in names:
        try:
            act(name)
        except KeyRefused:  # so will the others be
            raise
        except (NotFoundError, RefusedError) as error:
            start = f"{name}: " if len(names) > 1 else ""
            typer.echo(printable(start + _message(error, options)), err=True)
            succeeded = False
    return succeeded


@contextmanager
def errors_as_messages(options: Iterable[str] = ()) -> Iterator[None]:
    """Print errors of the client to stderr and exit with 1; on Ctrl-C exit with 130.

    Args:
        options: of the command that errors of the server may name as query parameters.

    """
    from mlp_client import ClientError

    try:
        yield
    except (ClientError, OSError) as error:
        typer.echo(printable(_message(error, options)), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted. A job that was already submitted continues.", err=True)
        raise typer.Exit(130) from None
