"""Names, tags and notes with markup in them are shown as they are, and nothing in them runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import QUICK
from tests.support.browser import WatchedPage
from tests.support.passive_answers import MARKUP
from tests.support.server_process import Server

NOTE_ALERTS = "window.alerts = []; window.alert = (text) => window.alerts.push(text);"
FOREIGN = (
    "script:not([src]):not([type=importmap]), iframe, object, embed, img[src^=x], foreignObject"
)


@pytest.fixture
def server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A service whose jobs wait, so that the page shows only what their specs say."""
    running = Server(tmp_path / "data", datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    yield running
    running.stop()


def test_markup_from_clients_is_text_on_the_page(
    server: Server, new_page: Callable[[Server], WatchedPage]
) -> None:
    ids = [
        server.submit(**QUICK | {"name": text, "tags": [text], "metadata": {"note": text}})
        for text in MARKUP
    ]
    page = new_page(server)
    page.tab.add_init_script(NOTE_ALERTS)
    page.open()
    page.until(f"document.querySelectorAll('.jobs li').length >= {len(ids)}", "all rows")
    shown = page.js("document.querySelector('.jobs').textContent")
    assert [text for text in MARKUP if text not in shown] == []
    for id_, text in zip(ids, MARKUP, strict=True):
        page.js(f"location.hash = '#jobs={id_}&tab=spec'")
        page.until(
            f"document.querySelector('.lab').textContent.includes({json.dumps(text)})",
            "the name",
            10,
        )
    assert page.js("window.alerts") == []
    assert page.js(f"document.querySelectorAll('{FOREIGN}').length") == 0
