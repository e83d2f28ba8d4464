"""Sessions in a real browser: what the cookie opens, and what pages of other ports can't do."""

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.conftest import QUICK
from tests.support.keyed_service import bearer, id_of
from tests.support.server_process import Server, eventually

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

SIGN_IN = """async (key) => {
  const body = JSON.stringify({ key });
  const headers = { "Content-Type": "application/json" };
  return (await fetch("/v1/session", { method: "POST", headers, body })).status;
}"""
STATUS = "async ([method, path]) => (await fetch(path, { method })).status"
SUBMIT = """async (spec) => {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/v1/jobs", { method: "POST", headers, body: JSON.stringify(spec) });
  return answer.json();
}"""
PICTURE_WIDTH = """(path) => new Promise((resolve) => {
  const picture = new Image();
  picture.onload = () => resolve(picture.naturalWidth);
  picture.onerror = () => resolve(0);
  picture.src = path;
})"""
FIRST_EVENT = """(path) => new Promise((resolve) => {
  const source = new EventSource(path);
  source.addEventListener("state", (event) => { source.close(); resolve(event.data); });
  source.onerror = () => { source.close(); resolve(""); };
})"""
ATTACKS = """async (server) => {
  const tried = [];
  const send = async (path, options) => {
    try {
      const answer = await fetch(server + path, { credentials: "include", ...options });
      tried.push(answer.type === "opaque" ? "opaque" : `read ${answer.status}`);
    } catch { tried.push("blocked"); }
  };
  await send("/v1/jobs", {});
  await send("/v1/jobs", { method: "POST", mode: "no-cors", body: "{}" });
  await send("/v1/jobs", { method: "POST", body: "{}",
    headers: { "Content-Type": "application/json" } });
  await send("/v1/session", { method: "POST", mode: "no-cors", body: "{}" });
  await send("/v1/session", { method: "DELETE" });
  return tried;
}"""
FORM = """<form id="f" method="post" enctype="text/plain" action="{}/v1/jobs">
<input name='{{"name":"forged","x":"' value='"}}'></form>"""


class Keyed:
    """A server that trains nothing, as a browser reaches it, with a key of ada's."""

    def __init__(self, directory: Path, datasets_dir: Path, **environment: str) -> None:
        self.server = Server(directory, datasets_dir, MLP_CONCURRENT_JOBS="0", **environment)
        self.server.start()
        self.url = f"http://localhost:{self.server.port}"
        database = Database(f"sqlite:///{directory / 'jobs.sqlite3'}")
        self.keys = ApiKeyStore(database)
        self.key = self.keys.create("ada", ["read", "train"])
        database.close()
        eventually(lambda: self.get_jobs(None) == 401, "the doors to close")

    def get_jobs(self, key: str | None) -> int:
        return self.server.http.get("/v1/jobs", headers=bearer(key) if key else {}).status_code

    def names(self) -> list[str]:
        listed = self.server.http.get("/v1/jobs", headers=bearer(self.key)).json()["data"]
        return [job["spec"]["name"] for job in listed]


@pytest.fixture
def keyed(tmp_path: Path, datasets_dir: Path) -> Iterator[Callable[..., Keyed]]:
    started: list[Keyed] = []

    def start(name: str = "one", **environment: str) -> Keyed:
        started.append(Keyed(tmp_path / name, datasets_dir, **environment))
        return started[-1]

    yield start
    for each in started:
        each.server.stop()


def signed_in(context: "BrowserContext", service: Keyed) -> "Page":
    """Return a tab of the service's own, in which somebody has signed in."""
    tab = context.new_page()
    tab.goto(f"{service.url}/docs")
    assert tab.evaluate(SIGN_IN, service.key) == 204
    return tab


def cookies(context: "BrowserContext") -> dict[str, Any]:
    return {str(cookie.get("name")): cookie for cookie in context.cookies()}


def test_a_session_serves_requests_pictures_streams_and_downloads(
    context: "BrowserContext", keyed: Callable[..., Keyed]
) -> None:
    service = keyed()
    tab = signed_in(context, service)
    [(name, cookie)] = cookies(context).items()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert name not in tab.evaluate("document.cookie")
    assert service.key[-43:] not in cookie["value"]
    job = tab.evaluate(SUBMIT, dict(QUICK))
    assert job["owner"] == "ada"
    assert tab.evaluate(STATUS, ["GET", "/v1/jobs"]) == 200
    assert tab.evaluate(PICTURE_WIDTH, "/v1/datasets/mnist/test/0.png") == 28
    assert "queued" in tab.evaluate(FIRST_EVENT, job["links"]["events"])
    opened = tab.goto(f"{service.url}/v1/datasets/mnist/test/0.png")
    assert opened
    assert opened.status == 200


def test_a_session_ends_with_its_key_or_by_signing_out(
    context: "BrowserContext", keyed: Callable[..., Keyed]
) -> None:
    service = keyed()
    tab = signed_in(context, service)
    assert tab.evaluate(STATUS, ["DELETE", "/v1/session"]) == 204
    assert cookies(context) == {}
    assert tab.evaluate(STATUS, ["GET", "/v1/jobs"]) == 401
    assert tab.evaluate(SIGN_IN, service.key) == 204
    assert tab.evaluate(STATUS, ["GET", "/v1/jobs"]) == 200
    service.keys.revoke(id_of(service.key))
    eventually(lambda: service.get_jobs(service.key) == 401, "the key to be refused")
    assert tab.evaluate(STATUS, ["GET", "/v1/jobs"]) == 401


def test_two_services_of_one_host_do_not_disturb_each_other(
    context: "BrowserContext", keyed: Callable[..., Keyed]
) -> None:
    one, other = keyed("one"), keyed("other")
    tabs = [signed_in(context, service) for service in (one, other)]
    assert len(cookies(context)) == 2
    assert [tab.evaluate(STATUS, ["GET", "/v1/jobs"]) for tab in tabs] == [200, 200]
    assert tabs[0].evaluate(STATUS, ["DELETE", "/v1/session"]) == 204
    assert [tab.evaluate(STATUS, ["GET", "/v1/jobs"]) for tab in tabs] == [401, 200]


@dataclass
class Neighbour:
    """An empty page on another port of the same host, and the cookies that it was shown."""

    url: str
    shown: list[str]


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    shown: list[str] = []

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Neighbour(f"http://localhost:{server.server_port}", shown)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_page_of_another_port_gets_nothing_out_of_the_session(
    context: "BrowserContext", keyed: Callable[..., Keyed], neighbour: Neighbour, is_allowed: bool
) -> None:
    """Not even if MLP_ALLOWED_ORIGINS lists it; such a page sends a key itself."""
    service = keyed(**{"MLP_ALLOWED_ORIGINS": neighbour.url} if is_allowed else {})
    own = signed_in(context, service)
    before = cookies(context)
    tab = context.new_page()
    tab.goto(neighbour.url)
    assert all(name in neighbour.shown[0] for name in before)  # browsers ignore the port
    assert tab.evaluate(ATTACKS, service.url) == [
        *("blocked", "opaque", "blocked", "opaque", "blocked")
    ]
    tab.set_content(FORM.format(service.url))
    with tab.expect_navigation() as navigated:
        tab.evaluate("document.getElementById('f').submit()")
    answer = navigated.value
    assert answer
    assert answer.status == 403
    assert service.names() == []
    assert cookies(context) == before
    assert own.evaluate(STATUS, ["GET", "/v1/jobs"]) == 200
