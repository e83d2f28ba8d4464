"""Every command and every Python example of the README and the guides works as printed."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import DOCUMENTS, GUIDES, blocks, text_of
from tests.support.fashion_mnist import fashion_files
from tests.support.own_pictures import write_letters, write_photos
from tests.support.server_process import Server, eventually, free_port

NOT_RUN = {
    "make demo": "it trains for a minute; tests/journeys/test_demo.py runs the same, shorter",
    "mlp-service demo": "it trains for half a minute; tests/journeys/test_demo.py runs it, shorter",
    "make install": "it creates the environment that these tests run in",
    "pip install": "it would change the environment that these tests run in",
    "sudo apt-get install ": "it would change the machine; .ci installs the package",
    "docker ": "a test machine has no Docker daemon; tests/test_deployment.py reads the files",
    "kubectl ": "a test machine has no Kubernetes cluster; tests/test_docs.py reads the manifest",
    "mkdir backups && sudo": "it prepares a directory for Docker",
    "MLP_DATABASE_URL=postgresql:": "there is no such server; test_quick_start.py starts hosts",
    "mlp-service migrate": "nothing may serve meanwhile; tests/service/cli/test_migrate.py runs it",
    "mlp-service move ": "nothing may serve meanwhile; tests/service/cli/test_move.py runs it",
    "openapi-python-client ": "tests/journeys/test_generated_clients.py runs it",
    "npx openapi-typescript ": "tests/journeys/test_generated_clients.py runs it",
}
"""Commands that no test can run as printed, by how they begin, and why."""

FASHION = " fashion "
"""A part of the command that needs Debian's package of Fashion-MNIST; a test of its own runs it."""

SERVE = re.compile(r"(?:MLP_\w+=\S+ )*(?:\.venv/bin/)?mlp-service serve\b.*")
"""A command that serves until it is stopped; a test of its own starts each of them."""

SHOWN = {
    "README.md": [
        '"label":7',
        "did you mean 'learning_rate'",
        r"^0\.9\d* 7$",
        "^letters is ready: 144 train \\+ 36 test rows of 32x32, 3 classes$",
        r"^letters/A/1\.png\tA\t",
    ],
    "docs/api.md": ['"has_more":', "^304$", "must be 1 or more", '"name":"mnist"', '"label": 7'],
    "docs/apps.md": ["^requests says 7$", "^httpx says 7$", r'("label":7\b.*\s*.*){2}'],
    "docs/cli.md": [
        "seven.png\t7\t",
        '^{"object":"job","id":"job_',
        r"^latest +epoch [12]: test accuracy \d\d\.\d\d%",
        r"^job_\S+ cancell(ed|ing)$",
        r"^curves\.svg$",
        r"^9\t1,009\t\d\d\.\d\d%\t",
        "images are misread; calibration error",
        r"^job_\S+ deleted$",
        "test accuracy",
        " is ready$",
        r"^\w{10}\t-\tada\t",
        "revoked",
    ],
    "docs/datasets.md": [
        "^classes  A, B, C$",
        r"^letters/A/1\.png\tA\t",
        '"state":"ready".*"classes":\\["off","on"\\]',
        r"^\['A', 'B', 'C'\] 144 36$",
        "^inverted 1 ",
        "^phone is ready: 90 train \\+ 30 test rows of 28x28, 10 classes$",
        r"^it is (\w) and read as \1$",
        '"name":"corrections","state":"collecting".*"samples":2',
        '"name":"corrections","state":"ready".*"train_rows":60002',
        "^trains on 60002 rows$",
        "^zipped deleted$",
    ],
    "docs/deployment.md": [
        '"alive"',
        '"ready"',
        '^mlp_jobs{state="succeeded"} 1.0$',
        r"^Copied .*: 1 job, 1 checkpoint, ",
    ],
    "docs/evaluations.md": [
        '"object":"evaluation"',
        '"actual":"4","predicted":"9"',
        r"^index,actual,predicted,p\(0\)",
        r"^\d\d\.\d\d% are read, \d+ are not; ECE 0\.\d+$",
        r"^\d is read as \d \d+ times$",
        r"^\(10000, 10\)$",
    ],
    "docs/jobs.md": ["^event: epoch$", '"epoch":3', '"state":"pausing"|"state":"paused"', "cancel"],
    "docs/keys.md": [
        '"data":\\[\\]',
        "test accuracy",
        r"^\w{10}\tdashboard in the lab\tgrafana\tread\t.*\tnever\texpires ",
    ],
    "docs/predictions.md": [
        r'("label":7\b.*\s*.*){3}',
        '"contributions":{"for":7,',
        '"votes":\\[',
        r"^\(5, 10\)$",
        '"pixels":\\[\\[0,',
    ],
    "docs/python.md": [r"\(20, 10\)", "did you mean 'learning_rate'", "^invalid #/learing_rate$"],
    "docs/weights.md": [r"^7 0\.\d+$", "'activation': 'relu'", r"^\(16, 784\) \(10,\)$"],
}
"""Regular expressions that the output of each guide with commands must match."""

