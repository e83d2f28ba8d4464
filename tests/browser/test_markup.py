"""Names, tags and notes with markup in them are shown as they are, and nothing in them runs."""

import pytest

from tests.attack.test_injection import MARKUP
from tests.conftest import QUICK
from tests.support.browser import WatchedPage
from tests.support.server_process import Server

NOTE_ALERTS = "window.alerts = []; window.alert = (text) => window.alerts.push(text);"
FOREIGN = (
    "script:not([src]):not([type=importmap]), iframe, object, embed, img[src^=x], foreignObject"
)


@pytest.mark.timeout(120)
def test_markup_from_clients_is_text_on_the_page(page: WatchedPage, server: Server) -> None:
    ids = [
        server.submit(**QUICK | {"name": text, "tags": [text], "metadata": {"note": text}})
        for text in MARKUP
    ]
    for id_ in ids:
        server.wait(id_, "succeeded")
    page.tab.add_init_script(NOTE_ALERTS)
    page.open()
    page.until(f"document.querySelectorAll('.jobs li').length >= {len(ids)}", "all rows")
    shown = page.js("document.querySelector('.jobs').textContent")
    assert [text for text in MARKUP if text not in shown] == []
    page.open(f"/#jobs={','.join(ids)}")
    page.until("document.querySelector('.lab canvas')", "the charts")
    for tab in ("spec", "mistakes", "weights"):
        page.open(f"/#jobs={ids[0]}&tab={tab}")
        page.tab.wait_for_timeout(200)
    assert page.js("window.alerts") == []
    assert page.js(f"document.querySelectorAll('{FOREIGN}').length") == 0
