"""The page of a service whose jobs are trained on several machines."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.store.hosts import HostStore
from service.store.sql.database import Database
from tests.support.browser import WatchedPage
from tests.support.job_records import query, sized
from tests.support.server_process import Server

OpenTab = Callable[[Server], WatchedPage]
NARROW, WIDE = (390, 844), (1440, 900)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A database with two hosts, which stay alive for an hour, and a job that fits neither."""
    with closing(Database(postgres_url)) as database:
        hosts = HostStore(database)
        hosts.join("a" * 16, "lab-1", 4, 8 * 10**9, "1.0.0")
        hosts.join("b" * 16, "lab-2.rechenzentrum.uni-freiburg.example", 2, 64 * 10**9, "1.0.0")
        query(database, "UPDATE hosts SET seen_at = seen_at + INTERVAL '1 hour'")
        sized(database, 10**12)
        yield database


@pytest.fixture
def shared_server(tmp_path: Path, datasets_dir: Path, database: Database) -> Iterator[Server]:
    environment = {
        "MLP_CONCURRENT_JOBS": "0",
        "MLP_DATABASE_URL": database.url,
        "MLP_ARTIFACTS_URL": str(tmp_path / "shared"),
    }
    running = Server(tmp_path / "data", datasets_dir, **environment).start()
    yield running
    running.stop()


def test_hosts_are_counted_in_the_bar_and_listed_when_asked_for(
    shared_server: Server, new_page: OpenTab, axe: str
) -> None:
    page = new_page(shared_server)
    page.open()
    page.until("document.querySelector('.top').innerText.includes('2 hosts')", "their number")
    assert "0 of 6 busy" in page.tab.locator(".connection").inner_text()
    page.until("document.body.innerText.includes('GB of memory')", "what the job needs")
    for theme, (width, height) in itertools.product(("light", "dark"), (WIDE, NARROW)):
        page.tab.set_viewport_size({"width": width, "height": height})
        page.js("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        photograph(page, f"bar-{theme}-{width}")
        page.tab.get_by_role("button", name="2 hosts").click()
        page.until("document.querySelectorAll('.hosts tbody tr').length === 2", "both")
        photograph(page, f"hosts-{theme}-{width}")
        rows = page.tab.locator(".hosts tbody tr").all_inner_texts()
        cells = [cell.strip() for cell in rows[0].split("\t")]
        assert cells[:3] == ["lab-1", "0 of 4", "8.00\xa0GB"]
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        assert page.js(f"async () => {{ {axe}; {VIOLATIONS} }}") == []
        page.tab.get_by_role("button", name="Close").click()


VIOLATIONS = "return (await axe.run('dialog')).violations.map((it) => it.id)"


def photograph(page: WatchedPage, name: str) -> None:
    """Keep a picture, if somebody wants to look."""
    if place := os.environ.get("PICTURES"):
        page.tab.screenshot(path=f"{place}/{name}.png")


def test_a_server_that_trains_all_jobs_itself_shows_no_hosts(
    server: Server, new_page: OpenTab
) -> None:
    page = new_page(server)
    page.open()
    page.until("document.querySelector('.connection').innerText.includes('busy')", "the slots")
    assert "host" not in page.tab.locator(".top").inner_text()
