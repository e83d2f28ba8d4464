"""The quick start of docs/scale.md, from nothing to jobs that two hosts trained, as printed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.documents import blocks_in, chapter
from tests.support.postgresql_server import NOBODY, programs_in
from tests.support.server_process import free_port

GUIDE = "docs/scale.md"
NOT_RUN = ("python3 -m venv ", "pip install ", "docker ")
"""Lines that no test can run: what they install is there, and a test machine has no Docker."""
PORTS = ("5432", "8333", "8000")
AS_NOBODY = f"""#!/bin/sh
exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups PROGRAM "$@"
"""
"""PostgreSQL refuses to run as root, as which tests may run."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in which everybody may write; at the end, nothing runs there any more."""
    directory = Path(tempfile.mkdtemp(prefix="quick-start-"))
    directory.chmod(0o777)
    yield directory
    for file in [*directory.glob("*.pid"), *directory.glob("db/postmaster.pid")]:
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
    shutil.rmtree(directory)


def programs(place: Path) -> Path:
    """Return a folder with PostgreSQL's programs, which run as somebody who is not root."""
    found, folder = programs_in(place), place / "programs"
    folder.mkdir()
    for name in ("initdb", "pg_ctl", "psql"):
        if os.geteuid() == 0:
            (folder / name).write_text(AS_NOBODY.replace("PROGRAM", str(found / name)))
            (folder / name).chmod(0o755)
        else:
            (folder / name).symlink_to(found / name)
    return folder


def script() -> str:
    """Return the lines of the guide, with free ports in place of the usual ones."""
    text = "\n".join(
        line
        for block in blocks_in(chapter(GUIDE, "Quick start"), "sh")
        for line in block.splitlines()
        if not line.startswith(NOT_RUN)
    )
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    return text


def test_the_quick_start_runs_as_printed(place: Path, datasets_dir: Path) -> None:
    lines = script()
    [port] = re.findall(r"serve --port (\d+)", lines)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ
        | {
            "PATH": f"{programs(place)}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLP_DATASETS_DIR": str(datasets_dir),
            "MLP_SERVICE_URL": f"http://localhost:{port}",
        },
    )
    logs = [f"{log.name}:\n{log.read_text()[-2000:]}" for log in place.glob("*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    trained = re.findall(r"^(host\d)/logs/(job_\S+)$", done.stdout, re.MULTILINE)
    short, moved = trained[:4], trained[4:]
    assert {host for host, _ in short} == {"host1", "host2"}
    assert len({job for _, job in short}) == 4
    assert [host for host, _ in moved] == ["host1", "host2"], "the second one continued it"
    assert len({job for _, job in moved}) == 1
    for shown in ('"attempt":2', '"bit_exact":true', '"lost_workers":0', "test accuracy"):
        assert shown in done.stdout, done.stdout
