"""The address `/`: who gets the page, under which policy, and from where it loads its files."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.conftest import URL
from tests.support.live_service import Live, settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PREFIX = "/lab/mlp"


class Addresses(HTMLParser):
    """All addresses that a page names, and its inline scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[tuple[str | None, str]] = []
        self._open: str | None = None
        self._is_open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href") if given.get(name)]
        self._is_open = tag == "script" and "src" not in given
        self._open = given.get("type")

    def handle_data(self, data: str) -> None:
        if self._is_open:
            self.inline.append((self._open, data))
            self._is_open = False


def import_map(page: str) -> str:
    [(kind, text)] = Addresses(page).inline
    assert kind == "importmap"
    return text


@pytest.fixture
def behind(data_dir: Path, datasets_dir: Path) -> Iterator[TestClient]:
    app = create_app(settings(data_dir, datasets_dir, root_path=PREFIX))
    with TestClient(app, base_url=URL) as client:
        yield client


def test_browsers_get_the_page(live: Live) -> None:
    answer = live.http.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "{" not in "".join(Addresses(answer.text).found)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/plain", "text/*"])
def test_everybody_else_gets_links(live: Live, accept: str) -> None:
    answer = live.http.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert answer.json()["docs"] == "/docs"


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_an_unchanged_page_is_not_sent_again_and_keeps_its_policy(live: Live, coding: str) -> None:
    headers = BROWSER | {"Accept-Encoding": coding}
    first = live.http.get("/", headers=headers)
    again = live.http.get("/", headers=headers | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    # A browser replaces kept headers by those of a 304; the service's usual policy runs no script.
    for name in ("Content-Security-Policy", "ETag", "Vary", "Cache-Control"):
        assert again.headers[name] == first.headers[name]


def test_packed_and_plain_pages_have_different_etags_and_the_same_text(live: Live) -> None:
    packed = live.http.get("/", headers=BROWSER | {"Accept-Encoding": "gzip"})
    plain = live.http.get("/", headers=BROWSER | {"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.text == plain.text


def test_head_has_the_headers_of_get(live: Live) -> None:
    head, get = live.http.head("/", headers=BROWSER), live.http.get("/", headers=BROWSER)
    assert head.content == b""
    for name in ("Content-Security-Policy", "Content-Length", "ETag", "Content-Type"):
        assert head.headers[name] == get.headers[name]


def test_the_policy_allows_own_files_and_the_import_map_and_nothing_else(live: Live) -> None:
    answer = live.http.get("/", headers=BROWSER)
    digest = hashlib.sha256(import_map(answer.text).encode()).digest()
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{base64.b64encode(digest).decode()}'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "media-src": "blob:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_the_page_has_no_inline_styles_and_no_handlers(live: Live) -> None:
    page = live.http.get("/", headers=BROWSER).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)


def test_every_address_of_the_page_is_the_services_own_and_exists(live: Live) -> None:
    page = live.http.get("/", headers=BROWSER).text
    addresses = [address for address in Addresses(page).found if not address.startswith("#")]
    addresses += json.loads(import_map(page))["imports"].values()
    assert len(addresses) > 8
    for address in addresses:
        assert address.startswith("/")
        assert live.http.get(address).status_code == 200, address


def test_the_import_map_names_only_listed_files_of_libraries(live: Live) -> None:
    vendor = Path(__file__).parents[3] / "service/web/vendor"
    listed = {
        f"/vendor/{package['folder']}/{name}"
        for package in json.loads((vendor / "vendor.json").read_text())
        for name in package["files"]
    }
    page = live.http.get("/", headers=BROWSER).text
    imports = json.loads(import_map(page))["imports"]
    assert set(imports) == {
        *("preact", "preact/hooks", "htm", "@preact/signals", "@preact/signals-core")
    }
    assert set(imports.values()) < listed


@pytest.mark.parametrize("sent", ["/", PREFIX, f"{PREFIX}/"])
def test_behind_a_prefix_the_page_loads_everything_from_behind_it(
    behind: TestClient, sent: str
) -> None:
    answer = behind.get(sent, headers=BROWSER)
    addresses = [a for a in Addresses(answer.text).found if not a.startswith("#")]
    addresses += json.loads(import_map(answer.text))["imports"].values()
    for address in addresses:
        assert address.startswith(f"{PREFIX}/"), address
        assert behind.get(address).status_code == 200, address
    digest = hashlib.sha256(import_map(answer.text).encode()).digest()
    assert base64.b64encode(digest).decode() in answer.headers["Content-Security-Policy"]
    outdated = behind.get(f"{PREFIX}/web/0/app.js")
    assert f"load {PREFIX}/ again" in outdated.json()["detail"]
