"""How soon the page shows what the network thinks of a stroke, in Debian's Chromium."""

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.own_server import await_success, own_server
from benchmarks.report import Figure, figure
from tests.support.browser import WatchedPage, chromium
from tests.support.server_process import Server

READER = {"preset": "mlp-relu", "epochs": 2, "name": "reader"}
TRAINS = {"preset": "mlp-relu", "epochs": 10_000}
ROUNDS, POINTS = 9, 60
FAST_MS, SLOW_MS = 16, 120
"""Between two points: as a hand moves, and so slowly that every point gets an answer of its own."""
IDLE_MOST_MS, BUSY_MOST_MS = 50, 120
WATCH = """() => {
  performance.setResourceTimingBufferSize(100000);
  window.seen = { points: [], shown: [] };
  document.querySelector('.pad').addEventListener('pointermove', (event) => {
    if (event.buttons) seen.points.push(event.timeStamp);
  }, true);
  const note = () => requestAnimationFrame(() => seen.shown.push(performance.now()));
  const changes = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(note).observe(document.querySelector('.bars'), changes);
}"""
SEEN = """() => ({ ...seen, asked: performance.getEntriesByType('resource')
  .filter((each) => each.name.includes('/predict'))
  .map((each) => [each.startTime, each.responseEnd]) })"""


def measure() -> list[Figure]:
    """Measure on an idle machine, and while two jobs train on all cores."""
    with own_server(MLP_CONCURRENT_JOBS="2") as server, chromium() as browser:
        reader = server.submit(**READER)
        await_success(server, reader)
        page = WatchedPage(browser.new_context(), server.url).open(f"/#jobs={reader}")
        page.until("document.querySelector('.pad')", "the pad")
        page.js(WATCH)
        figures = _both(page, "idle", IDLE_MOST_MS)
        _train(server)
        return [*figures, *_both(page, "two jobs train", BUSY_MOST_MS)]


def _train(server: Server) -> None:
    for seed in (1, 2):
        server.wait_for_progress(server.submit(**TRAINS, seed=seed), 1e-9)


def _both(page: WatchedPage, name: str, at_most: float) -> list[Figure]:
    figures = []
    for pause in (FAST_MS, SLOW_MS):
        rounds = [_delays(page, pause) for _ in range(ROUNDS)]
        figures.append(
            figure(
                f"{name}, a point every {pause} ms: point to bars, 95th percentile",
                [float(np.percentile(delays, 95)) for delays in rounds],
                "ms",
                at_most=at_most,
                note=f"median {statistics.median(itertools.chain(*rounds)):.0f} ms, "
                f"{sum(map(len, rounds))} points",
            )
        )
    return figures


def _delays(page: WatchedPage, pause: int) -> Sequence[float]:
    """Draw a circle; return the milliseconds from each point to the frame with bars about it."""
    page.tab.keyboard.press("Escape")
    page.js("() => { seen.points = []; seen.shown = []; performance.clearResourceTimings(); }")
    box = page.tab.locator(".pad").bounding_box()
    assert box
    mouse = page.tab.mouse
    for turn in np.linspace(0, 2 * np.pi, POINTS + 1):
        x = box["x"] + box["width"] * (0.5 + 0.3 * np.cos(turn))
        y = box["y"] + box["height"] * (0.5 + 0.3 * np.sin(turn))
        mouse.move(float(x), float(y))
        if turn == 0:
            mouse.down()
        page.tab.wait_for_timeout(pause)
    mouse.up()
    page.tab.wait_for_timeout(1000)
    return _matched(page.js(SEEN))


def _matched(seen: dict[str, Any]) -> list[float]:
    """Return how long after each point the answer to the first question asked after it was shown.

    A question that is sent after a point has it in its picture.
    """
    delays = []
    for point in seen["points"]:
        answered = next((end for start, end in seen["asked"] if start >= point), None)
        if answered is not None:
            delays.append(next(shown for shown in seen["shown"] if shown >= answered) - point)
    assert len(delays) > POINTS / 2
    return delays
