"""The page by keyboard alone: the order of the focus, and where it returns."""

from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.server_process import Server, eventually

FOCUSED = """() => {
  const { activeElement: at } = document;
  return at.ariaLabel || at.textContent.trim().replace(/\\s+/g, ' ').slice(0, 30) || at.placeholder;
}"""
FIRST_STOPS = [
    "Skip to the curves",
    "Live",
    "API calls",
    "Share",
    "Theme",
    "Help",
    "API docs",
    "Find",
    "New",
    "All",
    "Running",
    "Failed",
    "Best",
]


def test_tab_goes_from_the_bar_through_the_list_to_the_curves(
    page: WatchedPage, server: Server
) -> None:
    job = server.http.post("/v1/jobs", json=SMALL).json()["id"]
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["finished_at"], "the job")
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    stops = []
    for _ in FIRST_STOPS:
        page.tab.keyboard.press("Tab")
        stops.append(page.js(FOCUSED))
    assert [stop[: len(wanted)] for stop, wanted in zip(stops, FIRST_STOPS, strict=True)] == (
        FIRST_STOPS
    )
    seen = set()
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        seen.add(page.js("document.activeElement.closest('.jobs, .lab, .room')?.className ?? ''"))
        if page.js("document.activeElement.matches('canvas.pad')"):
            break
    assert page.js("document.activeElement.matches('canvas.pad')")
    assert {"jobs", "lab", "room"} <= {name.split()[0] for name in seen if name}


def test_the_skip_link_leads_to_the_curves(page: WatchedPage) -> None:
    page.open()
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Enter")
    assert page.js("document.activeElement.id") == "main"
    assert page.js("location.hash") == ""


def test_a_closed_dialog_gives_the_focus_back_to_what_opened_it(page: WatchedPage) -> None:
    page.open()
    for name, dialog in (("New", "New job"), ("Help", "Keyboard")):
        opener = page.tab.get_by_role("button", name=name, exact=True)
        opener.focus()
        page.tab.keyboard.press("Enter")
        page.until(f"document.querySelector('dialog[aria-label=\"{dialog}\"]')", "the dialog")
        page.tab.keyboard.press("Escape")
        page.until("!document.querySelector('dialog')", "the dialog to close")
        assert opener.evaluate("(each) => each === document.activeElement")
