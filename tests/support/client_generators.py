"""The generators of clients, each installed once into a folder of its own, by pinned hashes."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.documents import ROOT
from tests.support.external_programs import require_program, skip_or_fail

REQUIREMENTS = ROOT / "requirements" / "generators.txt"
APPS = ROOT / "tests" / "generated_clients"
PACKAGES = APPS / "package.json", APPS / "package-lock.json"
PLACE = Path(sys.prefix) / "generators"
"""A place inside the environment of the tests, so that `make clean` removes it too."""


def python_bin() -> Path:
    """Return the folder with openapi-python-client, python, and what generated clients import."""

    def install(place: Path) -> list[str]:
        venv.create(place, with_pip=True)
        pip = [str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        return [*pip, "--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS)]

    return _installed("python", (REQUIREMENTS,), install) / "bin"


def node_project() -> Path:
    """Return a folder whose `node_modules` has openapi-typescript, openapi-fetch and tsc."""
    require_program("node", package="nodejs")
    npm = require_program("npm", package="npm")

    def install(place: Path) -> list[str]:
        for file in PACKAGES:
            shutil.copy(file, place)
        options = ["--ignore-scripts", "--no-audit", "--no-fund"]
        return [str(npm), "ci", "--prefix", str(place), *options]

    return _installed("node", PACKAGES, install)


def _installed(name: str, pins: tuple[Path, ...], install: Callable[[Path], list[str]]) -> Path:
    """Return the folder of these pins; it is filled by the command that `install` returns."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()[:16]
    place = PLACE / f"{name}-{digest}"
    complete = place / "complete"
    if not complete.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        done = subprocess.run(install(place), capture_output=True, text=True)
        if done.returncode:
            skip_or_fail(f"the {name} generator can't be installed: {done.stderr[-1000:]}")
        complete.touch()
    return place


def run(command: Sequence[str | Path], directory: Path, *, path: Path | None = None) -> str:
    """Run a command in a directory, with `path` searched first; return what it prints."""
    search = os.pathsep.join([*([str(path)] if path else []), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"PATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
