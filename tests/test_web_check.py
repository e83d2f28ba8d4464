"""The check of the page's files: what it finds, and what it says where node is missing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.external_programs import require_program

CHECK = ROOT / "tests/web_check/check.sh"
PINS = json.loads((ROOT / "tests/web_check/package.json").read_text())["dependencies"]
VENDORED = json.loads((ROOT / "service/web/vendor/vendor.json").read_text())


def checked(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECK], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def without_node(tmp_path: Path) -> str:
    """A search path on which there is neither node nor npm."""
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    return str(tmp_path)


def test_without_node_the_check_says_so_in_one_line(without_node: str) -> None:
    done = checked(PATH=without_node, REQUIRE_TEST_PROGRAMS="0")
    assert done.returncode == 0
    assert done.stderr.startswith("NOT CHECKED: service/web")
    assert done.stderr.count("\n") == 1


def test_without_node_the_check_fails_in_ci(without_node: str) -> None:
    assert checked(PATH=without_node, REQUIRE_TEST_PROGRAMS="1").returncode == 1


def test_the_pages_files_pass_the_check() -> None:
    require_program("node", package="nodejs")
    require_program("npm", package="npm")
    done = checked()
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_those_of_the_vendored_versions() -> None:
    for package in VENDORED:
        if package["package"] != "swagger-ui-dist":
            assert PINS[package["package"]] == package["version"]


def test_the_lock_file_names_no_download_address() -> None:
    lock = json.loads((ROOT / "tests/web_check/package-lock.json").read_text())
    installed = {name: package for name, package in lock["packages"].items() if name}
    assert installed
    for name, package in installed.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name
