"""Where things stand: nothing moves under the pointer, and the places of a phone are its own."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import SMALL
from tests.browser.test_curves import choose, plot, with_epochs
from tests.support.browser import WatchedPage
from tests.support.page_states import draw
from tests.support.server_process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONG_NAME = "a network whose name a student typed in a hurry"
VERDICT = "/\\d/.test(document.querySelector('.verdict')?.innerText ?? '')"


def tops(page: WatchedPage, selectors: Iterable[str]) -> list[float]:
    """Return how far from the top of the window these elements begin, in CSS pixels."""
    script = "all => all.map((each) => document.querySelector(each).getBoundingClientRect().top)"
    found: list[float] = page.js(script, list(selectors))
    return found


def test_pointing_at_one_of_several_curves_moves_nothing(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    names = ("a network with quite a long name", "another one")
    ids = [with_epochs(still_server, 12, name=name, seed=n) for n, name in enumerate(names)]
    page = new_page(still_server).open()
    choose(page, ids)
    below = (".plot", ".legend", ".tabs")
    before = tops(page, below)
    box = plot(page)
    page.tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"])
    page.until("document.querySelector('.reading').innerText", "the values at the pointer")
    for part in range(1, 9):
        page.tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + part / 9 * box["height"])
        page.tab.wait_for_timeout(40)
        assert tops(page, below) == before


def test_the_answer_moves_nothing_in_the_dark_room(page: WatchedPage, server: Server) -> None:
    page.open()
    before = tops(page, (".pad", ".tools", ".bars"))
    server.http.post("/v1/jobs", json={**SMALL, "activation": "sigmoid", "name": LONG_NAME})
    page.until("document.querySelector('.job.succeeded')", "the network")
    draw(page)
    page.until(VERDICT, "an answer")
    page.until("document.querySelector('.eye .against')", "the words for its reasons")
    assert tops(page, (".pad", ".tools", ".bars")) == before


def test_a_row_leads_to_its_curves_on_a_phone_and_a_wide_screen_has_no_places(
    browser: "Browser", page: WatchedPage, server: Server
) -> None:
    job = server.submit(**SMALL)
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    phone = WatchedPage(context, server.url).open()
    phone.tab.get_by_role("button", name="Jobs", exact=True).tap()
    phone.until("location.hash.includes('place=jobs')", "the place in the address")
    phone.tab.locator(f"[data-id={job}] .open").tap()
    phone.until("document.querySelector('.plot')?.offsetWidth", "the curves")
    phone.assert_clean()
    context.close()
    page.open()
    page.tab.keyboard.press("/")
    page.until("document.activeElement.type === 'search'", "the field to find a job")
    assert "place" not in page.js("location.hash")


@pytest.mark.parametrize(("key", "part"), [("?", ".keys"), ("`", ".calls header")])
def test_help_and_calls_fit_on_a_phone(page: WatchedPage, key: str, part: str) -> None:
    page.tab.set_viewport_size({"width": 390, "height": 844})
    page.open()
    page.tab.keyboard.press(key)
    page.until(f"document.querySelector('{part}')?.offsetWidth", "what the key opens")
    rights = page.js(
        "all => [...document.querySelectorAll(all)].map((e) => e.getBoundingClientRect().right)",
        f"{part} *",
    )
    assert max(rights) <= 390
