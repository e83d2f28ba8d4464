"""Fixtures of the tests of the page: a real server, and real Chromium that reaches nothing else."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import WatchedPage, chromium
from tests.support.documents import ROOT
from tests.support.external_programs import skip_or_fail
from tests.support.server_process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ViewportSize

DESKTOP: "ViewportSize" = {"width": 1440, "height": 900}
SMALL = {"hidden": [16], "epochs": 3, "batch_size": 256, "name": "small"}
"""A job that takes about a second."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the pages of every test judged before its server stops, whichever it names first."""
    for item in items:
        names = getattr(item, "fixturenames", [])
        if "new_page" in names:
            names.append(names.pop(names.index("new_page")))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    # Not for the whole session: its event loop would be in the way of other tests' own.
    with chromium() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A service without jobs."""
    running = Server(tmp_path / "data", datasets_dir).start()
    yield running
    running.stop()


@pytest.fixture
def still_server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A service that trains nothing, so that a test can bring its jobs to any state."""
    running = Server(tmp_path / "data", datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    yield running
    running.stop()


@pytest.fixture
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """A browser profile without a history, 1440 x 900."""
    made = browser.new_context(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture
def new_page(context: "BrowserContext") -> Iterator[Callable[[Server], WatchedPage]]:
    """Opens tabs; at the end of the test, each of them must have behaved."""
    pages: list[WatchedPage] = []

    def open_tab(server: Server) -> WatchedPage:
        pages.append(WatchedPage(context, server.url))
        return pages[-1]

    yield open_tab
    for page in pages:
        if not page.tab.is_closed():
            page.assert_clean()


@pytest.fixture
def page(server: Server, new_page: Callable[[Server], WatchedPage]) -> WatchedPage:
    """The page of `server`, not opened yet; it is closed before the server."""
    return new_page(server)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which finds what people with disabilities can't use."""
    done = subprocess.run(
        [ROOT / "tests/web_check/install.sh"], capture_output=True, text=True, timeout=200
    )
    if done.returncode:
        skip_or_fail(f"axe-core is missing: {done.stderr.strip()}")
    return (ROOT / ".venv/web/node_modules/axe-core/axe.min.js").read_text()
