"""The page where keys are needed: the form, the session, and what a key does not allow."""

from collections.abc import Callable

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.keyed_service import id_of
from tests.support.server_process import Server

REFUSED = "status of 401"
"""What Chromium writes about a request without a valid key."""


def keys_of(server: Server) -> ApiKeyStore:
    return ApiKeyStore(Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}"))


def open_with(page: WatchedPage, key: str) -> None:
    page.tab.get_by_label("API key").fill(key)
    page.tab.get_by_role("button", name="Open").click()


def test_a_key_opens_the_page_and_its_end_closes_it(page: WatchedPage, server: Server) -> None:
    page.expect(REFUSED)
    page.open()
    keys = keys_of(server)
    key = keys.create("ada", ("admin",))
    page.until("document.querySelector('.key-needed.floats')", "the first key to be asked for")
    open_with(page, "mlp_abcdefgh_" + "x" * 43)
    page.until("document.querySelector('.key-needed .error')", "the refusal")
    assert "unknown" in page.text(".key-needed .error")
    open_with(page, key)
    page.until("document.querySelector('.connection.live')", "the page to be live")
    [cookie] = page.tab.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert "mlp_" not in cookie["value"]
    assert key[-43:] not in cookie["value"]
    keys.revoke(id_of(key))
    page.until("document.querySelector('.key-needed.floats')", "the end of the key to be said")
    assert "Your key has ended." in page.text(".key-needed")


def test_a_stranger_sees_the_form_and_nothing_else(page: WatchedPage, server: Server) -> None:
    page.expect(REFUSED)
    keys_of(server).create("ada", ("admin",))
    page.tab.goto(page.url)
    page.until("document.querySelector('.key-needed')", "the form")
    assert "mlp-service keys create" in page.text(".key-needed")
    assert page.js("document.querySelector('.jobs, .lab, .room')") is None


def test_a_key_that_reads_sees_no_buttons_that_change(
    server: Server, new_page: Callable[[Server], WatchedPage]
) -> None:
    keys = keys_of(server)
    reader, trainer = keys.create("ada", ("read",)), keys.create("ada", ("read", "train"))
    headers = {"Authorization": f"Bearer {trainer}"}
    page = new_page(server)
    page.expect(REFUSED)
    page.tab.goto(page.url)
    page.until("document.querySelector('.key-needed')", "the form")
    server.http.post("/v1/jobs", json=SMALL, headers=headers).raise_for_status()
    open_with(page, reader)
    page.until("document.querySelector('.facts')", "the job's figures")
    names = page.js("[...document.querySelectorAll('button')].map((each) => each.textContent)")
    assert not {"New", "Pause", "Cancel", "Again", "Delete"} & {name.strip() for name in names}
    assert "You may look, not train (key: ada, read)" in page.text(".lab")
    page.tab.get_by_role("button", name="Sign out").click()
    page.until("document.querySelector('.key-needed')", "the form again")
    assert page.tab.context.cookies() == []
