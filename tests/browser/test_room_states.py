"""The dark room while networks change, the server is away, or there is nothing to ask."""

from typing import Any

from tests.support.browser import WatchedPage
from tests.support.pens import ONE, READER, SEVEN, bars, draw_with_mouse, verdict
from tests.support.server_process import Server

HEIGHTS = "[...document.querySelectorAll('.bars data')].map((each) => each.value)"


def test_the_answer_follows_the_network_while_it_learns(server: Server, page: WatchedPage) -> None:
    job = server.submit(hidden=[64], epochs=100, learning_rate=0.01, name="learner")
    page.open()
    draw_with_mouse(page, SEVEN)
    verdict(page)
    before = bars(page)
    page.until(f"JSON.stringify({HEIGHTS}) !== '{page.js(f'JSON.stringify({HEIGHTS})')}'", "news")
    assert bars(page) != before
    server.act(job, "cancel")
    server.wait(job, "cancelled")
    page.until("document.querySelector('.room .head').innerText.includes('learner')", "the head")


def test_a_server_that_is_killed_comes_back_to_the_same_ink(
    server: Server, page: WatchedPage
) -> None:
    server.wait(server.submit(**READER), "succeeded")
    page.open()
    page.expect("net::ERR_")
    draw_with_mouse(page, SEVEN)
    verdict(page)
    address, before = page.js("location.hash"), bars(page)
    server.kill()
    draw_with_mouse(page, ONE)
    page.tab.keyboard.press("u")
    server.start()
    page.until("document.querySelector('.connection.live')", "the page to be live again", 60)
    verdict(page)
    assert page.js("location.hash") == address
    assert bars(page) == before
    server.stop()


def test_a_busy_server_is_asked_again_later(server: Server, page: WatchedPage) -> None:
    server.wait(server.submit(**READER), "succeeded")
    page.open()
    page.expect("503")
    refused: list[str] = []

    def refuse_once(route: Any) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "Busy."})

    page.tab.route("**/predict*", refuse_once)
    draw_with_mouse(page, SEVEN)
    assert verdict(page) == 7
    assert refused


def test_a_job_without_a_network_says_so(server: Server, page: WatchedPage) -> None:
    server.wait(server.submit(**READER), "succeeded")
    broken = server.submit(hidden=[16, 16], epochs=3, learning_rate=1000.0, name="broken")
    server.wait(broken, "failed")
    page.open(f"/#jobs={broken}")
    page.until("document.querySelector('.room .head').innerText.includes('meanwhile')", "the words")
    assert page.text(".room .head") == "Ask asking “reader” meanwhile"
    draw_with_mouse(page, SEVEN)
    assert verdict(page) == 7


def test_with_no_job_chosen_the_newest_network_is_asked(server: Server, page: WatchedPage) -> None:
    server.wait(server.submit(**READER), "succeeded")
    page.open()
    page.tab.get_by_role("checkbox", name="Compare reader").uncheck()
    page.until("document.querySelector('.lab').innerText.includes('Choose a job')", "the words")
    draw_with_mouse(page, SEVEN)
    assert verdict(page) == 7


def test_without_any_network_the_pad_can_be_drawn_on(page: WatchedPage) -> None:
    page.open()
    assert page.text(".room .head") == "Ask no network yet"
    draw_with_mouse(page, SEVEN)
    assert "ink=" in page.js("location.hash")
    assert page.text(".verdict") == "No network yet. Train one, and it reads what you draw."


def test_everybody_can_use_the_dark_room(server: Server, page: WatchedPage, axe: str) -> None:
    server.wait(server.submit(**READER), "succeeded")
    page.open()
    blank = _violations(page, axe)
    draw_with_mouse(page, SEVEN)
    verdict(page)
    assert blank + _violations(page, axe) == []


def _violations(page: WatchedPage, axe: str) -> list[str]:
    page.js(axe)
    found: list[str] = page.js(
        """async () => {
          const { violations } = await axe.run('.room');
          return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`);
        }"""
    )
    return found
