"""`mlp-service openapi` prints what a server would serve, and leaves nothing behind."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.command_line import run


def test_the_printed_document_is_the_one_that_a_server_serves(reader: TestClient) -> None:
    result = run("openapi")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == reader.get("/openapi.json").json()


def test_printing_the_document_creates_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("openapi").exit_code == 0
    assert not list(tmp_path.iterdir())
