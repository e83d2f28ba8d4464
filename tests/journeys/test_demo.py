"""A shortened demo, the command that a newcomer runs first."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.support.server_process import free_port


def test_the_demo_trains_shows_and_ends(tmp_path: Path, datasets_dir: Path) -> None:
    command = [sys.executable, "-m", "service", "demo", "--exit", "--epochs", "2"]
    done = subprocess.run(
        [*command, "--port", str(free_port()), "--data-dir", "data"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "MLP_DATASETS_DIR": str(datasets_dir)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "784-128-10" in done.stdout
    names = {path.stem for path in (tmp_path / "demo").glob("*.png")}
    assert {"curves", "weights-linear", "samples", "drawing"} <= names
    for path in (tmp_path / "demo").glob("*.png"):
        Image.open(path).verify()
