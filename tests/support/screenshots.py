"""Takes a picture of every state of the page, for a person to look at: `make screenshots`.

Each state is shown in both themes and three widths. The pictures are not compared with others,
because every machine draws letters and lines a little differently.
"""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from service.store.dataset_files import DatasetFiles
from service.store.stored_dataset import MNIST
from tests.support.browser import WatchedPage, chromium
from tests.support.documents import ROOT
from tests.support.page_states import STATES, PageState, Sites

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

OUT = ROOT / "screenshots"
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
SIZES: dict[str, "ViewportSize"] = {
    "desktop": {"width": 1440, "height": 900},
    "tablet": {"width": 1000, "height": 800},
    "phone": {"width": 390, "height": 844},
}


def take(browser: "Browser", sites: Sites, state: PageState, theme: Theme, size: str) -> None:
    """Show a state in a fresh profile, and keep its picture."""
    context = browser.new_context(
        viewport=SIZES[size], color_scheme=theme, has_touch=size != "desktop"
    )
    page = WatchedPage(context, sites.url(state))
    page.tab.goto(page.url)
    page.tab.wait_for_timeout(1200)
    try:
        state.show(page)
    except Exception as error:  # the others are still worth a picture
        sys.stdout.write(f"{state.name} in {theme} on a {size}: {error}\n")
    page.tab.wait_for_timeout(700)
    page.tab.screenshot(path=OUT / f"{state.name}-{size}-{theme}.png")
    for fault in page.faults:
        sys.stdout.write(f"{state.name} in {theme} on a {size}: {fault}\n")
    context.close()


def main(names: list[str]) -> None:
    OUT.mkdir(exist_ok=True)
    states = [state for state in STATES if not names or state.name in names]
    with tempfile.TemporaryDirectory() as directory:
        datasets_dir = Path(directory, "datasets")
        DatasetFiles(datasets_dir).open(MNIST.sha256)
        sites = Sites(Path(directory), datasets_dir).start()
        try:
            with chromium() as browser:
                for state in states:
                    for size in SIZES:
                        for theme in THEMES:
                            take(browser, sites, state, theme, size)
        finally:
            sites.stop()
    sys.stdout.write(f"{len(states) * len(SIZES) * len(THEMES)} pictures in {OUT.name}/\n")


if __name__ == "__main__":
    main(sys.argv[1:])