SEVERAL_MACHINES = "docs/scale.md"
"""Its quick start is run by test_quick_start.py; the rest needs other machines."""


def commands(guide: str) -> list[str]:
    """Return the lines of all shell blocks."""
    return [line for block in blocks(guide, "sh") for line in block.splitlines()]


def cannot_be_run(line: str) -> bool:
    return line.startswith(tuple(NOT_RUN)) or FASHION in line or SERVE.match(line) is not None


def serving(guide: str) -> list[str]:
    if guide == SEVERAL_MACHINES:
        return []
    return [line for line in commands(guide) if SERVE.match(line)]


def run(arguments: list[str], server: Server, directory: Path) -> str:
    """Run a program as a reader would, next to the environment; return what it prints."""
    if not (directory / ".venv").exists():
        (directory / ".venv").symlink_to(sys.prefix)
        (directory / ".curlrc").write_text('write-out = "\\n"')  # each answer is a line
    done = subprocess.run(
        arguments,
        cwd=directory,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CURL_HOME": str(directory),
            "MLP_DATA_DIR": str(server.data_dir),
            "MLP_SERVICE_URL": server.url,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_commands(guide: str, server: Server, directory: Path) -> str:
    """Run what can be run of a guide's shell blocks, in one shell."""
    lines = [line for line in commands(guide) if not cannot_be_run(line)]
    script = "\n".join(lines).replace("localhost:8000", server.url.removeprefix("http://"))
    return run(["bash", "-euo", "pipefail", "-c", script], server, directory)


def run_python(guide: str, server: Server, directory: Path) -> str:
    """Run a guide's Python blocks as one program, without those for PyTorch."""
    program = "\n".join(block for block in blocks(guide, "python") if "torch" not in block)
    program = program.replace("localhost:8000", server.url.removeprefix("http://"))
    return run([sys.executable, "-c", program], server, directory)


@pytest.fixture
def trained(server: Server) -> Server:
    """A server whose model `latest` reads most digits."""
    server.wait(server.submit(preset="linear", epochs=1), "succeeded")
    return server


@pytest.mark.parametrize("guide", SHOWN)
def test_a_guide_runs_as_printed(guide: str, server: Server, tmp_path: Path) -> None:
    if guide != "docs/keys.md":  # its list of jobs is that of a new owner
        server.wait(server.submit(preset="linear", epochs=1), "succeeded")
    write_letters(tmp_path / "letters")
    write_photos(tmp_path / "photos")
    output = run_commands(guide, server, tmp_path) + run_python(guide, server, tmp_path)
    for shown in SHOWN[guide]:
        assert re.search(shown, output, re.MULTILINE), f"{shown} is not in:\n{output}"


def test_fashion_mnist_is_added_and_trained_as_printed(server: Server, tmp_path: Path) -> None:
    fashion_files()
    lines = [line for line in commands("docs/datasets.md") if FASHION in line]
    output = run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], server, tmp_path)
    assert "fashion is ready: 60,000 train + 10,000 test rows of 28x28, 10 classes" in output
    [accuracy] = re.findall(r"^test accuracy (\d\d\.\d\d)%", output, re.MULTILINE)
    assert float(accuracy) >= 85


