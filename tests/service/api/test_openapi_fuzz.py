"""Schemathesis sends what the OpenAPI document allows, and what it does not, to a real server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server


@pytest.fixture
def target(world, datasets_dir, tmp_path):
    """A server that has trained jobs, and trains none."""
    shutil.copytree(world.data_dir, tmp_path / "data")
    server = Server(tmp_path / "data", datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    yield server
    server.stop()


def test_a_fuzzer_finds_no_answer_that_the_document_does_not_promise(target, tmp_path):
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [f"{target.url}/openapi.json", "--no-color", "--warnings=off", "--seed=7"]
    command += ["--phases=examples,coverage,fuzzing", "--max-examples=8"]
    # A stream of a waiting job does not end; whether a valid size is too much depends on others.
    command += ["--exclude-path=/v1/jobs/{job}/events"]
    command += ["--exclude-checks=positive_data_acceptance,unsupported_method"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "Selected: 22/23" in done.stdout
    assert '" 50' not in target.log()
    assert "Traceback" not in target.log()
    for path in ("predict", "weights.npz", "layers/1/weights.png"):
        assert re.search(rf'/v1/models/latest/{path}\S* HTTP/1.1" 200', target.log()), path
