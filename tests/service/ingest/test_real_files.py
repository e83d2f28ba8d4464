"""Tests that files as people really have them get the answers that they should get."""

from pathlib import Path

import pytest

from tests.support.expected_answers import REAL_FILES
from tests.support.real_files import FOLDER, RealFiles

if not FOLDER.is_dir():
    pytest.skip(
        f"the {len(REAL_FILES)} real files are not on this machine, for their licences are not the "
        f"project's: {FOLDER}",
        allow_module_level=True,
    )

FILES = RealFiles(FOLDER, REAL_FILES)
NOT_DATA = {"README.md", "derive.py", "SHA256SUMS", "LICENSE"}


@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_file_gets_the_answer_that_it_should(name: str) -> None:
    assert FILES.differences(name) == []


def test_no_real_file_is_without_an_expected_answer() -> None:
    expected = {
        FOLDER / path for file in REAL_FILES.values() for path in file.paths or (file.name,)
    }

    def is_expected(path: Path) -> bool:
        return bool(expected & {path, *path.parents})

    missing = [
        path
        for path in FOLDER.rglob("*")
        if path.is_file() and path.name not in NOT_DATA and not is_expected(path)
    ]
    assert missing == []
