"""The commands run without the settings of this machine."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all MLP variables, and work in a directory without a `.env` file."""
    for name in [name for name in os.environ if name.startswith("MLP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _logs_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logs alone: loggers of this process would keep what a command configures."""
    monkeypatch.setattr("service.logs.configure", lambda *_: None)
