"""The import contracts hold, and each of them catches a planted violation."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")
# A line added to a file, and the contract that it breaks.
VIOLATIONS = {
    "an endpoint calls the dispatcher": (
        "service/api/jobs.py",
        "import service.work.dispatcher",
        "Imports run downwards",
    ),
    "a worker calls an endpoint": (
        "service/work/worker.py",
        "import service.api.conditional",
        "Imports run downwards",
    ),
    "the store calls an endpoint": (
        "service/store/jobs.py",
        "import service.api.problem_responses",
        "Imports run downwards",
    ),
    "a prediction depends on the transport": (
        "service/inference/predict.py",
        "import service.server.admission",
        "Imports run downwards",
    ),
    "a file without a place": (
        "service/utils.py",
        "",
        "Imports run downwards",
    ),
    "the trainer keeps a log": (
        "mlp_core/training.py",
        "import logging",
        "The trainer knows nothing of the service",
    ),
    "the trainer knows the service": (
        "mlp_core/dataset.py",
        "import service.domain.errors",
        "The trainer knows nothing of the service",
    ),
    "the training starts a thread": (
        "mlp_core/training.py",
        "import threading",
        "Only mlp_core.parallel touches the operating system",
    ),
    "the training forks by itself": (
        "mlp_core/training.py",
        "import mlp_core.parallel.step_runner",
        "Only mlp_core.parallel touches the operating system",
    ),
    "the network knows its fast form": (
        "mlp_core/network.py",
        "import mlp_core.fast.buffers",
        "The textbook files do without fast and parallel",
    ),
    "an endpoint opens a connection of its own": (
        "service/api/jobs.py",
        "import service.store.sql.driver",
        "Engines are reached through their own package",
    ),
    "the dispatcher chooses a launcher": (
        "service/work/dispatcher.py",
        "import service.work.launchers.local",
        "Engines are reached through their own package",
    ),
    "the client opens the store": (
        "mlp_client/jobs.py",
        "import service.store.jobs",
        "The client knows nothing of the server",
    ),
    "a worker speaks HTTP": (
        "service/work/worker.py",
        "import fastapi",
        "Only HTTP packages import the web framework",
    ),
    "a prediction depends on the web framework": (
        "service/inference/predict.py",
        "import starlette",
        "Only HTTP packages import the web framework",
    ),
    "a worker imports the pool of connections": (
        "service/store/attempts.py",
        "import sqlalchemy",
        "A worker imports neither SQLAlchemy nor pydantic",
    ),
    "a checker imports what validates requests": (
        "service/store/check_attempts.py",
        "import pydantic",
        "A checker imports neither SQLAlchemy nor pydantic",
    ),
    "an evaluator imports what validates requests": (
        "service/store/evaluation_attempts.py",
        "import pydantic",
        "An evaluator imports neither SQLAlchemy nor pydantic",
    ),
    "a cost is a record of the wire": (
        "service/domain/cost.py",
        "import mlp_client.records",
        "The domain is plain Python",
    ),
    "the store reads settings": (
        "service/store/sql/connector.py",
        "import service.settings",
        "Settings are read only where a process starts",
    ),
    "two files import each other": (
        "service/store/transitions.py",
        "import service.store.jobs",
        "No circles",
    ),
}


USES_FAST = {"gradient_descent", "steps", "training"}
"""Files of mlp_core that are not textbook files, because they use `fast`."""


def contracts() -> dict[str, dict[str, Any]]:
    """Return the import contracts by name."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {each["name"]: each for each in document["tool"]["importlinter"]["contracts"]}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The Python files of the project, to be spoiled."""
    for package in ("service", "mlp_client", "mlp_core"):
        for file in (ROOT / package).rglob("*.py"):
            target = tmp_path / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_code_keeps_its_contracts() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout
    assert "0 broken" in answer.stdout


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_broken_contract_is_reported(copy: Path, name: str) -> None:
    file, line, contract = VIOLATIONS[name]
    with (copy / file).open("a") as spoiled:
        spoiled.write(f"\n{line}\n")
    answer = lint(copy)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"{contract} BROKEN" in answer.stdout


def test_each_contract_has_a_violation_to_prove_it() -> None:
    assert set(contracts()) == {contract for _, _, contract in VIOLATIONS.values()}


def test_contracts_that_list_the_files_of_the_trainer_list_all_of_them() -> None:
    files = {path.stem for path in (ROOT / "mlp_core").glob("*.py")} - {"__init__"}
    listed = {
        name: set(contracts()[name]["source_modules"])
        for name in (
            "Only mlp_core.parallel touches the operating system",
            "The textbook files do without fast and parallel",
        )
    }
    assert list(listed.values()) == [
        {f"mlp_core.{name}" for name in files | {"fast"}},
        {f"mlp_core.{name}" for name in files - USES_FAST},
    ]
