"""Programs that some tests need and Python packages can't provide, such as nginx or Chromium."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "REQUIRE_TEST_PROGRAMS"
"""If this variable is 1, as in CI, a test whose program is missing fails instead of skipping."""


def require_program(*names: str, package: str) -> Path:
    """Return the path of the first of these programs that is installed.

    `names` are the names that distributions give to the same program. If none is installed, the
    test is skipped with a reason that names the Debian package, or fails if `REQUIRE_ALL` is set.
    """
    directories = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    )
    for name in names:
        if path := shutil.which(name, path=directories):
            return Path(path)
    return skip_or_fail(f"{' or '.join(names)} is not installed: `apt-get install {package}`")


def skip_or_fail(missing: str) -> NoReturn:
    """Skip the test because of what is missing, or fail it if `REQUIRE_ALL` is set."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{missing} ({REQUIRE_ALL}=1 forbids to skip)", pytrace=False)
    pytest.skip(missing)
