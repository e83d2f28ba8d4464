"""Clients generated from the OpenAPI document: without a warning, and they train what they say."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_client.job_spec import Spec
from tests.support.client_generators import APPS, node_project, python_bin, run
from tests.support.documents import blocks
from tests.support.server_process import Server

TSC_OPTIONS = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"]
TSC_OPTIONS += ["--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]


def documented(start: str) -> str:
    """Return the command of the guide that begins so."""
    lines = [line for block in blocks("docs/api.md", "sh") for line in block.splitlines()]
    [command] = [line for line in lines if line.startswith(start)]
    return command


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    """A server with a trained network."""
    server = Server(tmp_path_factory.mktemp("generated") / "data", datasets_dir).start()
    server.wait(server.submit(preset="linear", epochs=1, batch_size=1024), "succeeded")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def python_client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with apps and the client that openapi-python-client generates for them."""
    tools, folder = python_bin(), tmp_path_factory.mktemp("python")
    (folder / "openapi.json").write_text(server.http.get("/openapi.json").text)
    command = documented("openapi-python-client ") + " --fail-on-warning"
    printed = run(["bash", "-c", command], folder, path=tools)
    assert printed.splitlines() == ["Generating mlp_api"]
    for file in APPS.glob("*.py"):
        text = file.read_text().replace("http://localhost:8000", server.url)
        (folder / file.name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def typescript_client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an app and the types that openapi-typescript generates for it."""
    project, folder = node_project(), tmp_path_factory.mktemp("typescript")
    (folder / "node_modules").symlink_to(project / "node_modules")
    for file in (APPS / "package.json", APPS / "app.ts"):
        (folder / file.name).write_text(file.read_text())
    (folder / "openapi.json").write_text(server.http.get("/openapi.json").text)
    printed = run(["bash", "-c", documented("npx openapi-typescript ")], folder)
    assert "🚀" in printed
    assert "warn" not in printed.lower()
    return folder


# --- openapi-python-client ---


@pytest.fixture(scope="module")
def shown(python_client: Path, server: Server) -> dict[str, Any]:
    """What the Python app got from the service."""
    picture = server.http.get("/v1/datasets/mnist/test/0.png").content
    (python_client / "seven.png").write_bytes(picture)
    pixels = server.http.get("/v1/datasets/mnist/test/0.json").json()["pixels"]
    np.save(python_client / "seven.npy", np.array(pixels, np.uint8))
    command = [str(python_bin() / "python"), "-W", "error", "app.py", server.url]
    return dict(json.loads(run([*command, "seven.png", "seven.npy"], python_client)))


def test_a_generated_python_client_trains_what_the_preset_says(shown: dict[str, Any]) -> None:
    assert shown["state"]
    assert (shown["trained"]["activation"], shown["trained"]["epochs"]) == ("sigmoid", 1)
    for name, sent in {
        "sigmoid": {"preset": "mlp-sigmoid"},
        "defaults": {},
        "linear": {"preset": "linear", "optimizer": {"momentum": 0.9}},
        "name": {"optimizer": "adamw", "hidden": [8]},
        "object": {
            "optimizer": {"type": "adamw", "weight_decay": 0.1},
            "activation": "tanh",
            "hidden": [8],
        },
        "augmented": {"augmentation": {"rotation": 5}, "hidden": [8]},
        "plain": {"preset": "mlp-augmented", "hidden": [8], "augmentation": None},
    }.items():
        assert shown[name] == Spec.model_validate_json(json.dumps(sent)).model_dump(), name


def test_a_generated_python_client_reads_lists_page_by_page(shown: dict[str, Any]) -> None:
    assert shown["pages"] == [3, True, 6]
    assert shown["epochs"] == [1]


def test_a_generated_python_client_reads_the_events_of_a_finished_job(
    shown: dict[str, Any],
) -> None:
    assert shown["events"] == [4, ["queued", "running", "succeeded"]]


def test_a_generated_python_client_predicts(shown: dict[str, Any]) -> None:
    assert shown["form"] == [7, 7]
    assert shown["bytes"] == shown["json"] == [7]
    assert shown["problem"]
    assert shown["array"] == b"\x93NUMPY".hex()
    model, epochs_done, header = shown["network"]
    assert (epochs_done, header) == (1, model)


def test_a_generated_python_client_reads_files_and_problems(shown: dict[str, Any]) -> None:
    assert shown["files"] == [b"\x89PNG".hex(), b"PK".hex()]
    assert shown["missing"] == "job-not-found"


def test_the_python_app_of_the_guide_runs_as_printed(python_client: Path) -> None:
    [printed] = blocks("docs/api.md", "py")
    assert printed == (APPS / "short_app.py").read_text()
    assert run([python_bin() / "python", "short_app.py"], python_client) == "sigmoid 7\n"


@pytest.mark.parametrize("app", ["app.py", "short_app.py"])
def test_an_app_with_the_generated_python_client_passes_mypy(python_client: Path, app: str) -> None:
    mypy = Path(sys.executable).with_name("mypy")
    options = ["--strict", "--config-file=", "--follow-imports=silent"]
    options += ["--python-executable", str(python_bin() / "python")]
    assert "Success: no issues found" in run(
        [mypy, *options, "app.py", "short_app.py"], python_client
    )


# --- openapi-typescript ---


def test_a_typescript_app_compiles_in_strict_mode_and_runs(
    typescript_client: Path, server: Server
) -> None:
    [printed] = blocks("docs/api.md", "ts")
    assert printed == (typescript_client / "app.ts").read_text()
    tsc = typescript_client / "node_modules/.bin/tsc"
    assert run([tsc, *TSC_OPTIONS, "app.ts"], typescript_client) == ""
    assert run(["node", "app.js", server.url], typescript_client) == "sigmoid sgd [ 7 ]\n"


def test_mistakes_in_a_typescript_app_do_not_compile(typescript_client: Path) -> None:
    text = (typescript_client / "app.ts").read_text()
    mistakes = [
        ('preset: "mlp-sigmoid"', 'preset: "mlp-sigmoit"'),
        ("epochs: 1", 'epochs: "1"'),
        ("epochs: 1", "epoch: 1"),
        ("top_k: 2", "topk: 2"),
        ("each.label", "each.digit"),
    ]
    files = [f"mistake{number}.ts" for number in range(len(mistakes))]
    for file, (right, wrong) in zip(files, mistakes, strict=True):
        assert right in text
        (typescript_client / file).write_text(text.replace(right, wrong))
    tsc = typescript_client / "node_modules/.bin/tsc"
    with pytest.raises(AssertionError) as refused:
        run([tsc, *TSC_OPTIONS, "--noEmit", *files], typescript_client)
    assert re.findall(r"^(\w+\.ts)\(\d+,\d+\): error TS", str(refused.value), re.MULTILINE) == files
