"""The client as apps install it: two distributions, built and installed into fresh environments."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import Server

ROOT = Path(__file__).parents[2]
OFFLINE = "PyPI can't be reached: the client was NOT installed into an environment of its own"
APP = """
import asyncio, sys
import service
assert service.NAME == "the app's own", service
from mlp_client import AsyncClient, Client

with Client() as client:
    digit = client.sample(0).pixels
    label = client.models.predict(digit).label
    print(client.jobs.create("linear", epochs=1, batch_size=4096).wait(progress=True))

async def main():
    async with AsyncClient() as client:
        assert (await client.models.predict(digit)).label == label

asyncio.run(main())
ours = {"mlp_core", "numpy", "fastapi", "sqlalchemy", "PIL"} & set(sys.modules)
assert not ours, ours
"""


def project(folder: Path) -> dict[str, Any]:
    return dict(tomllib.loads((folder / "pyproject.toml").read_text())["project"])


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


def built(source: Path, folder: Path) -> Path:
    """Build the wheel of a distribution with this environment's hatchling; return its path."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*build, *options, str(source)], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT / "mlp_client", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def service_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("service"))


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_distribution_of_the_client_has_the_package_and_nothing_else(
    client_wheel: Path,
) -> None:
    code = {f"mlp_client/{path.name}" for path in (ROOT / "mlp_client").glob("*.py")}
    assert contents(client_wheel) == code | {"mlp_client/py.typed"}


def test_the_distribution_of_the_service_has_the_same_client(
    client_wheel: Path, service_wheel: Path
) -> None:
    inside = {name for name in contents(service_wheel) if name.startswith("mlp_client/")}
    assert inside == contents(client_wheel)
    tops = {name.split("/")[0] for name in contents(service_wheel)}
    assert tops == {"mlp_client", "mlp_core", "service"}


def test_the_distribution_of_the_service_has_every_file_of_the_page(service_wheel: Path) -> None:
    web = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service/web").rglob("*")
        if path.is_file()
    }
    assert len(web) > 20
    assert web <= contents(service_wheel)


def test_both_distributions_require_the_same_for_the_client() -> None:
    client, service = project(ROOT / "mlp_client"), project(ROOT)
    assert set(client["dependencies"]) < set(service["dependencies"])
    assert names(service["dependencies"]) - names(client["dependencies"]) == {"typer", "rich"}
    assert client["requires-python"] == service["requires-python"]
    assert set(service["optional-dependencies"]) == {"server", "cluster", "heic", "parquet"}


class Environment:
    """A fresh virtual environment."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        [self.packages] = folder.glob("lib/python*/site-packages")

    def pip(self, *arguments: str) -> bool:
        python = str(self.bin / "python")
        command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True).returncode == 0

    def run(self, *command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd,
            env={"PATH": str(self.bin), "TERM": "dumb", **environment},
            capture_output=True,
            text=True,
        )


def installed(wheel: Path, folder: Path) -> Environment:
    """Install a wheel with its dependencies into a fresh environment, from PyPI."""
    environment = Environment(folder)
    if not environment.pip("download", "--no-deps", "--dest", str(folder), "tenacity"):
        pytest.skip(OFFLINE)
    assert environment.pip("install", str(wheel))
    return environment


@pytest.fixture(scope="module")
def with_client(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which an app installed the client alone."""
    return installed(client_wheel, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def with_base(service_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the base install of the service: no extra."""
    return installed(service_wheel, tmp_path_factory.mktemp("base"))


def own_service(folder: Path) -> None:
    """Write a package `service` that is an app's own."""
    (folder / "service").mkdir()
    (folder / "service" / "__init__.py").write_text('NAME = "the app\'s own"\n')


def run_app(environment: Environment, folder: Path, server: Server) -> str:
    (folder / "app.py").write_text(APP)
    done = environment.run("python", "app.py", cwd=folder, MLP_SERVICE_URL=server.url)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["with_client", "with_base"])
def test_an_app_with_a_folder_service_of_its_own_uses_the_client(
    kind: str, request: pytest.FixtureRequest, trained: Server, tmp_path: Path
) -> None:
    own_service(tmp_path)
    shown = run_app(request.getfixturevalue(kind), tmp_path, trained)
    assert re.search(r"^<JobHandle job_\S+ succeeded 1/1 epochs, test \d\d\.\d %>$", shown)


def test_an_app_that_is_installed_with_a_package_service_of_its_own_uses_the_client(
    with_client: Environment, trained: Server, tmp_path: Path
) -> None:
    installed_app = tmp_path / "installed"
    installed_app.mkdir()
    own_service(installed_app)
    (with_client.packages / "app.pth").write_text(f"{installed_app}\n")  # as an editable install
    run_app(with_client, tmp_path, trained)
    (with_client.packages / "app.pth").unlink()


def test_the_client_needs_few_packages(with_client: Environment) -> None:
    found = {path.name.split("-")[0] for path in with_client.packages.glob("*.dist-info")}
    assert {"numpy", "fastapi", "rich", "typer", "pillow"} & found == set()
    assert len(found) < 20


@pytest.mark.parametrize("command", ["serve", "demo", "keys list", "backup x"])
def test_a_command_of_the_server_names_the_extra_that_it_needs_in_one_line(
    command: str, with_base: Environment, tmp_path: Path
) -> None:
    done = with_base.run("mlp-service", *command.split(), cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"mlp-service {command.split()[0]} needs the server's packages")
    assert "mlp-service[server]" in line


def test_the_commands_of_the_client_work_without_the_server(
    with_base: Environment, trained: Server, tmp_path: Path
) -> None:
    (tmp_path / "seven.png").write_bytes(trained.http.get("/v1/datasets/mnist/test/0.png").content)
    done = with_base.run("mlp-service", "predict", "--url", trained.url, "seven.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"job_\S+ answers, which was trained on mnist\.\n", done.stderr)
    assert done.stdout.startswith("seven.png\t")
    train = ["train", "--preset", "linear", "--epochs", "1", "--batch-size", "4096"]
    done = with_base.run("mlp-service", *train, "--url", trained.url, cwd=tmp_path)
    assert "test accuracy" in done.stdout
