"""Addresses of the page: a copied one shows the same, files are cached, plain http works."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import DESKTOP, SMALL
from tests.support.browser import LAN_HOST, WatchedPage
from tests.support.page_states import draw
from tests.support.server_process import Server, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

SENT = """() => performance.getEntriesByType('resource').map((each) =>
  [new URL(each.name).pathname, each.transferSize])"""
INK = "document.querySelector('canvas.pad').toDataURL()"


def is_finished(server: Server, job: str) -> bool:
    return bool(server.http.get(f"/v1/jobs/{job}").json()["finished_at"])


@pytest.fixture
def trained(server: Server) -> Server:
    """A service with two finished jobs."""
    for name in ("one", "two"):
        job = server.http.post("/v1/jobs", json={**SMALL, "name": name}).json()["id"]
        eventually(partial(is_finished, server, job), "the job")
    return server


def test_a_shared_address_shows_the_same_to_somebody_else(
    trained: Server, page: WatchedPage, browser: "Browser"
) -> None:
    page.open()
    page.until("document.querySelectorAll('.jobs input[type=checkbox]').length === 2", "two rows")
    for box in page.tab.locator(".jobs input[type=checkbox]").all():
        if not box.is_checked():
            box.check()
    draw(page)
    page.until("document.querySelector('.room .verdict b, .room .verdict strong')", "the verdict")
    page.tab.get_by_role("tab", name="Mistakes").click()
    page.tab.wait_for_timeout(800)
    page.tab.get_by_role("button", name="Share").click()
    page.until("document.querySelector('.notice')", "the notice")
    address = page.js("navigator.clipboard.readText()")
    other_context = browser.new_context(viewport=DESKTOP)
    other = WatchedPage(other_context, page.url)
    other.tab.goto(address)
    other.until(
        "document.querySelector('.room .verdict b, .room .verdict strong')", "the verdict there"
    )
    other.tab.wait_for_timeout(1500)
    page.tab.wait_for_timeout(500)
    for script in (
        "location.hash",
        "[...document.querySelectorAll('.jobs input')].filter((box) => box.checked).length",
        "document.querySelector('[role=tab][aria-selected=true]').textContent",
        INK,
        "document.querySelector('.room .verdict')?.innerText",
    ):
        assert other.js(script) == page.js(script), script
    assert "ink=" in address
    other.assert_clean()
    other_context.close()


def test_the_second_load_asks_for_nothing_that_has_not_changed(
    trained: Server, page: WatchedPage
) -> None:
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(3000)
    first = dict(page.js(SENT))
    assert sum(first.values()) > 50_000
    page.tab.reload()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(3000)
    again = {path: size for path, size in page.js(SENT) if size}
    assert all(path.startswith("/v1/") for path in again), again
    assert sum(again.values()) <= 15_000


def test_a_page_older_than_the_server_says_so(page: WatchedPage) -> None:
    page.open()
    page.js("""() => new BroadcastChannel('mlp-stream').postMessage({ kind: 'hello', data:
      { web: 'another', instance: '', cursor: 1, reset: false, system: null } })""")
    page.until("document.body.innerText.includes('This page is older than the server.')", "words")
    assert page.tab.get_by_role("button", name="Reload").is_visible()


def test_the_page_works_on_plain_http_in_a_network(
    tmp_path: Path, datasets_dir: Path, context: "BrowserContext"
) -> None:
    server = Server(tmp_path / "data", datasets_dir, MLP_ALLOWED_HOSTS=f"127.0.0.1,{LAN_HOST}")
    server.start().http.post("/v1/jobs", json=SMALL).raise_for_status()
    page = WatchedPage(context, f"http://{LAN_HOST}:{server.port}")
    page.open()
    trusted = page.js("[isSecureContext, 'locks' in navigator, 'clipboard' in navigator]")
    assert trusted == [False, False, False]
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.get_by_role("button", name="Share").click()
    page.until("document.querySelector('dialog.copy-box textarea')", "the box")
    assert page.js("document.querySelector('.copy-box textarea').value") == page.tab.url
    assert page.js("document.activeElement.selectionEnd") == len(page.tab.url)
    page.assert_clean()
    server.stop()
