"""Every command and client line of README works as printed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_process import Server

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("readme"), datasets_dir).start()
    server.wait(server.submit(preset="linear", epochs=1), "succeeded")
    yield server
    server.stop()


def test_the_lines_of_readme_run_as_printed(served: Server, tmp_path: Path) -> None:
    shell = [block for block in blocks("sh") if "curl" in block and "keys create" not in block]
    assert len(shell) >= 3
    script = "\n".join(shell).replace("localhost:8000", served.url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    answers = done.stdout
    assert answers.count('"label":7') >= 4
    assert "did you mean 'learning_rate'?" in answers


def test_the_lines_about_keys_run_as_printed(tmp_path: Path, datasets_dir: Path) -> None:
    server = Server(tmp_path / "data", datasets_dir).start()
    (script,) = [block for block in blocks("sh") if "keys create" in block]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("localhost:8000", server.url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MLP_DATA_DIR": str(server.data_dir),
            "MLP_SERVICE_URL": server.url,
        },
    )
    refused = server.http.get("/v1/jobs").status_code
    server.stop()
    assert done.returncode == 0, done.stderr
    assert '"data":[]' in done.stdout
    assert "test accuracy" in done.stdout
    assert re.search(r"^\w{10}  grafana  read  expires ", done.stdout, re.MULTILINE)
    assert refused == 401


def test_the_client_example_of_readme_runs_as_printed(served: Server, tmp_path: Path) -> None:
    picture = served.http.get("/v1/datasets/mnist/test/0.png").content
    (tmp_path / "seven.png").write_bytes(picture)
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"MLP_SERVICE_URL": served.url},
    )
    assert done.returncode == 0, done.stderr
    accuracy, label = done.stdout.split()
    assert float(accuracy) > 0.88
    assert label == "7"


def test_the_spec_of_readme_is_accepted(served: Server) -> None:
    spec = next(block for block in blocks("json") if '"preset"' in block)
    headers = {"Content-Type": "application/json"}
    answer = served.http.post("/v1/jobs", content=spec, headers=headers)
    assert answer.status_code == 201, answer.text
    served.act(answer.json()["id"], "cancel")
