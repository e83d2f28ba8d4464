"""The file `.env`, and names of environment variables that mean nothing to the service."""

import io
import os
import re
import stat
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

ENV_FILE = Path(".env")
ENCODING = "utf-8-sig"
"""UTF-8, with or without the mark that Windows editors put in front."""
MAX_BYTES = 1_000_000
PREFIX = "MLP_"
NO_SETTINGS = (
    "MLP_API_KEY",
    "MLP_SERVICE_URL",
    "MLP_UPLOADS_DIR",
    "MLP_RESULTS_URL",
    "MLP_SHARED_URL",
    "MLP_DATASET_QUOTA",
)
"""Variables that the clients and the workers read."""
REPLACED = ("FORWARDED_ALLOW_IPS", "MLP_TRUSTED_PROXIES")
"""uvicorn's own variable, and the setting that takes its place."""
OF_KUBERNETES = re.compile(r"MLP_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+\w*)?)")
"""Kubernetes describes a service `mlp-…` to all pods of its namespace in variables like these."""


class UnreadableEnvFile(Exception):
    """The file `.env` can't be read; `str()` says why, and what to do."""


def check(path: Path = ENV_FILE) -> None:
    """Read the file if there is one.

    Raises:
        UnreadableEnvFile: it is no text in UTF-8, no file, or not permitted to be read, or a line
            in it is no setting.
    """
    try:
        content = _content(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise UnreadableEnvFile(
            f"{path} is a directory, not a file of settings; rename or remove it"
        ) from None
    except OSError as error:
        raise UnreadableEnvFile(f"{path} can't be read: {error.strerror}") from None
    try:
        text = content.decode(ENCODING)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnreadableEnvFile(
            f"{path} is not text in UTF-8 (older PowerShells write UTF-16); save it as UTF-8"
        )
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            raise UnreadableEnvFile(
                f"{path}: line {line.original.line} is not NAME=value; correct or remove it"
            )


def _content(path: Path) -> bytes:
    """Return the content of the file; a pipe would make the command wait, and a device fill memory.

    Raises:
        UnreadableEnvFile: it is neither a file nor a directory, or much too long.
        OSError: it can't be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise UnreadableEnvFile(f"{path} is a pipe or a device, not a file of settings; remove it")
    if found.st_size > MAX_BYTES:
        raise UnreadableEnvFile(f"{path} has more than {MAX_BYTES:,} bytes; it holds no settings")
    return path.read_bytes()


def unknown_names(settings: Iterable[str], path: Path = ENV_FILE) -> list[str]:
    """Return a warning for each variable `MLP_…` that nothing reads, with a guess what was meant.

    Args:
        settings: the names of the settings, without the prefix and in lower case.
        path: the file whose names count like those of the environment.
    """
    known = {f"{PREFIX}{name.upper()}" for name in settings} | set(NO_SETTINGS)
    in_file = dotenv_values(path, encoding=ENCODING) if path.is_file() else {}
    given = dict.fromkeys(in_file, f" (in {path})") | dict.fromkeys(os.environ, "")
    replaced = [f"{REPLACED[0]} is no longer read; set {REPLACED[1]}"]
    return [
        *(replaced if REPLACED[0] in os.environ and REPLACED[1] not in given else []),
        *_unknown(given, known),
    ]


def _unknown(given: dict[str, str], known: set[str]) -> list[str]:
    """Return the warnings for names that are not known; `given` says where each of them is set."""
    return [
        f"{name}{where} is unknown{_guess(name, known)}"
        for name, where in sorted(given.items())
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not OF_KUBERNETES.fullmatch(name)
    ]


def _guess(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name.upper(), sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/settings.md lists the settings"
