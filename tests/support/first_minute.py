"""Lives the first minute of a new user in Chromium, beside `make demo`.

`python -m tests.support.first_minute URL FOLDER` waits for the service, writes a line for each step
with the seconds since the service answered, and keeps a picture of each in the folder.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.support.browser import WatchedPage, chromium
from tests.support.page_states import draw, tab
from tests.support.server_process import eventually

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

DESKTOP: "ViewportSize" = {"width": 1440, "height": 900}
START_SECONDS = 600
"""How long `make demo` may install before it serves."""
VERDICT = "document.querySelector('.room .verdict strong')"
FINISHED = "document.querySelectorAll('.jobs .job.succeeded').length === 3"


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


class Diary:
    """Notes when each step was done, and how the page looked then."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._start, self._steps = folder, time.monotonic(), 0
        folder.mkdir(parents=True, exist_ok=True)

    def note(self, page: WatchedPage, what: str) -> None:
        seconds = time.monotonic() - self._start
        self._steps += 1
        sys.stdout.write(f"{seconds:6.1f} s  {what}\n")
        page.tab.screenshot(path=self._folder / f"{self._steps:02}.png")


def watch(page: WatchedPage, note: Callable[[WatchedPage, str], None]) -> None:
    """Open the page, watch the networks learn, and draw a digit for them."""
    page.open()
    note(page, "the page is live")
    page.until("document.querySelector('.jobs .job')", "a row", 60)
    note(page, "a job is in the list")
    page.until("document.querySelector('.plot canvas')", "the charts", 60)
    note(page, "its curves are drawn")
    page.until("document.querySelector('canvas.sheet')?.dataset.drawn", "the weights", 60)
    note(page, "its weights are pictures")
    draw(page)
    page.until(f"{VERDICT}?.innerText.includes('7')", "the verdict", 60)
    note(page, "the drawn 7 is read")
    page.until(FINISHED, "three finished jobs", 600)
    note(page, "all three networks are trained")


def explore(page: WatchedPage, note: Callable[[WatchedPage, str], None]) -> None:
    """Go back to the start of the training, compare the networks, and look at mistakes."""
    page.tab.locator(".epochs input").press("Home")
    page.until("document.querySelector('.epochs').innerText.includes('before training')", "epoch 0")
    note(page, "the slider shows the network before training")
    page.tab.locator(".epochs input").press("End")
    for box in page.tab.locator(".jobs input[type=checkbox]").all():
        if not box.is_checked():
            box.check()
    page.until("document.querySelectorAll('.compare tbody tr').length === 3", "the table")
    note(page, "the three are compared")
    tab(page, "Mistakes")
    page.until("document.querySelector('.confusion, .contact-sheet button')", "mistakes", 60)
    page.until("document.querySelector('.contact-sheet button')", "their pictures", 60)
    note(page, "their mistakes are shown")


def share(page: WatchedPage, other: WatchedPage, note: Callable[[WatchedPage, str], None]) -> None:
    """Share the address, and open it in another browser."""
    page.tab.get_by_role("button", name="Share").click()
    page.until("document.querySelector('.notice')", "the notice")
    note(page, "the address is copied")
    other.tab.goto(page.js("navigator.clipboard.readText()"))
    other.until(VERDICT, "the verdict there", 60)
    note(other, "another browser shows the same")


def main(url: str, folder: Path) -> None:
    eventually(lambda: answers(f"{url}/livez"), "the service", START_SECONDS)
    with chromium() as browser:
        granted = ["clipboard-read", "clipboard-write"]
        context = browser.new_context(viewport=DESKTOP, permissions=granted)
        page = WatchedPage(context, url)
        other = WatchedPage(browser.new_context(viewport=DESKTOP), url)
        diary = Diary(folder)
        watch(page, diary.note)
        explore(page, diary.note)
        share(page, other, diary.note)
        for each in (page, other):
            each.assert_clean()
    sys.stdout.write(f"{len(page.requests)} requests and no fault\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
