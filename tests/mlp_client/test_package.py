"""What `import mlp_client` loads, and what it offers."""

import subprocess
import sys
from pathlib import Path

import pytest

import mlp_client
import service

ROOT = Path(__file__).parents[2]


def loaded_by(statement: str, *modules: str) -> set[str]:
    """Return which of these modules a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*({set(modules)!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_the_states_load_without_pydantic_and_httpx2() -> None:
    statement = "from mlp_client.job_state import FINAL, State"
    assert loaded_by(statement, "pydantic", "httpx2", "rich", "tenacity") == set()


def test_the_client_loads_nothing_of_the_server() -> None:
    server = ("service", "mlp_core", "numpy", "fastapi", "sqlalchemy", "matplotlib", "PIL")
    assert loaded_by("from mlp_client import Client", *server) == set()


@pytest.mark.parametrize("name", mlp_client.__all__)
def test_every_public_name_is_imported_when_it_is_used(name: str) -> None:
    assert getattr(mlp_client, name).__name__ == name
    assert name in dir(mlp_client)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'mlp_client' has no attribute 'Nothing'"):
        getattr(mlp_client, "Nothing")  # noqa: B009  a type checker would refuse the attribute
    with pytest.raises(ImportError, match="Nothing"):
        exec("from mlp_client import Nothing")


def test_client_and_server_have_one_version() -> None:
    assert mlp_client.__version__ == service.__version__
