import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mlp_core

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")
# A line added to a file, and the contract that it breaks.
VIOLATIONS = {
    "the front desk calls the workshop": (
        "service/api/jobs.py",
        "import service.work.dispatcher",
        "One way through the house",
    ),
    "the archive calls the front desk": (
        "service/store/jobs.py",
        "import service.api.problem_responses",
        "One way through the house",
    ),
    "a file without a place": (
        "service/utils.py",
        "",
        "One way through the house",
    ),
    "the lab keeps a log": (
        "mlp_core/training.py",
        "import logging",
        "The lab knows nothing of the house",
    ),
    "the lab knows the house": (
        "mlp_core/dataset.py",
        "import service.domain.errors",
        "The lab knows nothing of the house",
    ),
    "the post opens the archive": (
        "mlp_client/jobs.py",
        "import service.store.jobs",
        "The post knows nothing of the server",
    ),
    "the workshop speaks HTTP": (
        "service/work/worker.py",
        "import fastapi",
        "The workshop needs no web framework",
    ),
    "the archive reads settings": (
        "service/store/sql/connector.py",
        "import service.settings",
        "Settings are read at the doors only",
    ),
    "two files import each other": (
        "service/store/transitions.py",
        "import service.store.jobs",
        "No circles",
    ),
}


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


def test_the_house_keeps_its_contracts() -> None:
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
    names = [
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith('name = "') and line != 'name = "mlp-service"'
    ]
    assert set(names) == {contract for _, _, contract in VIOLATIONS.values()}


def test_the_lab_exports_a_sorted_list_of_what_it_has() -> None:
    names = mlp_core.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(mlp_core, name) for name in names)
    public = {name for name, value in vars(mlp_core).items() if not name.startswith("_")}
    modules = {path.stem for path in Path(mlp_core.__file__).parent.glob("*.py")}
    assert public - modules == set(names) - modules
