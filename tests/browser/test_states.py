"""Every state of the page, in both themes and on a desktop and a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.browser import WatchedPage
from tests.support.page_states import STATES, PageState, Sites

if TYPE_CHECKING:
    from playwright.sync_api import Browser

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1440, 390)
FIND_BARRIERS = """
async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] });
  return found.violations.map((each) =>
    `${each.id}: ${each.help}: ${each.nodes.map((node) => node.target).join(' ')}`);
}
"""
BLANK_CANVASES = """
() => [...document.querySelectorAll('canvas')].filter((canvas) => {
  const box = canvas.getBoundingClientRect();
  if (!box.width || !canvas.checkVisibility()) return false;
  // Where nothing is drawn, there is nothing to see or to think about.
  if (canvas.closest('.room') && !/ink=|pad=/.test(location.hash)) return false;
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let different = 0;
  for (let at = 4; at < data.length; at += 4)
    if ([0, 1, 2, 3].some((part) => data[at + part] !== data[part])) different++;
  return different * 4 / data.length < 0.005;
}).map((canvas) => `${canvas.className} in ${canvas.parentElement.className}`)
"""
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Sites]:
    started = Sites(tmp_path_factory.mktemp("sites"), datasets_dir).start()
    yield started
    started.stop()


def shown(browser: "Browser", sites: Sites, state: PageState, width: int) -> WatchedPage:
    # Colours that are still changing would be measured half-way.
    context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page = WatchedPage(context, sites.url(state))
    if state.site == "keyed":
        page.expect("status of 401")  # Chromium says so of every request without a key
    page.tab.goto(page.url)
    page.until("document.querySelector('.connection.live, .key-needed')", "the page")
    page.tab.wait_for_timeout(600)
    state.show(page)
    return page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_nobody_is_kept_out_and_nothing_is_blank(
    browser: "Browser", sites: Sites, axe: str, state: PageState, width: int
) -> None:
    page = shown(browser, sites, state, width)
    page.js(axe)
    found = []
    for theme in THEMES:
        page.tab.emulate_media(color_scheme=theme)
        page.tab.wait_for_timeout(300)
        found += [f"{theme}: {barrier}" for barrier in page.js(FIND_BARRIERS)]
        if state.name != "learned-nothing":  # most of its units have become zero
            found += [f"{theme}: blank {canvas}" for canvas in page.js(BLANK_CANVASES)]
    too_wide = page.js(TOO_WIDE)
    page.assert_clean()
    page.tab.context.close()
    assert found == []
    assert not too_wide