def test_every_guide_with_commands_is_run() -> None:
    assert {guide for guide in GUIDES if blocks(guide, "sh") or blocks(guide, "python")} == set(
        SHOWN
    ) | {"docs/settings.md", SEVERAL_MACHINES}
    assert all(SERVE.match(line) for line in commands("docs/settings.md"))


def test_every_module_that_a_document_runs_exists() -> None:
    named = {name for it in DOCUMENTS for name in re.findall(r"python -m ([\w.]+)", text_of(it))}
    assert len(named) > 2
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


def test_every_command_that_is_not_run_is_still_in_a_guide() -> None:
    lines = [line for guide in GUIDES for line in commands(guide)]
    assert [begin for begin in NOT_RUN if not any(line.startswith(begin) for line in lines)] == []


@pytest.mark.parametrize("command", sorted({line for guide in GUIDES for line in serving(guide)}))
def test_a_command_that_serves_starts_a_server(
    command: str, tmp_path: Path, datasets_dir: Path
) -> None:
    server = Server(tmp_path / "data", datasets_dir)
    keys = [sys.executable, "-m", "service", "keys", "create", "--owner", "ada"]
    data = ["--data-dir", str(server.data_dir)]
    subprocess.run([*keys, *data], check=True, capture_output=True)  # for those that need one
    words = shlex.split(command, comments=True)
    options = words[words.index("serve") + 1 :]
    settings = dict(word.split("=", 1) for word in words if word.startswith("MLP_"))
    port = free_port()
    served = subprocess.Popen(
        [sys.executable, "-m", "service", "serve", *options, *data, "--port", str(port)],
        env=os.environ | {"MLP_DATASETS_DIR": str(datasets_dir)} | settings,
        stderr=subprocess.DEVNULL,
    )
    health = [sys.executable, "-m", "service", "health", "--url", f"http://localhost:{port}"]
    try:
        eventually(lambda: subprocess.run(health, capture_output=True).returncode == 0, command, 30)
    finally:
        served.terminate()
        assert served.wait(30) == 0


def test_a_backup_made_as_printed_can_be_served(
    trained: Server, tmp_path: Path, datasets_dir: Path
) -> None:
    run_commands("docs/deployment.md", trained, tmp_path)
    restored = Server(tmp_path / "backup-1", datasets_dir).start()
    [job] = restored.http.get("/v1/jobs").json()["data"]
    restored.stop()
    assert job["state"] == "succeeded"


def test_the_spec_that_is_shown_is_accepted(idle_server: Server) -> None:
    [spec] = blocks("docs/jobs.md", "json")
    headers = {"Content-Type": "application/json"}
    answer = idle_server.http.post("/v1/jobs", content=spec, headers=headers)
    assert answer.status_code == 201, answer.text


# --- Weights --------------------------------------------------------------------------------------


def probabilities_of_the_service(server: Server, picture: Path) -> list[float]:
    """Return the probabilities of the digits 0 to 9 that the service answers."""
    answer = server.http.post(
        "/v1/models/latest/predict?top_k=10",
        content=picture.read_bytes(),
        headers={"Content-Type": "image/png"},
    )
    top_k = answer.json()["predictions"][0]["top_k"]
    return [it["probability"] for it in sorted(top_k, key=lambda it: it["label"])]


@pytest.mark.parametrize(
    "library",
    [
        "numpy",
        pytest.param(
            "torch",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("torch") is None,
                reason="PyTorch is not installed: its lines in docs/weights.md were NOT run",
            ),
        ),
    ],
)
def test_the_weights_predict_the_same_without_the_service(
    library: str, server: Server, tmp_path: Path
) -> None:
    run_commands("docs/weights.md", server, tmp_path)
    numpy, torch = blocks("docs/weights.md", "python")
    block = torch if library == "torch" else numpy
    picture = tmp_path / "seven.png"
    for index in (0, 7, 18, 33, 115):  # some of them are hard to read
        picture.write_bytes(server.http.get(f"/v1/datasets/mnist/test/{index}.png").content)
        program = f"{block}\nprint(probabilities.tolist())"
        found = json.loads(run([sys.executable, "-c", program], server, tmp_path).splitlines()[-1])
        expected = probabilities_of_the_service(server, picture)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
