"""The states of the page that a person should look at, and how to bring each of them about.

Tests look at all of them for barriers and blank canvases; `make screenshots` takes their pictures.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlp_client import Client
from mlp_client.job_state import FINAL
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.support.browser import WatchedPage
from tests.support.sample_page import SAMPLES
from tests.support.server_process import Server, eventually

SEVEN = [(0.28, 0.25), (0.5, 0.23), (0.72, 0.25), (0.62, 0.45), (0.52, 0.65), (0.45, 0.85)]
"""The corners of a 7, as fractions of the pad."""


@dataclass(frozen=True)
class PageState:
    """One state: where it can be seen, and what to do there."""

    name: str
    show: Callable[[WatchedPage], None]
    site: str = "samples"
    """The service that shows it: one with sample jobs, an empty one, or one that needs a key."""


def draw(page: WatchedPage, points: list[tuple[float, float]] = SEVEN) -> None:
    """Draw a line on the pad with the mouse."""
    if page.js("innerWidth") <= 720:
        page.tab.get_by_role("button", name="Ask", exact=True).click()
    pad = page.tab.locator(".pad").first
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    mouse = page.tab.mouse
    corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    mouse.move(*corners[0])
    mouse.down()
    for corner in corners[1:]:
        mouse.move(*corner, steps=6)
    mouse.up()


def choose(page: WatchedPage, *names: str) -> None:
    """Show these jobs, by the address."""
    ids = [job_id(page, name) for name in names]
    page.js("ids => { location.hash = `jobs=${ids.join(',')}` }", ids)
    page.tab.wait_for_timeout(300)


def job_id(page: WatchedPage, name: str) -> str:
    with Client(page.url) as client:
        return next(job.id for job in client.jobs.list() if job.spec.name == name)


def tab(page: WatchedPage, name: str) -> None:
    page.tab.get_by_role("tab", name=name).click()
    page.tab.wait_for_timeout(300)


# --- What is done for each state ------------------------------------------------------------------


def _nothing(page: WatchedPage) -> None:
    page.tab.wait_for_timeout(300)


def _live(page: WatchedPage) -> None:
    choose(page, "long run")
    draw(page)


def _done(page: WatchedPage) -> None:
    choose(page, "small relu")
    draw(page)


def _of_one(name: str) -> Callable[[WatchedPage], None]:
    return lambda page: choose(page, name)


def _two(page: WatchedPage) -> None:
    choose(page, "small relu", "small sigmoid")
    draw(page)


def _many(page: WatchedPage) -> None:
    choose(page, *(sample["name"] for sample in SAMPLES if sample["name"] != "too fast"))


def _under(name: str) -> Callable[[WatchedPage], None]:
    def show(page: WatchedPage) -> None:
        choose(page, "small relu")
        if page.js("innerWidth") <= 720:
            page.tab.get_by_role("button", name="Curves").click()
        tab(page, name)
        page.tab.wait_for_timeout(700)

    return show


def _mistakes_of_a_cell(page: WatchedPage) -> None:
    _under("Mistakes")(page)
    page.js("location.hash += '&cell=4-9'")
    page.tab.wait_for_timeout(700)


def _mistakes_of_two(page: WatchedPage) -> None:
    choose(page, "small relu", "small sigmoid")
    tab(page, "Mistakes")
    page.tab.wait_for_timeout(700)


def _jobs(page: WatchedPage) -> None:
    if page.js("innerWidth") <= 720:
        page.tab.get_by_role("button", name="Jobs").click()


def _new_job(page: WatchedPage) -> None:
    page.tab.keyboard.press("n")
    page.until("document.querySelector('.new-job .cost')", "the cost")


def _new_job_in_full(page: WatchedPage) -> None:
    _new_job(page)
    page.tab.locator(".new-job summary").click()


def _wrong_job(page: WatchedPage) -> None:
    _new_job(page)
    page.tab.get_by_label("Learning rate", exact=True).fill("-1")
    page.until("document.querySelector('.new-job .error')", "the problem")


def _pressed(key: str) -> Callable[[WatchedPage], None]:
    def show(page: WatchedPage) -> None:
        page.tab.keyboard.press(key)
        page.tab.wait_for_timeout(500)

    return show


def _stopped(page: WatchedPage) -> None:
    # The tab that holds the stream tells the others how it is, and this one believes it.
    page.js("new BroadcastChannel('mlp-stream').postMessage({ link: 'stopped' })")
    page.until("document.querySelector('.connection.stopped')", "a red pill")


STATES = (
    PageState("empty", _nothing, "empty"),
    PageState("live", _live),
    PageState("done", _done),
    PageState("list", _jobs),
    PageState("linear", _of_one("linear")),
    PageState("two-layers", _of_one("two layers")),
    PageState("failed", _of_one("too fast")),
    PageState("learned-nothing", _of_one("learns nothing")),
    PageState("two-jobs", _two),
    PageState("many-jobs", _many),
    PageState("mistakes", _under("Mistakes")),
    PageState("mistakes-of-a-cell", _mistakes_of_a_cell),
    PageState("mistakes-of-two", _mistakes_of_two),
    PageState("data", _under("Data")),
    PageState("spec", _under("Spec and files")),
    PageState("new-job", _new_job),
    PageState("new-job-in-full", _new_job_in_full),
    PageState("new-job-wrong", _wrong_job),
    PageState("help", _pressed("?")),
    PageState("calls", _pressed("`")),
    PageState("key-needed", _nothing, "keyed"),
    PageState("stopped", _stopped),
)


class Sites:
    """The three services on which the states can be seen."""

    def __init__(self, directory: Path, datasets_dir: Path) -> None:
        self._servers = {
            name: Server(directory / name, datasets_dir) for name in ("empty", "samples", "keyed")
        }

    def start(self) -> "Sites":
        for server in self._servers.values():
            server.start()
        database = Database(f"sqlite:///{self._servers['keyed'].data_dir / 'jobs.sqlite3'}")
        ApiKeyStore(database).create("ada", ("read",))
        database.close()
        with Client(self._servers["samples"].url) as client:
            for sample in SAMPLES:
                client.jobs.create(**sample)
            eventually(
                lambda: all(job.state in FINAL for job in client.jobs.list()), "the samples", 120
            )
            client.jobs.create(name="long run", hidden=[128], epochs=5000)
            eventually(
                lambda: next(client.jobs.list()).progress.epochs_done >= 2, "the long run's epochs"
            )
        return self

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()

    def url(self, state: PageState) -> str:
        return self._servers[state.site].url

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers.values())
