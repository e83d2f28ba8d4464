"""The tests of the store run on each database engine."""

from pathlib import Path

import pytest

from tests.conftest import copied_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return copied_database(empty_database, tmp_path)
