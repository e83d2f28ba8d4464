"""A real Chromium that shows the page, and notes everything that must not happen there."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.external_programs import require_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request

LAN_HOST = "lan.test"
"""A name of this machine that, unlike localhost, browsers do not trust without https."""
OFFLINE = (
    f"--host-resolver-rules=MAP {LAN_HOST} 127.0.0.1, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1, EXCLUDE localhost"
)
"""No other name can be looked up, so whatever the page needs must come from the service."""
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""
NEXT_FRAMES = """() => new Promise((resolve) => {
  setTimeout(resolve, 500); // a tab that nobody sees has no frames
  requestAnimationFrame(() => requestAnimationFrame(resolve));
})"""
CONNECTION_LOST = r"net::ERR_(CONNECTION_REFUSED|EMPTY_RESPONSE|CONNECTION_RESET|INCOMPLETE_CHUNK"
CONNECTION_LOST += r"ED_ENCODING|NETWORK_CHANGED|SOCKET_NOT_CONNECTED|ABORTED)"
"""What Chromium writes into the console when a server is killed."""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start Debian's Chromium, without access to any other host."""
    from playwright.sync_api import sync_playwright

    program = require_program("chromium", "chromium-browser", "google-chrome", package="chromium")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", OFFLINE]
        )
        yield browser
        browser.close()


class WatchedPage:
    """The page in one tab, and what it did that it must not do."""

    def __init__(self, context: "BrowserContext", url: str) -> None:
        self.url = url
        self.faults: list[str] = []
        self.requests: list[str] = []
        """Method and path of every request, in order."""
        self.tab: Page = context.new_page()
        self._expected: list[str] = []
        self._open: set[Request] = set()
        self.tab.add_init_script(NOTE_VIOLATIONS)
        self.tab.on("console", lambda said: self._note(said.type, said.text))
        self.tab.on("pageerror", lambda error: self._note("page error", str(error)))
        self.tab.on("request", self._begin)
        self.tab.on("requestfinished", self._end)
        self.tab.on("requestfailed", self._end)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("log", "info", "debug"):
            return
        if not any(re.search(pattern, text) for pattern in self._expected):
            self.faults.append(f"{kind}: {text}")

    def _begin(self, request: "Request") -> None:
        address = urlsplit(request.url)
        if address.scheme in ("data", "blob"):
            return
        if address.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"foreign request: {request.url}")
        query = f"?{address.query}" if address.query else ""
        self.requests.append(f"{request.method} {address.path}{query}")
        self._open.add(request)

    def _end(self, request: "Request") -> None:
        self._open.discard(request)

    def expect(self, pattern: str) -> None:
        """Accept console messages that match `pattern`, which this test brings about."""
        self._expected.append(pattern)

    def open(self, path: str = "/") -> "WatchedPage":
        """Load the page, and wait until it is live."""
        self.tab.goto(self.url + path)
        self.until("document.querySelector('.connection.live')", "the page to be live")
        return self

    def js(self, script: str, argument: object = None) -> Any:
        """Return the value of a JavaScript expression or function in the page."""
        return self.tab.evaluate(script, argument)

    def until(self, script: str, what: str, seconds: float = 30) -> None:
        """Wait until an expression is truthy; the policy forbids Playwright's own waits."""
        deadline = time.monotonic() + seconds
        while (state := self._state(script)) != "true":
            if time.monotonic() > deadline:
                told = f"waited {seconds} s for {what}, in vain: {script} is {state}"
                raise AssertionError(told)
            self.tab.wait_for_timeout(30)

    def _state(self, script: str) -> str:
        """Return `true` or `false`, or why the expression has no value yet."""
        from playwright.sync_api import Error

        try:
            return "true" if self.tab.evaluate(f"Boolean({script})") else "false"
        except Error as error:
            waits = ("Execution context was destroyed", "Cannot read properties of null")
            if any(each in str(error) for each in waits):
                return f"not known: {error.message.splitlines()[0]}"  # it is still being loaded
            raise

    def text(self, selector: str) -> str:
        """Return the visible text of the first element that matches, in one line."""
        found = self.tab.locator(selector).first
        found.wait_for(state="attached")
        self.js(NEXT_FRAMES)  # until then, what has `content-visibility: auto` has no text
        return " ".join(found.inner_text().split())

    def has_stream(self) -> bool:
        """Whether this tab, as opposed to another one, holds the stream of events."""
        return any("/v1/events" in each.url for each in self._open)

    def hanging(self) -> list[str]:
        """Addresses of requests without an answer, other than the stream's."""
        return [each.url for each in self._open if "/v1/events" not in each.url]

    def assert_clean(self) -> None:
        """Fail if anything happened that must never happen."""
        for _ in range(100):
            if not self.hanging():
                break
            self.tab.wait_for_timeout(50)
        found = self.faults + [f"hanging request: {url}" for url in self.hanging()]
        found += [f"policy violation: {each}" for each in self.js("window.violations ?? []")]
        assert not found, "\n".join(found)


def processor_clock(page: WatchedPage, metric: str) -> Callable[[], float]:
    """Return a function that says how long a page has kept the processor busy, in milliseconds.

    Args:
        page: the page.
        metric: which of its work counts: `ScriptDuration` or `TaskDuration`.

    """
    session = page.tab.context.new_cdp_session(page.tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def milliseconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(1000 * next(it["value"] for it in metrics if it["name"] == metric))

    return milliseconds
